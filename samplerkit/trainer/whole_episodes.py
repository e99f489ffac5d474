"""Who needs whole episodes is not given parts of them: it would learn nonsense without a word."""

from __future__ import annotations

from samplerkit.errors import UnsupportedFeature
from samplerkit.interfaces import Sampler


def require_whole_episodes(sampler: Sampler, who: str) -> None:
    """Refuse a sampler whose batches are fragments.

    Args:
        sampler: Where samples would come from.
        who: What needs whole episodes, for the error's text.

    Raises:
        UnsupportedFeature: The sampler gathers fragments.
    """
    if sampler.supports("fragments"):
        raise UnsupportedFeature(
            f"{who} needs whole episodes, and this sampler gathers fragments, which go on from call to call: "
            "use a backend without +fragment, such as 'local', 'multiprocessing' or "
            "'multiprocessing+vectorized'. (An algorithm that learns from fragments says so: "
            "takes_fragments = True.)"
        )
