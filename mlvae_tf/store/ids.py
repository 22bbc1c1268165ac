"""Ids of groups as tables hold them: int64 or strings.

Those of groups within others are OUTER/INNER.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlvae_tf import checks
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.grouping import Grouping
from mlvae_tf.errors import InputError

Parents = Mapping[str, str | None]  # By level, the one that its groups are in.


def as_ids(group_ids: np.ndarray) -> np.ndarray:
    """Group ids as a table holds them: int64, or strings.

    Raises:
        InputError: If they are neither, or too large.
    """
    if group_ids.dtype.kind == "U":
        return group_ids
    limit = np.iinfo(np.int64).max
    small = group_ids.dtype.kind in "iu" and not np.any(group_ids > limit)
    if not small:
        raise InputError(
            "group ids must be strings, or integers within 64 bits with a "
            f"sign: got {group_ids.dtype}. Save them as strings."
        )
    return group_ids.astype(np.int64)


def outer(groups: np.ndarray) -> np.ndarray:
    """The ids of the groups that these are in."""
    found = [group.rpartition("/")[0] for group in groups.tolist()]
    return np.array(found, np.str_)


def as_stored(part: GroupedData, parents: Parents) -> GroupedData:
    """The same with levels and ids as tables have them.

    Args:
        part: On all levels; one alone may be called whatever.
        parents: Of all levels.

    Raises:
        InputError: If it is on others, or tables can't hold its ids.
    """
    levels = part.levels
    given = levels if part.others else levels[part.level]
    named = checks.by_level(given, tuple(parents))
    return GroupedData.of_levels(
        part.observations, joined(named, parents), part.keys, part.likelihood
    )


def joined(
    levels: dict[str, Grouping], parents: Parents
) -> dict[str, Grouping]:
    """The same groups by ids of which those of inner levels are OUTER/INNER.

    Args:
        levels: By name; where all ids of an inner level are so already, they
            stay.
        parents: Of all levels.

    Raises:
        InputError: If an inner id has a / of its own.
    """

    def of(name: str) -> Grouping:
        parent, level = parents[name], levels[name]
        if parent is None:
            return Grouping(as_ids(level.groups), level.group_index)
        return _within(of(parent), level, f"{name}, which is within {parent}")

    return {name: of(name) for name in levels}


def _within(around: Grouping, level: Grouping, called: str) -> Grouping:
    """A level's groups, as many as pairs with those around them."""
    size = len(level.groups)
    pairs = around.group_index.astype(np.int64) * size + level.group_index
    pairs, group_index = np.unique(pairs, return_inverse=True)
    outer_rows, inner_rows = np.divmod(pairs, size)
    inner = level.groups[inner_rows].astype(str)
    prefix = np.char.add(around.groups[outer_rows].astype(str), "/")
    if not np.char.startswith(inner, prefix).all():
        inner = np.char.add(prefix, inner)
    bad = np.char.count(inner, "/") != np.char.count(prefix, "/")
    if bad.any():
        row = int(bad[group_index].argmax())
        raise InputError(
            f"an id of {called}, must have no /: got "
            f"{level.ids[row]!r} at row {row}. Name its groups anew."
        )
    whole = Grouping.of(inner)
    return Grouping(whole.groups, whole.group_index[group_index])
