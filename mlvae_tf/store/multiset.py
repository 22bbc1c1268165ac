"""Which observations two lots have in common, by their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from mlvae_tf.data import identity
from mlvae_tf.errors import InputError


class Identified(Protocol):
    """Observations of groups that are known by keys: data, or a store."""

    @property
    def keys(self) -> np.ndarray:
        """uint64 `[N]`: which observation is which (`identity.py`)."""

    @property
    def groups(self) -> np.ndarray:
        """The groups' ids `[G]`."""

    @property
    def group_index(self) -> np.ndarray:
        """Integers `[N]`, the row in `groups` of each observation's."""


def contained(
    parts: Sequence[Identified], whole: Identified
) -> list[np.ndarray]:
    """Which observations of some parts the whole has, in the same group.

    Equal observations count: of three in the parts, those are contained that
    come first, as many as the whole has.

    Args:
        parts: Some observations, in any order.
        whole: What they are looked for in.

    Returns:
        A mask `[N]` for every part.
    """
    return _split(_found(_keys(parts), _in_groups(whole)), parts)


def contained_in_all(
    parts: Mapping[str, Sequence[Identified]], wholes: Mapping[str, Identified]
) -> list[np.ndarray]:
    """The same of several levels: which ones each level's whole has.

    Args:
        parts: By level, some observations in its groups; the same ones, with
            the same keys, on every level.
        wholes: By level, what they are looked for in.

    Raises:
        InputError: If some have other groups of one level than the whole, but
            not of another.
    """
    first, *_ = parts.values()
    rows = np.arange(sum(len(part.keys) for part in first))
    found = {}
    # Equal ones share their group of the first level, which is a part of their
    # keys: asked first, it would choose among them whatever the others are.
    for name in reversed(list(wholes)):
        keys, among = _keys(parts[name]), _in_groups(wholes[name])
        found[name] = _found(keys, among)
        rows = rows[_found(keys[rows], among)]
    mask = np.zeros(len(keys), bool)
    mask[rows] = True
    least, most = (
        pick(found, key=lambda name: np.count_nonzero(found[name]))
        for pick in (min, max)
    )
    if np.count_nonzero(found[most]) > len(rows):
        other = _split(found[most] & ~mask, first)
        raise InputError(
            f"{_count(other)} observations are in the store, in the same "
            f"groups of {most}, but in others of {least} than now, "
            f"{named(_groups_of(parts[least], other))}. Take them out with "
            "the ids that they had, and add them anew."
        )
    return _split(mask, first)


def check_new(parts: Sequence[Identified], stored: Identified) -> None:
    """Raise `InputError` if a store has any of these observations."""
    held = contained(parts, stored)
    if any(mask.any() for mask in held):
        raise InputError(
            f"{_count(held)} observations are in the store already, of "
            f"{named(_groups_of(parts, held))}. Add only the others with "
            "--update=STORED --stored=skip, or pass --stored=add to count "
            "these twice."
        )


def check_held(parts: Sequence[Identified], stored: Identified) -> None:
    """Raise `InputError` unless a store has all these observations."""
    lacking = [~mask for mask in contained(parts, stored)]
    if any(mask.any() for mask in lacking):
        raise InputError(
            f"{_count(lacking)} observations are not in the store, of "
            f"{named(_groups_of(parts, lacking))}. Take out only what was "
            "added, as it was added."
        )


def named(groups: np.ndarray) -> str:
    """The first of some groups, for a message."""
    names = ", ".join(map(repr, groups[:3].tolist()))
    more = f" and {len(groups) - 3} more" if len(groups) > 3 else ""
    return f"group{'s' * (len(groups) > 1)} {names}{more}"


def _count(masks: list[np.ndarray]) -> str:
    some = sum(np.count_nonzero(mask) for mask in masks)
    return f"{some} of {sum(map(len, masks))}"


def _groups_of(
    parts: Sequence[Identified], masks: list[np.ndarray]
) -> np.ndarray:
    """The ids of the groups that have any of these observations, sorted."""
    groups = [
        part.groups[np.unique(part.group_index[mask])]
        for part, mask in zip(parts, masks)
    ]
    return np.unique(np.concatenate(groups))


def _split(mask: np.ndarray, parts: Sequence[Identified]) -> list[np.ndarray]:
    """A mask of all observations by part."""
    return np.split(mask, np.cumsum([len(part.keys) for part in parts])[:-1])


def _found(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """A mask of keys: the first ones, as many of each as are among others."""
    order = np.argsort(keys, kind="stable")
    ordered, among = keys[order], np.sort(among)
    # Which of its like each one is, from 0, and how many the whole has.
    number = np.arange(len(keys)) - np.searchsorted(ordered, ordered)
    found = np.searchsorted(among, ordered, "right")
    found -= np.searchsorted(among, ordered)
    mask = np.empty(len(keys), bool)
    mask[order] = number < found
    return mask


def _keys(parts: Sequence[Identified]) -> np.ndarray:
    return np.concatenate([_in_groups(part) for part in parts])


def _in_groups(part: Identified) -> np.ndarray:
    """Keys that tell groups apart too, which a source's need not."""
    return part.keys ^ identity.of_groups(part.groups)[part.group_index]
