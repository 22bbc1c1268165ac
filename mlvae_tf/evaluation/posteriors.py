"""The posteriors of a set of observations, and what groups of them know."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import evidence, levels
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.sampling import by_group
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence, Moments
from mlvae_tf.layers import EvidenceAccumulation
from mlvae_tf.levels import Level
from mlvae_tf.model import MLVAE

CHUNK = 4096  # Observations in memory at once.

# How many observations of a group to accumulate; None is all that there are.
Counts = tuple[int | None, ...]


class Sets(NamedTuple):
    """Disjoint sets of observations, each within one group.

    Attributes:
        rows: `[R]`, observations.
        set_ids: `[R]`, the set that each belongs to, numbered from 0.
        group_ids: `[M]`, the group of each set.
    """

    rows: np.ndarray
    set_ids: np.ndarray
    group_ids: np.ndarray


@dataclasses.dataclass(frozen=True)
class Posteriors:
    """The posteriors of a set of observations, on one level.

    Attributes:
        content: What each proposes for its group's content, batch shape
            `[N, content_dim]`; of infinite scale where nothing is known.
        style: Style posteriors, batch shape `[N, style_dim]`.
        group_ids: `[N]`.
        accumulation: What makes a group's content of the proposals.
    """

    content: tfd.Normal
    style: tfd.Normal
    group_ids: np.ndarray
    accumulation: EvidenceAccumulation

    @classmethod
    def of(cls, model: MLVAE, data: GroupedData) -> Posteriors:
        """Infer them, a few thousand observations at a time.

        Args:
            model: The model.
            data: Observations, whose first level is that of the groups where
                the model has several.
        """
        level = _level(model, data)
        parts = [
            _infer(model, values, level.name)
            for values, _ in data.chunks(CHUNK)
        ]
        content, style = (
            tfd.Normal(
                tf.concat([normal.loc for normal in normals], axis=0),
                tf.concat([normal.scale for normal in normals], axis=0),
            )
            for normals in zip(*parts)
        )
        return cls(content, style, data.group_ids, level.sums)

    def __getitem__(self, rows: np.ndarray) -> Posteriors:
        """Those of some observations, given their row numbers."""
        content, style = (
            tfd.Normal(
                tf.gather(normal.loc, rows), tf.gather(normal.scale, rows)
            )
            for normal in (self.content, self.style)
        )
        return Posteriors(
            content, style, self.group_ids[rows], self.accumulation
        )

    def deal(self, count: int | None, generator: np.random.Generator) -> Sets:
        """Deal every group out at random into disjoint sets of `count`.

        What is left over is left out. None makes one set of every group.
        """
        rows, set_ids = [], []
        groups: list[np.generic] = []  # Of the sets.
        ids, group_index = np.unique(self.group_ids, return_inverse=True)
        order, offsets = by_group(group_index.astype(np.int32), len(ids))
        for group, members in zip(ids, np.split(order, offsets[1:-1])):
            size = count or len(members)
            sets = len(members) // size
            rows.append(generator.permutation(members)[: sets * size])
            set_ids.append(np.repeat(np.arange(sets) + len(groups), size))
            groups += [group] * sets
        return Sets(
            np.concatenate(rows), np.concatenate(set_ids), np.array(groups)
        )

    def sums(self, rows: np.ndarray, set_ids: np.ndarray) -> Evidence | Moments:
        """What each set of observations says together.

        Args:
            rows: `[R]`, observations.
            set_ids: `[R]`, the set of each, numbered from 0.

        Returns:
            What the accumulation adds up, float64 `[M, content_dim]`.
        """
        parts = self.accumulation.parts(
            tf.gather(self.content.loc, rows),
            tf.gather(self.content.scale, rows),
        )
        sets = tf.cast(set_ids, tf.int32)
        return evidence.accumulate(parts, sets, int(set_ids.max()) + 1)

    def accumulate(self, rows: np.ndarray, set_ids: np.ndarray) -> tfd.Normal:
        """The content of each set of observations.

        Args:
            rows: As for `sums`.
            set_ids: As for `sums`.

        Returns:
            The posterior, batch shape `[M, content_dim]`; the prior where
            nothing is known.
        """
        total = self.sums(rows, set_ids)
        dtype = self.content.loc.dtype
        return levels.or_prior(self.accumulation.posterior(total, dtype))


def largest_count(test: Posteriors) -> int:
    """The most observations that two groups have: of one, none is asked."""
    sizes = np.unique(test.group_ids, return_counts=True)[1]
    return int(np.sort(sizes)[-2:][0])


def check_counts(counts: Counts, test: Posteriors) -> None:
    """Raise `InputError` where no two groups have as many observations."""
    largest = largest_count(test)
    if min(count or 1 for count in counts) > largest:
        raise InputError(
            f"--evidence_counts must have one of at most {largest}, the "
            "held-out observations that two groups have: got "
            f"{', '.join(map(str, counts))}."
        )


def in_words(count: int | None) -> str:
    """An evidence count: None is all that there are."""
    return "all" if count is None else str(count)


def _level(model: MLVAE, data: GroupedData) -> Level:
    """The level that the first of the data's is to the model."""
    if len(model.levels) == 1:
        return model.levels[0]
    return next(level for level in model.levels if level.name == data.level)


def _infer(
    model: MLVAE, values: np.ndarray, level: str
) -> tuple[tfd.Normal, tfd.Normal]:
    content, style = model.infer_observations(values)
    if isinstance(content, dict):
        content = content[level]
    known = model.codec.likelihood.known(values)
    if known is not None:
        scale = tf.where(known[:, tf.newaxis], content.scale, np.inf)
        content = tfd.Normal(content.loc, scale)
    return content, style
