"""A plugin of hooks that misspells the hook it means."""

from samplerkit.plugins.hookspecs import hookimpl


@hookimpl
def samplerkit_batch_colected(batch):
    """Never called."""
    raise AssertionError("this is no hook")
