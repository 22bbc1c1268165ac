"""Who is in which group: the ids of one level or several."""

from __future__ import annotations

import dataclasses

import numpy as np

from mlvae_tf.checks import as_group_ids
from mlvae_tf.errors import InputError

CONTENT = "content"  # What a level is called that has no name.

_SHOWN = 3  # Rows that a message names.

Ids = dict[str, np.ndarray]  # By level, [N]: the id of each one's group.


@dataclasses.dataclass(frozen=True)
class Grouping:
    """The groups of a level.

    Attributes:
        groups: `[G]`, integers or strings: the groups' ids, sorted. Each has
            an observation.
        group_index: int32 `[N]`, the row in `groups` of each observation's.
    """

    groups: np.ndarray
    group_index: np.ndarray

    @classmethod
    def of(cls, group_ids: np.ndarray) -> Grouping:
        """Number the groups of ids, `[N]`."""
        groups, group_index = np.unique(group_ids, return_inverse=True)
        return cls(groups, group_index.astype(np.int32))

    @classmethod
    def join(cls, parts: list[Grouping]) -> Grouping:
        """One after the other; equal ids are one group."""
        groups = np.unique(np.concatenate([part.groups for part in parts]))
        numbers = [np.searchsorted(groups, part.groups) for part in parts]
        group_index = [
            number.astype(np.int32)[part.group_index]
            for number, part in zip(numbers, parts)
        ]
        return cls(groups, np.concatenate(group_index))

    @property
    def ids(self) -> np.ndarray:
        """`[N]`, the id of each observation's group."""
        return self.groups[self.group_index]

    def take(self, rows: np.ndarray | slice) -> Grouping:
        """Some observations, and those of the groups that they belong to."""
        group_index = self.group_index[rows]
        present = np.zeros(len(self.groups), bool)
        present[group_index] = True
        renumbered = np.cumsum(present, dtype=np.int32) - 1
        return Grouping(self.groups[present], renumbered[group_index])


def by_level(ids: Ids) -> Ids:
    """Ids by the name of what holds them; a level alone is the content."""
    return ids if len(ids) > 1 else {CONTENT: next(iter(ids.values()))}


def as_ids(group_ids: object, num_observations: int) -> Ids:
    """By level, ids from what a user gives: an array, or a dict of these.

    Raises:
        InputError: Unless there is one id per observation, on every level.
    """
    if not isinstance(group_ids, dict):
        group_ids = {CONTENT: group_ids}
    if not group_ids:
        raise InputError("group_ids must have a level at least: got none.")
    found = {}
    for name, given in group_ids.items():
        called = "group_ids" if len(group_ids) == 1 else f"group_ids of {name}"
        ids = found[name] = as_group_ids(given)
        if ids.ndim != 1:
            raise InputError(
                f"{called} must have one axis: got shape {ids.shape}."
            )
        if num_observations != len(ids):
            raise InputError(
                f"{called} must have one id per observation: got {len(ids)} "
                f"ids for {num_observations} observations."
            )
    return found


def settle(
    ids: Ids, keys: np.ndarray, missing: str, parents: dict[str, str]
) -> Ids:
    """Ids that say by themselves who is in a group.

    An id that is not known is empty, or a negative number; with one level it
    is one like others, unless `missing` says what to do.

    Args:
        ids: By level, `[N]`.
        keys: uint64 `[N]`, which observation is which.
        missing: `"refuse"`, or `"own"`: each makes a group of its own.
        parents: By inner level, the one that it is in; an id of it then
            becomes OUTER/INNER.

    Raises:
        InputError: If ids are not known and refused, or a parent is no level.
    """
    if len(ids) > 1 or missing == "own":
        ids = {
            name: _with_own(name, of_level, keys, missing)
            for name, of_level in ids.items()
        }
    return nested(ids, parents)


def _with_own(
    name: str, ids: np.ndarray, keys: np.ndarray, missing: str
) -> np.ndarray:
    """The ids of a level, where they are not known those of the keys."""
    text = ids.dtype.kind == "U"
    unknown = np.flatnonzero(ids == "" if text else ids < 0)
    if not len(unknown):
        return ids
    if missing != "own":
        rows = ", ".join(map(str, unknown[:_SHOWN]))
        more = ", ..." if len(unknown) > _SHOWN else ""
        raise InputError(
            f"{len(unknown)} of {len(ids)} ids of {name} are not known, which "
            f"are {'empty' if text else 'negative'}, of rows {rows}{more}. "
            "Fill them in, leave these observations out, or make each a group "
            "of its own: --missing_groups=own (missing_groups='own')."
        )
    if not text:
        # All that are negative are replaced: no two can meet.
        found = ids.astype(np.int64)
        found[unknown] = -1 - (keys[unknown] >> np.uint64(1)).astype(np.int64)
        return found
    own = [f"unknown-{key:016x}" for key in keys[unknown].tolist()]
    found = ids.astype(np.result_type(ids, np.array(own)))
    found[unknown] = own
    return found


def nested(ids: Ids, parents: dict[str, str]) -> Ids:
    """The same, those of inner levels as OUTER/INNER.

    Raises:
        InputError: If a parent is no level, or levels are each other's.
    """
    for pair in parents.items():
        for name in pair:
            if name not in ids:
                raise InputError(
                    f"--parents={':'.join(pair)} must name levels, "
                    f"{', '.join(ids)}: got {name}. Name it in --groups."
                )

    def of(name: str, inner: tuple[str, ...] = ()) -> np.ndarray:
        if name in inner:
            raise InputError(f"levels are each other's parents: {name}.")
        if name not in parents:
            return ids[name]
        outer = of(parents[name], (*inner, name)).astype(str)
        return np.char.add(np.char.add(outer, "/"), ids[name].astype(str))

    return {name: of(name) for name in ids}
