"""The commands and their arguments."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from samplerkit.cli.errors import UsageError, guarded

app = typer.Typer(
    help="Train and sample on any sampler backend, chosen by name.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Profile: TypeAlias = Literal["quick", "ci", "thorough"]
SamplerOption = Annotated[
    str | None, typer.Option("--sampler", "-s", help="Backend by name; `samplerkit backends` lists them.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="table.key=value with a TOML value; may be repeated.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The run's folder.")]
RequireTarget = Annotated[
    bool, typer.Option("--require-target", help="Exit with status 1 below [evaluation] target.")
]


def run(arguments: list[str]) -> int:
    """Run the command; see `samplerkit.cli.main`."""
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"] or ["--help"]
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    if not debug:
        # What TensorFlow's libraries write to stderr by themselves would drown the display and the errors.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    command = typer.main.get_command(app)
    return guarded(lambda: command.main(words, prog_name="samplerkit", standalone_mode=False), debug=debug)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"samplerkit {version('samplerkit')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Options of every command; ``run`` takes ``--debug`` out, wherever it stands."""


@app.command()
def backends(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the installed backends: their state, and the reason where one does not work."""
    from samplerkit.cli.backend_table import backend_rows, show_json, show_table
    from samplerkit.cli.quiet import prints_on_stderr

    with prints_on_stderr():  # plugins are imported
        rows = backend_rows()
    (show_json if as_json else show_table)(rows)


@app.command()
def train(
    config: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help="A named configuration or a TOML file.")
    ] = None,
    sampler: SamplerOption = None,
    logdir: Annotated[
        Path | None, typer.Option("--logdir", "-d", help="The run's folder; by default runs/NAME.")
    ] = None,
    settings: SetOption = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the whole run.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --logdir.")] = False,
    require_target: RequireTarget = False,
    list_them: Annotated[bool, typer.Option("--list", help="List the named configurations.")] = False,
) -> int:
    """Train. The folder gets config.toml, progress.csv, TensorBoard events, snapshots, learning_curve.png."""
    from samplerkit.cli import configuration
    from samplerkit.cli.run_folder import choose_folder
    from samplerkit.cli.running import train_run

    if list_them:
        return _list_configurations()
    if config is None:
        raise UsageError(
            "Which configuration? Pass a name or a TOML file; `samplerkit train --list` lists the names."
        )
    tables = configuration.read_configuration(config)
    resolved = configuration.resolve(tables, sampler=sampler, seed=seed, settings=settings or ())
    folder = choose_folder(logdir, resolved.name, overwrite=overwrite)
    return train_run(resolved, folder, overwrite=overwrite, require_target=require_target)


@app.command()
def resume(
    folder: RunFolder,
    sampler: SamplerOption = None,
    n_epochs: Annotated[
        int | None, typer.Option("--n-epochs", min=1, help="New total number of epochs.")
    ] = None,
    settings: SetOption = None,
    require_target: RequireTarget = False,
) -> int:
    """Go on with a run after its last finished epoch, on the same or on another backend.

    With --set only options of the sampler can change, such as sampler.n_processes=2.
    """
    from samplerkit.cli import configuration
    from samplerkit.cli.running import resume_run

    tables = _tables_of_run(folder)
    _require_sampler_keys(settings or [])
    total = [] if n_epochs is None else [f"train.n_epochs={n_epochs}"]
    resolved = configuration.resolve(tables, sampler=sampler, settings=[*(settings or ()), *total])
    return resume_run(resolved, folder, require_target=require_target)


@app.command()
def evaluate(
    folder: RunFolder,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Fresh trials; by default [evaluation] trials.")
    ] = None,
    sampler: SamplerOption = None,
    require_target: RequireTarget = False,
) -> int:
    """Measure the policy of a run's last snapshot on fresh trials, beside known figures."""
    from samplerkit.cli import configuration
    from samplerkit.cli.running import evaluate_run

    resolved = configuration.resolve(_tables_of_run(folder), sampler=sampler)
    return evaluate_run(
        resolved, folder, trials=trials or resolved.evaluation.trials or 100, require_target=require_target
    )


@app.command()
def check(
    backend: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|module:Class", help="A backend, a kind of worker, a composite of both, or a class."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="ID", help="This clause, or those that begin so; may be repeated."),
    ] = None,
    profile: Annotated[
        Profile,
        typer.Option("--profile", "-p", help="How much to try: for a minute or a few, for CI, for hours."),
    ] = "quick",
    contract: Annotated[
        str | None,
        typer.Option(
            "--contract", metavar="X.Y", help="Act as the suite of this version of the contract did."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write a report to this file, as JSON.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the backend; may be repeated."),
    ] = None,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test",
            help="Try the suite itself on backends broken on purpose; --only chooses among them.",
        ),
    ] = False,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="With --self-test: every clause on every broken backend.")
    ] = False,
) -> int:
    """Say whether a backend, or a kind of worker, keeps the sampler contract.

    Exit status: 0 if every clause holds that applies, 1 if not, 2 if it cannot be checked.
    """
    from samplerkit.cli.check import check as check_backend

    if self_test:
        if backend or contract or report or options:
            raise UsageError("--self-test goes with --only, --profile and --matrix, and without a backend.")
        from samplerkit.cli.self_test import self_test as check_suite

        return check_suite(profile, only=only or (), matrix=matrix)
    if backend is None or matrix:
        raise UsageError(
            "--matrix goes with --self-test."
            if backend
            else "Which backend? `samplerkit backends` lists them; or give module:Class."
        )
    return check_backend(
        backend,
        only=only or (),
        profile=profile,
        contract=contract,
        report=report,
        options=options or (),
    )


