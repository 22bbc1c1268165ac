"""What is trained on, and what is kept out."""

from __future__ import annotations

import dataclasses

import numpy as np

from mlvae_tf import noise
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.sampling import by_group
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Splits:
    """A dataset divided for a run.

    Attributes:
        train: Observations to learn from.
        validation: Held-out observations of the training groups.
        test: The dataset's own test split, training groups only.
        unseen: Observations of groups that are not in training at all.
        holdout_observations: The fraction that `validation` was asked to be.
    """

    train: GroupedData
    validation: GroupedData | None
    test: GroupedData | None
    unseen: GroupedData | None
    holdout_observations: float

    @property
    def evaluation(self) -> GroupedData | None:
        """What the results on the training groups are measured on."""
        return self.test if self.test is not None else self.validation


def _join(parts: list[GroupedData]) -> GroupedData | None:
    parts = [part for part in parts if len(part)]
    return GroupedData.join(parts) if parts else None


def _check_fraction(flag: str, fraction: float) -> None:
    if not 0 <= fraction < 1:
        raise InputError(
            f"--{flag} must be a fraction in [0, 1): got {fraction}."
        )


def _choose_groups(
    groups: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    count = round(fraction * len(groups))
    if fraction and not 0 < count < len(groups):
        raise InputError(
            f"--holdout_groups={fraction} of {len(groups)} groups leaves "
            f"{count} held out and {len(groups) - count} to train on. Choose "
            "a fraction that leaves at least one of each."
        )
    generator = noise.generator(seed, noise.Stream.HELD_OUT_GROUPS)
    chosen = generator.permutation(len(groups))[:count]
    return groups[np.sort(chosen)]


def _held_out(data: GroupedData, fraction: float, seed: int) -> np.ndarray:
    """Mask of each group's held-out observations; one at least stays."""
    held_out = np.zeros(len(data), bool)
    generator = noise.generator(seed, noise.Stream.HELD_OUT_OBSERVATIONS)
    rows, offsets = by_group(data.group_index, len(data.groups))
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist()):
        members = generator.permutation(rows[start:stop])
        count = min(round(fraction * len(members)), len(members) - 1)
        held_out[members[:count]] = True
    return held_out


def split(
    source: Source,
    holdout_groups: float = 0.0,
    holdout_observations: float | None = None,
    seed: int = 0,
) -> Splits:
    """Divide a dataset, the same way for the same seed.

    Args:
        source: The dataset.
        holdout_groups: Fraction of the groups to hold out as `unseen`. Groups
            of the test split that the training split lacks are unseen too.
        holdout_observations: Fraction of every remaining group's training
            observations to hold out as `validation`. By default 0.2 where the
            dataset has no test split of groups to train on, else 0.
        seed: Seed of the choices.
    """
    _check_fraction("holdout_groups", holdout_groups)
    groups = source.train.groups
    chosen = _choose_groups(groups, holdout_groups, seed)
    seen = np.setdiff1d(groups, chosen)
    if holdout_observations is None:
        tested = source.test is not None and np.isin(seen, source.test.groups)
        holdout_observations = 0.0 if np.any(tested) else 0.2
    _check_fraction("holdout_observations", holdout_observations)
    parts = [source.train] + ([source.test] if source.test is not None else [])
    known = [np.isin(part.groups, seen)[part.group_index] for part in parts]
    train, *test = [part[mask] for part, mask in zip(parts, known)]
    unseen = [part[~mask] for part, mask in zip(parts, known)]
    held_out = _held_out(train, holdout_observations, seed)
    return Splits(
        train[~held_out],
        _join([train[held_out]]),
        _join(test),
        _join(unseen),
        holdout_observations,
    )
