"""Which observations two lots have in common, by their keys."""

from __future__ import annotations

from collections.abc import Sequence
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
    keys = np.concatenate([_in_groups(part) for part in parts])
    order = np.argsort(keys, kind="stable")
    ordered, among = keys[order], np.sort(_in_groups(whole))
    # Which of its like each one is, from 0, and how many the whole has.
    number = np.arange(len(keys)) - np.searchsorted(ordered, ordered)
    found = np.searchsorted(among, ordered, "right")
    found -= np.searchsorted(among, ordered)
    mask = np.empty(len(keys), bool)
    mask[order] = number < found
    return np.split(mask, np.cumsum([len(part.keys) for part in parts])[:-1])


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


def _in_groups(part: Identified) -> np.ndarray:
    """Keys that tell groups apart too, which a source's need not."""
    return part.keys ^ identity.of_groups(part.groups)[part.group_index]
