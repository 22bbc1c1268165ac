"""Groups never seen in training: who is it, and are these two the same?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.metrics import roc_curve

from mlvae_tf.data.grouping import GroupedData, scale
from mlvae_tf.data.sampling import by_group
from mlvae_tf.evaluation.bootstrap import (
    Estimate,
    estimate,
    estimate_statistic,
)
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.model import MLVAE

PCA_COMPONENTS = 20
FISHER_COMPONENTS = 100
MAX_TRAIN_OBSERVATIONS = 20_000
MAX_PAIRS = 200_000


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


def representations(
    posteriors: Posteriors,
    unseen: GroupedData,
    learned: Posteriors,
    train: GroupedData,
) -> dict[str, Gather]:
    """What is compared: contents, styles, and the baselines.

    Contents accumulate the evidence of a set and are compared as posteriors
    (`content`), by their means, or by the linear discriminants of these that
    tell the training groups apart (`content_discriminants`). Of the others,
    sets are averaged and points compared. `pca` has the 20 first components of
    the training observations; `pca_discriminants` the linear discriminants of
    the 100 first.

    Args:
        posteriors: Of the unseen observations.
        unseen: The unseen observations.
        learned: Posteriors of training observations.
        train: Those observations.
    """

    def content(rows: np.ndarray) -> Normals:
        sets = np.repeat(np.arange(len(rows)), rows.shape[1])
        posterior = posteriors.accumulate(rows.ravel(), sets)
        loc, deviation = posterior.loc.numpy(), posterior.scale.numpy()
        return Normals(loc, deviation**2)

    def flat(data: GroupedData) -> np.ndarray:
        return scale(data.observations[:]).numpy().reshape(len(data), -1)

    pixels, seen = flat(unseen), flat(train)
    pca = PCA(min(FISHER_COMPONENTS, *seen.shape), random_state=0).fit(seen)
    components = pca.transform(pixels)
    found = {
        "content": content,
        "content_means": lambda rows: Normals(content(rows).loc),
        "style": _mean(posteriors.style.loc.numpy()),
        "pixels": _mean(pixels),
        "pca": _mean(components[:, :PCA_COMPONENTS]),
    }
    index = train.group_index
    of_contents = discriminants(learned.content.loc.numpy(), index)
    of_pixels = discriminants(pca.transform(seen), index)
    if of_contents is not None and of_pixels is not None:
        found["content_discriminants"] = lambda rows: Normals(
            content(rows).loc @ of_contents
        )
        found["pca_discriminants"] = _mean(components @ of_pixels)
    return found


def identification(
    gather: dict[str, Gather],
    group_ids: np.ndarray,
    shots: tuple[int, ...] = (1, 3, 5),
    episodes: int = 1000,
    max_groups: int = 50,
    seed: int = 0,
) -> dict[str, dict[str, np.ndarray]]:
    """Few-shot identification: whether each query is named right.

    In an episode every group (at most `max_groups`, drawn at random) shows
    `shots` observations, its gallery, and is asked for with another one. The
    query goes to the group whose gallery it resembles most. All
    representations see the same episodes.

    Returns:
        For every representation, by the number of shots, the fraction of its
        queries that each episode named right, `[episodes]`. Numbers of shots
        that fewer than two groups have observations for are left out.
    """
    result: dict[str, dict[str, np.ndarray]] = {name: {} for name in gather}
    groups, sizes = np.unique(group_ids, return_counts=True)
    members = {g: np.flatnonzero(group_ids == g) for g in groups.tolist()}
    for count in shots:
        able = groups[sizes > count]
        if len(able) < 2:
            continue
        generator = np.random.default_rng([seed, count])
        ways = min(len(able), max_groups)
        drawn = np.array(
            [
                generator.permutation(members[group])[: count + 1]
                for _ in range(episodes)
                for group in generator.permutation(able)[:ways].tolist()
            ]
        )
        for name, represent in gather.items():
            gallery = represent(drawn[:, :count])
            queries = represent(drawn[:, count:])
            right = [
                _name(queries[rows], gallery[rows])
                for rows in np.arange(len(drawn)).reshape(episodes, ways)
            ]
            result[name][str(count)] = np.mean(right, axis=1)
    return result


def _name(queries: Normals, gallery: Normals) -> np.ndarray:
    """Whether each query resembles its own gallery most."""
    scores = similarity(queries[:, np.newaxis], gallery[np.newaxis])
    return scores.argmax(axis=1) == np.arange(len(scores))


class Verification(NamedTuple):
    """How well similarity tells pairs of one group from pairs of two.

    Attributes:
        false: The ROC curve's false positive rates.
        true: Its true positive rates.
        area: The area under it; 0.5 is chance.
    """

    false: np.ndarray
    true: np.ndarray
    area: Estimate


def verification(
    represent: Gather, group_ids: np.ndarray, seed: int = 0
) -> Verification:
    """Tell pairs of observations of one group from pairs of two.

    All pairs are scored, or where there are more than 200,000 as many at
    random, half of them of one group. The interval of the area resamples
    observations, since pairs that share one depend on each other.
    """
    generator = np.random.default_rng(seed)
    left, right = _pairs(group_ids, generator)
    single = represent(np.arange(len(group_ids))[:, np.newaxis])
    scores = similarity(single[left], single[right])
    same = group_ids[left] == group_ids[right]
    false, true, _ = roc_curve(same, scores)
    _, level = np.unique(scores, return_inverse=True)

    def area(counts: np.ndarray) -> float:
        weights = counts[left] * counts[right]
        one, two = (
            np.bincount(level[of], weights[of], minlength=level.max() + 1)
            for of in (same, ~same)
        )
        total = one.sum() * two.sum()
        if not total:
            return np.nan
        return float(one @ (two.cumsum() - two / 2) / total)

    return Verification(
        false, true, estimate_statistic(area, len(group_ids), seed)
    )


def _pairs(
    group_ids: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs, or so many of one group and as many of two."""
    total = len(group_ids)
    if total * (total - 1) // 2 <= MAX_PAIRS:
        return np.triu_indices(total, k=1)
    _, index, sizes = np.unique(
        group_ids, return_inverse=True, return_counts=True
    )
    order, offsets = by_group(index, len(sizes))
    # By place in the order: the others of the group, then all beyond it.
    start, size = offsets[index[order]], sizes[index[order]]
    half = MAX_PAIRS // 2
    weight = size - 1.0
    one = generator.choice(total, half, p=weight / weight.sum())
    step = 1 + generator.integers(size[one] - 1)
    same = start[one] + (one - start[one] + step) % size[one]
    weight = total - size * 1.0
    two = generator.choice(total, half, p=weight / weight.sum())
    step = generator.integers(total - size[two])
    other = (start[two] + size[two] + step) % total
    return order[np.append(one, two)], order[np.append(same, other)]


