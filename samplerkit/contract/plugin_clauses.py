"""Clauses that plugins add by the hook ``samplerkit_contract_clauses``."""

from __future__ import annotations

import logging
from typing import Any

from samplerkit.contract.clause import Clause
from samplerkit.plugins.hooks import contract_clauses

logger = logging.getLogger(__name__)


def further_clauses(taken: set[str], version: tuple[int, int] | None = None) -> list[Clause]:
    """Return the clauses of plugins, in the order in which they give them.

    A plugin that raises, or that returns something else, is named in the log and harms no other.

    Args:
        taken: ids that are not free.
        version: of the contract; None means all.
    """
    found: dict[str, Clause] = {}
    for answer in contract_clauses():
        if answer.error is not None:
            logger.warning("%s cannot add clauses: %r", answer.plugin.name, answer.error)
            continue
        for it in _listed(answer.value):
            if not isinstance(it, Clause):
                logger.warning("%s returned %r, which is not a Clause", answer.plugin.name, it)
            elif it.id in taken or it.id in found:
                logger.warning("%s adds a clause %s, but there is one already", answer.plugin.name, it.id)
            elif version is None or it.since <= version:
                found[it.id] = it
    return list(found.values())


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]
