"""Version of the sampler API, which plugins state in their `BackendSpec`."""

from __future__ import annotations

from typing import Final

API: Final = (1, 0)
"""(major, minor): a minor version adds with defaults, a major version removes."""
