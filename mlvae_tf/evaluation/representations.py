"""What observations and sets of them are compared by, with its baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation.posteriors import Posteriors

PCA_COMPONENTS = 20
FISHER_COMPONENTS = 100


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


def similarity(left: Normals, right: Normals) -> np.ndarray:
    """How well two representations agree, summed over dimensions.

    For normals, the log of the integral of their product (the mutual
    likelihood of one latent), up to a constant:

        -1/2 sum_d ((loc - loc')^2 / (var + var') + log(var + var'));

    for points, the negative squared distance.

    References:
        Shi and Jain 2019, Probabilistic Face Embeddings (ICCV), Eq. 3.
    """
    squares = (left.loc - right.loc) ** 2
    variance = left.variance + right.variance
    if isinstance(variance, float):
        return -squares.sum(-1)
    return -0.5 * (squares / variance + np.log(variance)).sum(-1)


# From rows [M, k] of observations to the representation of each set of k.
Gather = Callable[[np.ndarray], Normals]


def _mean(points: np.ndarray) -> Gather:
    return lambda rows: Normals(points[rows].mean(axis=1))


def discriminants(
    points: np.ndarray, group_index: np.ndarray
) -> np.ndarray | None:
    """The linear discriminants of groups, scaled to unit variance within them.

    The covariance within groups is shrunk (Ledoit and Wolf), since there may
    be few points.

    Args:
        points: `[N, dim]`.
        group_index: `[N]`, of G groups. Those with one point are left out.

    Returns:
        Directions `[dim, min(G - 1, dim)]`, the one in which groups differ
        most first; None without two groups of different points.

    References:
        Belhumeur, Hespanha and Kriegman 1997, Eigenfaces vs. Fisherfaces
        (PAMI), Section 2.4.
    """
    several = np.bincount(group_index)[group_index] > 1
    points = points[several].astype(np.float64)
    _, index = np.unique(group_index[several], return_inverse=True)
    if len(points) == 0 or index.max() == 0:
        return None
    sizes = np.bincount(index)
    centers = np.stack([np.bincount(index, x) / sizes for x in points.T], 1)
    deviations = points - centers[index]
    if not deviations.any():
        return None
    within = LedoitWolf(assume_centered=True).fit(deviations).covariance_
    between = np.cov(centers.T, fweights=sizes)
    _, directions = scipy.linalg.eigh(np.atleast_2d(between), within)
    return directions[:, ::-1][:, : len(centers) - 1]


class Components:
    """The first principal components of observations, and their discriminants.

    Args:
        train: What they are fitted to.

    Attributes:
        discriminants: What `discriminants` finds in the components.
    """

    def __init__(self, train: GroupedData) -> None:
        seen = flat(train.values())
        self._pca = PCA(min(FISHER_COMPONENTS, *seen.shape), random_state=0)
        self.discriminants = discriminants(
            self._pca.fit_transform(seen), train.group_index
        )

    def of(self, observations: np.ndarray) -> np.ndarray:
        """From `[N, ...]` to at most 100 components, `[N, components]`."""
        return self._pca.transform(flat(observations))


def filled(observations: np.ndarray) -> np.ndarray:
    """Observations with 0 for a value that is not known, NaN."""
    return np.where(np.isnan(observations), 0, observations)


def flat(observations: np.ndarray) -> np.ndarray:
    """Observations as vectors, filled."""
    return filled(observations).reshape(len(observations), -1)


def contents(posteriors: Posteriors, learned: Posteriors) -> dict[str, Gather]:
    """How contents may be compared, by name.

    They accumulate the evidence of a set, and are compared as posteriors, by
    their means, or by the linear discriminants of these that tell the learned
    groups apart, where there are such. The discriminants read every dimension
    in units of its evidence's scale: in these the model takes the spread
    within groups to be one, towards which their covariance is shrunk.

    Args:
        posteriors: Of what is compared.
        learned: Posteriors of other groups' observations.
    """

    def content(rows: np.ndarray) -> Normals:
        sets = np.repeat(np.arange(len(rows)), rows.shape[1])
        posterior = posteriors.accumulate(rows.ravel(), sets)
        loc, deviation = posterior.loc.numpy(), posterior.scale.numpy()
        return Normals(loc, deviation**2)

    found = {
        "content_posteriors": content,
        "content_means": lambda rows: Normals(content(rows).loc),
    }
    _, index = np.unique(learned.group_ids, return_inverse=True)
    unit = np.mean(learned.content.scale.numpy() ** -2.0, axis=0) ** -0.5
    directions = discriminants(learned.content.loc.numpy() / unit, index)
    if directions is not None:
        found["content_discriminants"] = lambda rows: Normals(
            content(rows).loc / unit @ directions
        )
    return found


def representations(
    posteriors: Posteriors,
    unseen: GroupedData,
    learned: Posteriors,
    components: Components,
) -> dict[str, Gather]:
    """What is compared: contents, styles, and the baselines.

    Of all but the contents, sets are averaged and points compared. `pca` has
    the 20 first components of the training observations; `pca_discriminants`
    the linear discriminants of the 100 first.

    Args:
        posteriors: Of the unseen observations.
        unseen: The unseen observations.
        learned: Posteriors of training observations.
        components: Fitted to those observations.
    """
    of_pixels = components.of(unseen.values())
    found = {
        **contents(posteriors, learned),
        "style": _mean(posteriors.style.loc.numpy()),
        "pixels": _mean(flat(unseen.values())),
        "pca": _mean(of_pixels[:, :PCA_COMPONENTS]),
    }
    if components.discriminants is not None:
        found["pca_discriminants"] = _mean(of_pixels @ components.discriminants)
    return found
