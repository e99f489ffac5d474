"""A plugin of hooks written for sampler API 1.0: see acme_spec.py."""

import pluggy

hookimpl = pluggy.HookimplMarker("samplerkit")
heard = []


@hookimpl
def samplerkit_sampler_created(spec, sampler):
    heard.append(("created", spec.name))


@hookimpl
def samplerkit_updated(sampler, agent_version, env_version):
    heard.append(("updated", agent_version, env_version))


@hookimpl
def samplerkit_batch_collected(sampler, batch, seconds):
    heard.append(("collected", batch.lengths.sum() > 0, seconds > 0))


@hookimpl
def samplerkit_carrier_restarted(sampler, index, exitcode):
    heard.append(("restarted", index, exitcode))


@hookimpl
def samplerkit_error(sampler, error):
    heard.append(("error", type(error).__name__))


@hookimpl
def samplerkit_sampler_shutdown(sampler):
    heard.append(("shutdown", sampler.statistics().calls))


@hookimpl
def samplerkit_contract_clauses():
    return []
