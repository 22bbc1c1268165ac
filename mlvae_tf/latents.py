"""Latents that groups share: from what is said of a group to its posterior."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import batches, evidence, hierarchy, objective
from mlvae_tf.batches import SegmentIds
from mlvae_tf.evidence import Evidence, Moments
from mlvae_tf.layers import SpreadPrecision
from mlvae_tf.levels import Level, drawn

Latents = dict[str, tfd.Normal]  # By level.
Totals = dict[str, Evidence | Moments]  # By level of groups.


class Groups(NamedTuple):
    """What is known of all groups of a batch.

    Attributes:
        totals: By level, what is said of each group; of an outer level, what
            its inner groups say.
        posteriors: By level, the posterior of each, whatever the others are.
        outer: By inner level, the row of each group's outer group, int32.
    """

    totals: Totals
    posteriors: Latents
    outer: dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class SharedLatents:
    """The latents of all levels of groups, and how they lie around each other.

    Attributes:
        levels: The levels of groups.
        spreads: By inner level, how precisely its latents lie around those of
            its outer level.
        dtype: Of latents, whatever computes the networks.
    """

    levels: tuple[Level, ...]
    spreads: dict[str, SpreadPrecision]
    dtype: str

    @functools.cached_property
    def drawn(self) -> tuple[Level, ...]:
        """The levels whose latents the decoder reads: no other's parents."""
        return drawn(self.levels)

    @functools.cached_property
    def outer_first(self) -> tuple[Level, ...]:
        """All levels, each after its parent."""
        parents = self.parents

        def depth(level: Level) -> int:
            name, steps = level.name, 0
            while name in parents:
                name, steps = parents[name], steps + 1
            return steps

        return tuple(sorted(self.levels, key=depth))

    @functools.cached_property
    def parents(self) -> dict[str, str]:
        """By inner level, the name of its outer one."""
        return {v.name: v.parent for v in self.levels if v.parent}

    def groups(self, totals: Totals, segment_ids: SegmentIds) -> Groups:
        """All groups given what is said of them.

        What is said of inner groups goes up to the outer ones, and what these
        are comes down to them (`mlvae_tf.hierarchy`).

        Args:
            totals: From `evidence`.
            segment_ids: Of the whole batch, by level, `[N]`.
        """
        totals, outer = dict(totals), {}
        for level in reversed(self.outer_first):
            if level.parent:
                own = _products(totals[level.name])
                size = tf.shape(own[0])[0]
                outer[level.name] = rows = batches.outer_ids(
                    segment_ids[level.name], segment_ids[level.parent], size
                )
                told = hierarchy.up(own, self._precision(level, own[0].dtype))
                told = evidence.accumulate(told, rows, size)
                if level.parent in totals:  # By another one of its levels.
                    before = _products(totals[level.parent])
                    told = evidence.add(before, told)
                totals[level.parent] = told
        posteriors: Latents = {}
        for level in self.outer_first:
            posteriors[level.name] = self._posterior(
                level, totals[level.name], posteriors, outer
            )
        ordered = {level.name: posteriors[level.name] for level in self.levels}
        return Groups(totals, ordered, outer)

    def _precision(self, level: Level, dtype: Any) -> tf.Tensor:
        return tf.cast(self.spreads[level.name].precision, dtype)

    def _posterior(
        self,
        level: Level,
        total: Evidence | Moments,
        posteriors: Latents,
        outer: dict[str, tf.Tensor],
    ) -> tfd.Normal:
        """That of a level's groups, given those of its outer level."""
        if level.parent:
            around = _of_outer(posteriors[level.parent], outer[level.name])
            own = evidence.cast(_products(total), self.dtype)
            precision = self._precision(level, self.dtype)
            return tfd.Normal(*hierarchy.marginal(own, around, precision))
        if level in self.drawn:
            return level.posterior(total, self.dtype)
        loc, scale = hierarchy.outermost(_products(total))
        return tfd.Normal(tf.cast(loc, self.dtype), tf.cast(scale, self.dtype))

    def prior_variance(self, level: Level, dtype: Any) -> tf.Tensor:
        """That of a group's latent, whatever its outer groups are, `[dim]`."""
        variance = tf.ones(level.dim, dtype)
        parents = {one.name: one for one in self.levels}
        while level.parent:
            variance += 1 / self._precision(level, dtype)
            level = parents[level.parent]
        return variance

    def given_outer(
        self,
        groups: Groups,
        level: Level,
        outer: tf.Tensor | None,
        rows: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The posterior of a level's groups given a draw of its outer level.

        Args:
            groups: All groups.
            level: The level.
            outer: `[n, dim]`, of each one's outer group; None without any.
            rows: int32 `[n]`, of which groups; by default of all.

        Returns:
            `(loc, scale)`, `[n, dim]`.
        """

        def chosen(part: tf.Tensor) -> tf.Tensor:
            return part if rows is None else tf.gather(part, rows)

        if outer is None:
            posterior = groups.posteriors[level.name]
            return chosen(posterior.loc), chosen(posterior.scale)
        own = evidence.cast(_products(groups.totals[level.name]), self.dtype)
        return hierarchy.given(
            Evidence(*map(chosen, own)),
            outer,
            self._precision(level, self.dtype),
        )

    def prior(
        self, level: Level, outer: tf.Tensor | None, like: tf.Tensor
    ) -> tfd.Normal:
        """The prior of a level's groups, around a draw of their outer ones.

        Args:
            level: The level.
            outer: `[n, dim]`, or None without an outer level.
            like: What has the prior's shape, `[n, dim]`.
        """
        if outer is None:
            return tfd.Normal(tf.zeros_like(like), tf.ones_like(like))
        precision = self._precision(level, like.dtype)
        return tfd.Normal(outer, tf.math.rsqrt(precision))

    def kl(self, groups: Groups) -> dict[str, tf.Tensor]:
        """By level, the KL of every row, nats; zero where there is no group.

        That of an inner group is from the prior around its outer one.
        """
        found = {}
        for name, posterior in groups.posteriors.items():
            if name in groups.outer:
                around = groups.posteriors[self.parents[name]]
                found[name] = hierarchy.kl(
                    evidence.cast(_products(groups.totals[name]), self.dtype),
                    _of_outer(around, groups.outer[name]),
                    tf.cast(self.spreads[name].precision, self.dtype),
                )
            else:
                found[name] = objective.standard_normal_kl(
                    posterior.loc, posterior.scale
                )
        return found


def _products(total: Evidence | Moments) -> Evidence:
    """Sums of a level in a hierarchy, which has no averages."""
    if not isinstance(total, Evidence):
        raise TypeError(f"expected evidence: got {type(total).__name__}")
    return total


def _of_outer(
    posterior: tfd.Normal, rows: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Loc and scale of each inner group's outer one."""
    rows = tf.maximum(rows, 0)
    return tf.gather(posterior.loc, rows), tf.gather(posterior.scale, rows)