def measure(
    model: MLVAE,
    posteriors: Posteriors,
    unseen: GroupedData,
    train: GroupedData,
    seed: int,
) -> tuple[dict[str, Any], dict[str, Verification]]:
    """Identification and verification of groups that training never saw.

    Args:
        model: What inferred the posteriors.
        posteriors: Of the unseen observations.
        unseen: The unseen observations.
        train: What the model learned from; 20,000 of it are used.
        seed: Seed of episodes and pairs.

    Returns:
        `(figures, curves)`. Figures are `identification`, estimates over
        episodes by representation and number of shots, and
        `verification_auc` by representation. Curves are by representation,
        too. Both are empty where there is a single unseen group, or none with
        two observations.
    """
    sizes = np.unique(unseen.group_ids, return_counts=True)[1]
    if len(sizes) < 2 or sizes.max() < 2:
        return {}, {}
    some = train.sample(MAX_TRAIN_OBSERVATIONS, seed=0)
    gather = representations(
        posteriors, unseen, Posteriors.of(model, some), some
    )
    episodes = identification(gather, unseen.group_ids, seed=seed)
    curves = {
        name: verification(represent, unseen.group_ids, seed)
        for name, represent in gather.items()
    }
    return {
        "identification": {
            name: {k: estimate(right) for k, right in column.items()}
            for name, column in episodes.items()
        },
        "verification_auc": {n: curve.area for n, curve in curves.items()},
    }, curves
