"""The model in which log p(x) is exact: linear, with normal noise.

    x_i = center + sum_l W_l z[l, g_l(i)] + W_s s_i + noise,

float64 NumPy and SciPy alone. Levels are crossed, or nested with the
hierarchical prior: a group of a level with a parent is its outer group's latent
plus a step of variance 1 / precision. Ids are free: ragged or incomplete.

Everything follows from the joint precision of all latents, the styles among
them, given the observations. A normal q that is only able to see blocks of them
as independent is best with that matrix's blocks and the posterior's mean, and
lacks half of (the sum of the blocks' log determinants less that of all) to
log p(x) (Bishop 2006, section 10.1.2, for blocks).
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import scipy.linalg

STYLE = "style"


@dataclasses.dataclass(frozen=True)
class Level:
    """A level of the linear model.

    Attributes:
        loading: W_l, `[values, dim]`; zeros for one that no one reads.
        parent: The level whose groups hold this one's.
        precision: `[dim]`, of a group around its outer group.
    """

    loading: np.ndarray
    parent: str | None = None
    precision: np.ndarray | None = None


class Latents(NamedTuple):
    """Where every latent stands in the vector of all.

    Attributes:
        places: By level, int `[G, dim]`; the styles' `[N, dim]` last.
        groups: By level, the ids `[G]`, sorted.
    """

    places: dict[str, np.ndarray]
    groups: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class LinearGaussian:
    """The model.

    Attributes:
        levels: By name, parents before their children.
        style: W_s, `[values, dim]`, dim 0 for none.
        noise: Covariance of the noise, `[values, values]`.
        center: `[values]`.
    """

    levels: dict[str, Level]
    style: np.ndarray
    noise: np.ndarray
    center: np.ndarray

    def without_style(self) -> LinearGaussian:
        """The same with the styles integrated out: they are noise.

        Its bounds are those of q(z) q(s_i | x_i, z) with the exact style given
        the groups' latents.
        """
        noise = self.noise + self.style @ self.style.T
        return dataclasses.replace(self, style=self.style[:, :0], noise=noise)

    def latents(self, ids: dict[str, np.ndarray]) -> Latents:
        """Number the latents of a batch.

        Args:
            ids: By level, `[N]`; of the parents, too.
        """
        places, groups, first = {}, {}, 0
        for name, level in self.levels.items():
            groups[name] = np.unique(ids[name])
            shape = len(groups[name]), level.loading.shape[1]
            places[name] = first + np.arange(np.prod(shape)).reshape(shape)
            first += places[name].size
        count = len(next(iter(ids.values())))
        shape = count, self.style.shape[1]
        places[STYLE] = first + np.arange(np.prod(shape)).reshape(shape)
        return Latents(places, groups)

    def prior_precision(self, ids: dict[str, np.ndarray]) -> np.ndarray:
        """Of all latents, `[Z, Z]`."""
        places, groups = self.latents(ids)
        total = sum(part.size for part in places.values())
        result = np.zeros((total, total))
        for name, level in self.levels.items():
            for group, row in zip(groups[name], places[name]):
                if level.parent is None:
                    result[row, row] += 1
                    continue
                outer = set(ids[level.parent][ids[name] == group])
                assert len(outer) == 1, f"{name} {group} is in {outer}"
                at = np.searchsorted(groups[level.parent], outer.pop())
                above = places[level.parent][at]
                result[row, row] += level.precision
                result[above, above] += level.precision
                result[row, above] -= level.precision
                result[above, row] -= level.precision
        styles = places[STYLE].ravel()
        result[styles, styles] += 1
        return result

    def design(self, ids: dict[str, np.ndarray]) -> np.ndarray:
        """What the latents make of the values, `[N, values, Z]`."""
        places, groups = self.latents(ids)
        count = len(places[STYLE])
        total = sum(part.size for part in places.values())
        result = np.zeros((count, len(self.center), total))
        for i in range(count):
            for name, level in self.levels.items():
                at = np.searchsorted(groups[name], ids[name][i])
                result[i][:, places[name][at]] += level.loading
            result[i][:, places[STYLE][i]] += self.style
        return result

    def posterior(
        self, x: np.ndarray, ids: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean `[Z]` and precision `[Z, Z]` of all latents given a batch."""
        design = self.design(ids)
        heard = np.linalg.solve(self.noise, design)
        precision = self.prior_precision(ids)
        precision = precision + np.einsum("nvz,nvy->zy", design, heard)
        told = np.einsum("nvz,nv->z", heard, x - self.center)
        return scipy.linalg.solve(precision, told, assume_a="pos"), precision

    def log_prob(self, x: np.ndarray, ids: dict[str, np.ndarray]) -> float:
        """The exact log p(x) of a batch, nats: the exact posterior's ELBO."""
        loc, precision = self.posterior(x, ids)
        return self.elbo(x, ids, loc, np.linalg.inv(precision))

    def elbo(
        self,
        x: np.ndarray,
        ids: dict[str, np.ndarray],
        loc: np.ndarray,
        covariance: np.ndarray,
    ) -> float:
        """E_q[log p(x, z) - log q(z)] of a normal q of all latents, nats."""
        design, prior = self.design(ids), self.prior_precision(ids)
        off = x - self.center - design @ loc
        inverse = np.linalg.inv(self.noise)
        heard = np.einsum("nvz,vu,nuy->zy", design, inverse, design)
        likelihood = -0.5 * (
            np.einsum("nv,vu,nu->", off, inverse, off)
            + np.sum(heard * covariance)
            + len(x) * log_det(2 * np.pi * self.noise)
        )
        kl = 0.5 * (
            np.sum(prior * covariance)
            + loc @ prior @ loc
            - len(loc)
            - log_det(prior)
            - log_det(covariance)
        )
        return likelihood - kl

    def blocks(
        self, ids: dict[str, np.ndarray], hierarchical: bool = True
    ) -> list[np.ndarray]:
        """What a q of the model sees as independent: places, by block.

        Every dimension of every group is by itself; with the hierarchical
        q(p) q(v | p), together with those of the groups in it. Where the
        decoder reads the innermost of them alone, that q has any precision
        which such a block can have.

        Args:
            ids: By level, `[N]`.
            hierarchical: Whether nested groups are seen together.
        """
        places, groups = self.latents(ids)
        block = np.arange(sum(part.size for part in places.values()))
        for name, level in self.levels.items():
            if level.parent is None or not hierarchical:
                continue
            for group, row in zip(groups[name], places[name]):
                outer = ids[level.parent][ids[name] == group][0]
                at = np.searchsorted(groups[level.parent], outer)
                block[row] = block[places[level.parent][at]]
        return [np.flatnonzero(block == number) for number in np.unique(block)]

    def from_evidence(
        self,
        ids: dict[str, np.ndarray],
        precision: np.ndarray,
        weighted_loc: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the q that evidence and the prior make.

        Args:
            ids: By level, `[N]`.
            precision: Of what is said of each latent, `[Z]`, or zero.
            weighted_loc: The same times its mean, `[Z]`.
        """
        total = self.prior_precision(ids) + np.diag(precision)
        covariance = np.linalg.inv(total)
        return covariance @ weighted_loc, covariance

    def best(
        self,
        x: np.ndarray,
        ids: dict[str, np.ndarray],
        blocks: list[np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the best q with independent blocks."""
        loc, precision = self.posterior(x, ids)
        covariance = np.zeros_like(precision)
        for block in blocks:
            square = np.ix_(block, block)
            covariance[square] = np.linalg.inv(precision[square])
        return loc, covariance

    def bound(
        self,
        x: np.ndarray,
        ids: dict[str, np.ndarray],
        blocks: list[np.ndarray],
    ) -> float:
        """The largest ELBO of any q with independent blocks, nats."""
        return self.elbo(x, ids, *self.best(x, ids, blocks))

    def sample(
        self, ids: dict[str, np.ndarray], generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """A batch `[N, values]`, and its latents `[Z]`."""
        prior = self.prior_precision(ids)
        draws = generator.normal(size=len(prior))
        z = scipy.linalg.solve_triangular(
            np.linalg.cholesky(prior).T, draws, lower=False
        )
        design = self.design(ids)
        root = np.linalg.cholesky(self.noise)
        noise = generator.normal(size=design.shape[:2]) @ root.T
        return self.center + design @ z + noise, z


def log_det(matrix: np.ndarray) -> float:
    """Of a positive matrix."""
    return np.linalg.slogdet(matrix)[1]
