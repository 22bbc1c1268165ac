"""How contents are compared: are two bodies of evidence of one latent?

Evidence (`evidence.py`) of a latent z is a likelihood: up to a constant, a
normal density of z. With the prior z ~ N(0, 1), the log of how much likelier
two bodies of evidence are of one latent than of two is

    log p(1, 2) / (p(1) p(2))
        = 1/2 (log(a b / c) - (a b (m - n)^2 - a m^2 - b n^2) / c),

    a = 1 + precision_1,    m = weighted_loc_1 / a,
    b = 1 + precision_2,    n = weighted_loc_2 / b,    c = a + b - 1

for every dimension: a and b are the precisions, m and n the means of the two
posteriors. Evidence that says nothing gives 0.

References:
    Ioffe 2006, Probabilistic Linear Discriminant Analysis (ECCV); Shi and Jain
    2019, Probabilistic Face Embeddings (ICCV), Eq. 3, the flat prior's limit.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mlvae_tf import evidence
from mlvae_tf.evidence import Evidence, Moments
from mlvae_tf.layers import EvidenceAccumulation

_AT_ONCE = 1 << 20  # Numbers in memory at once: pairs times dimensions.


@dataclasses.dataclass(frozen=True)
class Normals:
    """Representations of observations or of sets: normals, or bare points.

    Attributes:
        loc: `[..., dim]`.
        variance: Of the same shape, or zero.
    """

    loc: np.ndarray
    variance: np.ndarray | float = 0.0

    def __getitem__(self, rows: Any) -> Normals:
        if isinstance(self.variance, float):
            return Normals(self.loc[rows])
        return Normals(self.loc[rows], self.variance[rows])


def log_ratio(left: Evidence, right: Evidence) -> tf.Tensor:
    """How much likelier evidence is of one latent than of two, in nats.

    Args:
        left: `[..., dim]`.
        right: The same, of a shape that broadcasts.

    Returns:
        The log ratio above, summed over dimensions, `[...]`.
    """
    (a, m), (b, n) = _posterior(left), _posterior(right)
    c = a + b - 1
    squares = (a * b * (m - n) ** 2 - a * m**2 - b * n**2) / c
    log = tf.math.log
    return 0.5 * tf.reduce_sum(log(a) + log(b) - log(c) - squares, axis=-1)


def _posterior(part: Evidence) -> tuple[tf.Tensor, tf.Tensor]:
    """Its precision and mean once the prior is there too."""
    precision = 1 + part.precision
    return precision, part.weighted_loc / precision


def similarity(left: Normals, right: Normals) -> np.ndarray:
    """How well two representations agree, summed over dimensions.

    For normals, the log ratio, in nats; for points, the negative squared
    distance.

    Args:
        left: `[..., dim]`.
        right: The same, of a shape that broadcasts.
    """
    if isinstance(left.variance, float) or isinstance(right.variance, float):
        return -((left.loc - right.loc) ** 2).sum(-1)
    parts = (
        Evidence(1 / part.variance, part.loc / part.variance)
        for part in (left, right)
    )
    return log_ratio(*parts).numpy()


class Nearest(NamedTuple):
    """The groups that queries are most like, the best first.

    Attributes:
        rows: `[Q, best]`, which of the groups.
        scores: `[Q, best]`.
    """

    rows: np.ndarray
    scores: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Discriminants:
    """Linear discriminants, in units in which groups' centres are N(0, 1).

    Attributes:
        directions: `[content_dim, dim]`.
        center: `[dim]`, the mean of the centres.
        variance: `[dim]`, of one observation around its group's centre.
    """

    directions: np.ndarray
    center: np.ndarray
    variance: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """A way of comparing contents.

    Attributes:
        way: `"posteriors"`, by the log ratio; `"means"`, by the negative
            squared distance of the contents' means; or `"discriminants"`, by
            the log ratio of what the evidence's means tell of groups' centres.
        rule: How evidence makes the content.
        discriminants: The discriminants, where these are the way.
    """

    way: str = "posteriors"
    rule: str = "product"
    discriminants: Discriminants | None = None

    def of(
        self, total: Evidence | Moments, counts: np.ndarray | int = 1
    ) -> Normals:
        """What bodies of evidence are compared by.

        Args:
            total: Of sets of observations, `[M, content_dim]`.
            counts: Observations in each, integers `[M]`.
        """
        if self.way == "means":
            accumulation = EvidenceAccumulation(self.rule)
            return Normals(accumulation.posterior(total).loc.numpy())
        if isinstance(total, Moments):
            loc, scale = evidence.average(total)
        else:
            loc, scale = evidence.to_normal(total)
        if self.discriminants is None:
            return Normals(loc.numpy(), scale.numpy() ** 2)
        points = loc.numpy() @ self.discriminants.directions
        share = np.broadcast_to(1 / np.asarray(counts), len(points))
        return Normals(
            points - self.discriminants.center,
            share[:, np.newaxis] * self.discriminants.variance,
        )

    def nearest(
        self,
        queries: Evidence,
        groups: Evidence,
        counts: np.ndarray,
        best: int = 1,
    ) -> Nearest:
        """The groups that single observations are most like.

        Memory does not grow with the number of pairs.

        Args:
            queries: The observations' evidence, `[Q, content_dim]`.
            groups: The groups' evidence, `[G, content_dim]`.
            counts: Observations of each group, integers `[G]`.
            best: How many groups to name.
        """
        asked, among = self.of(queries), self.of(groups, counts)
        shape = len(asked.loc), min(best, len(among.loc))
        found = Nearest(np.empty(shape, np.int64), np.empty(shape))
        size = max(1, _AT_ONCE // max(1, among.loc.size))
        for start in range(0, len(asked.loc), size):
            some = slice(start, start + size)
            scores = pairs(asked[some], among)
            # Of equal scores, those of the groups that come first.
            rows = np.argsort(-scores, axis=1, kind="stable")[:, :best]
            found.rows[some] = rows
            found.scores[some] = np.take_along_axis(scores, rows, axis=1)
        return found


def pairs(left: Normals, right: Normals) -> np.ndarray:
    """The similarity of all pairs, `[Q, dim]` and `[G, dim]` to `[Q, G]`."""
    found = np.empty((len(left.loc), len(right.loc)))
    size = max(1, _AT_ONCE // max(1, left.loc.size))
    for start in range(0, found.shape[1], size):
        some = slice(start, start + size)
        found[:, some] = similarity(
            left[:, np.newaxis], right[np.newaxis, some]
        )
    return found
