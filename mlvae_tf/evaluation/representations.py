"""What observations and sets of them are compared by, with its baselines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from mlvae_tf.comparison import Comparison, Normals
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation.posteriors import Posteriors

PCA_COMPONENTS = 20
FISHER_COMPONENTS = 100

# From rows [M, k] of observations to the representation of each set of k.
Gather = Callable[[np.ndarray], Normals]


def _mean(points: np.ndarray) -> Gather:
    return lambda rows: Normals(points[rows].mean(axis=1))


def group_means(points: np.ndarray, group_index: np.ndarray) -> np.ndarray:
    """The mean of each group's points, `[N, dim]` to `[G, dim]`."""
    sizes = np.bincount(group_index)
    sums = [np.bincount(group_index, column) for column in points.T]
    return np.stack(sums, axis=1) / sizes[:, np.newaxis]


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
    _, numbers = np.unique(group_index[several], return_inverse=True)
    if len(points) == 0 or numbers.max() == 0:
        return None
    sizes, centers = np.bincount(numbers), group_means(points, numbers)
    deviations = points - centers[numbers]
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


def content_directions(learned: Posteriors) -> np.ndarray | None:
    """The linear discriminants of the means of contents.

    They are found in units of the evidence's scale in every dimension: in
    these the model takes the spread within groups to be one, towards which
    their covariance is shrunk.

    Args:
        learned: Posteriors of the groups' observations.

    Returns:
        Directions `[content_dim, dim]` as `discriminants` finds them.
    """
    _, group_index = np.unique(learned.group_ids, return_inverse=True)
    unit = np.mean(learned.content.scale.numpy() ** -2.0, axis=0) ** -0.5
    found = discriminants(learned.content.loc.numpy() / unit, group_index)
    return None if found is None else found / unit[:, np.newaxis]


def contents(posteriors: Posteriors, learned: Posteriors) -> dict[str, Gather]:
    """How contents may be compared, by name.

    They accumulate the evidence of a set, and are compared as posteriors, by
    their means, or by the linear discriminants of these that tell the learned
    groups apart, where there are such.

    Args:
        posteriors: Of what is compared.
        learned: Posteriors of other groups' observations.
    """

    def compared_by(way: str) -> Gather:
        comparison = Comparison(way, posteriors.accumulation.rule)

        def gather(rows: np.ndarray) -> Normals:
            sets = np.repeat(np.arange(len(rows)), rows.shape[1])
            return comparison.of(posteriors.sums(rows.ravel(), sets))

        return gather

    means = compared_by("means")
    found = {
        "content_posteriors": compared_by("posteriors"),
        "content_means": means,
    }
    directions = content_directions(learned)
    if directions is not None:
        found["content_discriminants"] = lambda rows: Normals(
            means(rows).loc @ directions
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