@app.command(name="check-env")
def check_env(
    environment: Annotated[
        str, typer.Argument(metavar="ID|module:callable", help="A gymnasium id, or what constructs it.")
    ],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the units.")] = 0,
    units: Annotated[int, typer.Option("--units", min=1, help="How many units to compare.")] = 4,
    max_episode_length: Annotated[
        int | None, typer.Option("--max-episode-length", min=1, help="By default the environment's own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Say whether an environment gives the same unit wherever and whenever it runs, and what to do if not.

    Exit status: 0 if it does, 1 if not, 2 if it cannot be checked.
    """
    from samplerkit.cli.check_env import check_env as check

    return check(
        environment, seed=seed, n_units=units, max_episode_length=max_episode_length, as_json=as_json
    )


@app.command()
def bench(
    environment: Annotated[
        str, typer.Argument(metavar="ID|module:callable", help="A gymnasium id, or what constructs it.")
    ],
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="mlp|random|constant|module:callable",
            help="What acts; a callable gets the two spaces. By default mlp where it fits, else random.",
        ),
    ] = None,
    num_samples: Annotated[int, typer.Option("--num-samples", "-n", min=1, help="Steps of a batch.")] = 4_000,
    seconds: Annotated[float, typer.Option("--seconds", min=0.05, help="Least duration of a turn.")] = 1.0,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Turns of each.")] = 5,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="By default the usable processors.")
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            metavar="NAME[:KEY=VALUE,...]",
            help="Measure this one, and not all that are installed; may be repeated.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 0,
    max_episode_length: Annotated[
        int | None, typer.Option("--max-episode-length", min=1, help="By default the environment's own.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every figure to this file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw a picture, such as out.png.")
    ] = None,
) -> int:
    """Measure how fast every installed backend delivers steps, and recommend one.

    The limit is a bare loop: as many processes, each stepping the policy in the environment and storing what
    comes, with nothing sent anywhere. All are measured in turn, round after round.
    """
    from samplerkit.bench.workload import Workload
    from samplerkit.cli.bench import Course
    from samplerkit.cli.bench import bench as measure

    return measure(
        Workload(environment, policy, num_samples, seed, max_episode_length),
        Course(backends or (), seconds, rounds, processes),
        json_file=json_file,
        plot=plot,
    )


def _list_configurations() -> int:
    from samplerkit.cli.configuration import named_configurations, read_tables

    for name, path in named_configurations().items():
        typer.echo(f"{name}  {read_tables(path).get('experiment', {}).get('description', '')}")
    return 0


def _tables_of_run(folder: Path) -> dict[str, dict[str, Any]]:
    from samplerkit.cli import configuration

    path = folder / configuration.CONFIG_FILE
    if not path.is_file():
        raise UsageError(f"{folder} holds no run: there is no {configuration.CONFIG_FILE} in it.")
    return configuration.read_tables(path)


def _require_sampler_keys(settings: list[str]) -> None:
    """Refuse what is not below ``sampler.``, where a resumed run may change it."""
    for setting in settings:
        table, _, key = setting.partition("=")[0].strip().partition(".")
        if table != "sampler" or key in ("name", "n_workers"):
            raise UsageError(
                f"--set {setting!r}: a resumed run can change options of its sampler only; use --sampler for "
                "the backend and --n-epochs for the number of epochs."
            )
