"""Groups never seen in training: k-shot identification, and verification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_curve

from mlvae_tf import noise, progress
from mlvae_tf.comparison import Normals, pairs, similarity
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.sampling import by_group
from mlvae_tf.evaluation.bootstrap import (
    Estimate,
    estimate_of_units,
    estimate_statistic,
)
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.evaluation.representations import (
    Components,
    Gather,
    contents,
    representations,
)
from mlvae_tf.model import MLVAE

MAX_TRAIN_OBSERVATIONS = 20_000
MAX_PAIRS = 50_000
MAX_GROUPS = 50  # In an episode.
SHOTS = 1, 3, 5
EPISODES = 1000
Observe = Callable[[np.ndarray], np.ndarray]


def identification(
    gather: dict[str, Gather],
    group_ids: np.ndarray,
    shots: tuple[int, ...] = SHOTS,
    episodes: int = EPISODES,
    seed: int = 0,
) -> dict[str, dict[str, np.ndarray]]:
    """Few-shot identification: whether each query is named right.

    In an episode every group (at most `MAX_GROUPS`, drawn at random) shows
    `shots` observations, its gallery, and is asked for with another one. The
    query goes to the group whose gallery it resembles most. All
    representations see the same episodes.

    Returns:
        For every representation, by the number of shots, the fraction of its
        queries that each episode named right, `[episodes]`. Numbers of shots
        that fewer than two groups have observations for are left out.
    """
    named = _identify(gather, group_ids, shots, episodes, seed)
    return {
        name: {
            count: right.mean(axis=1) for count, (right, _) in column.items()
        }
        for name, column in named.items()
    }


# Whether each query of each episode is named right, and its group.
_Named = tuple[np.ndarray, np.ndarray]


def _identify(
    gather: dict[str, Gather],
    group_ids: np.ndarray,
    shots: tuple[int, ...],
    episodes: int,
    seed: int,
) -> dict[str, dict[str, _Named]]:
    result: dict[str, dict[str, _Named]] = {name: {} for name in gather}
    for count in shots:
        drawn = _episodes(group_ids, count, 0, episodes, seed)
        if drawn is None:
            continue
        for name, represent in gather.items():
            sets = drawn.reshape(-1, count + 1)
            gallery = represent(sets[:, :count])
            queries = represent(sets[:, count:])
            numbers = np.arange(len(sets)).reshape(drawn.shape[:2])
            shown = progress.track(numbers, len(numbers), f"telling by {name}")
            right = [_name(queries[rows], gallery[rows]) for rows in shown]
            groups = group_ids[drawn[..., count]]
            result[name][str(count)] = np.array(right), groups
    return result


def _episodes(
    group_ids: np.ndarray,
    count: int,
    spare: int,
    episodes: int,
    seed: int,
) -> np.ndarray | None:
    """Draw `count` and one more of each group, `[episodes, groups, count + 1]`.

    Of groups that have `spare` others; None if these are fewer than two.
    """
    groups, sizes = np.unique(group_ids, return_counts=True)
    able = groups[sizes > count + spare]
    if len(able) < 2:
        return None
    group_index = np.searchsorted(groups, group_ids).astype(np.int32)
    order, offsets = by_group(group_index, len(groups))
    of_groups = dict(zip(groups.tolist(), np.split(order, offsets[1:-1])))
    generator = noise.generator(seed, noise.Stream.EPISODES, count)
    ways = min(len(able), MAX_GROUPS)
    return np.array(
        [
            [
                generator.permutation(of_groups[group])[: count + 1]
                for group in generator.permutation(able)[:ways].tolist()
            ]
            for _ in range(episodes)
        ]
    )


def _name(queries: Normals, gallery: Normals) -> np.ndarray:
    """Whether each query resembles its own gallery most."""
    nearest = pairs(queries, gallery).argmax(axis=1)
    return nearest == np.arange(len(nearest))


def best_comparison(learned: Posteriors, seed: int) -> str:
    """Which way to compare contents serves best, as training groups tell.

    One half of them are identified, the discriminants being those of the
    other half.

    Args:
        learned: Posteriors of training observations.
        seed: Seed of the halves and the episodes.

    Returns:
        A name of `representations.contents`.
    """
    generator = noise.generator(seed, noise.Stream.HALVES)
    groups = generator.permutation(np.unique(learned.group_ids))
    half = np.isin(learned.group_ids, groups[: len(groups) // 2])
    asked = learned[np.flatnonzero(~half)]
    ways = {}
    if half.any():
        ways = contents(asked, learned[np.flatnonzero(half)])
    found = identification(ways, asked.group_ids, episodes=100, seed=seed)
    scores = {
        name: np.mean([right.mean() for right in column.values()])
        for name, column in found.items()
        if column
    }
    return max(scores, key=scores.__getitem__, default="content_posteriors")


def swaps(
    model: MLVAE,
    posteriors: Posteriors,
    unseen: GroupedData,
    observe: Observe,
    shots: tuple[int, ...] = SHOTS,
    episodes: int = 200,
    seed: int = 0,
) -> dict[str, dict[str, Estimate]]:
    """Whom swapped observations resemble.

    In an episode every group (at most `MAX_GROUPS`, drawn at random) gives its
    content, from `shots` observations, and the style of another one goes to
    another group. What is decoded is given to the group whose other
    observations it is nearest to in the mean, as `observe` sees them.

    Args:
        model: The model.
        posteriors: Of the unseen observations.
        unseen: The unseen observations.
        observe: From observations `[N, ...]` to points `[N, dim]`.
        shots: How many observations a content is of.
        episodes: How many episodes.
        seed: Seed of the episodes.

    Returns:
        By the number of shots, estimates over groups: `judge_accuracy`, of
        real observations, `content_group` and `style_group`, the fractions of
        swaps given to the group of the content and of the style. Numbers that
        fewer than two groups have observations for are left out.
    """
    points = observe(unseen.values())
    group_index, styles = unseen.group_index, posteriors.style.loc.numpy()
    sizes = np.bincount(group_index)[:, np.newaxis]
    totals = np.stack([np.bincount(group_index, x) for x in points.T], axis=1)
    found: dict[str, dict[str, Estimate]] = {
        name: {} for name in ("judge_accuracy", "content_group", "style_group")
    }
    for count in shots:
        drawn = _episodes(unseen.group_ids, count, 1, episodes, seed)
        if drawn is None:
            continue
        generator = noise.generator(seed, noise.Stream.RECEIVERS, count)
        ways = drawn.shape[1]
        own = np.arange(ways)
        scores = []
        for rows in progress.track(drawn, len(drawn), "swapping"):
            donors = (own + generator.integers(1, ways)) % ways
            queries = rows[:, count]
            contents = posteriors.accumulate(
                rows[:, :count].ravel(), np.repeat(own, count)
            )
            swapped = model.decode(
                contents.loc, tf.constant(styles[queries[donors]])
            ).mean()
            group = group_index[queries]
            others = totals[group] - points[rows].sum(axis=1)
            centers = others / (sizes[group] - count - 1)
            real = cdist(points[queries], centers).argmin(axis=1)
            named = cdist(observe(swapped.numpy()), centers).argmin(axis=1)
            scores.append([real == own, named == own, named == donors])
        asked = group_index[drawn[..., count]]
        for name, right in zip(found, np.swapaxes(scores, 0, 1), strict=True):
            found[name][str(count)] = estimate_of_units(right, asked)
    return found


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

    All pairs are scored, or where there are more than 50,000 as many at
    random, half of them of one group. The interval of the area resamples
    observations, since pairs that share one depend on each other.
    """
    generator = noise.generator(seed, noise.Stream.PAIRS)
    left, right = _pairs(group_ids, generator)
    single = represent(np.arange(len(group_ids))[:, np.newaxis])
    scores = similarity(single[left], single[right])
    order = np.argsort(scores, kind="stable")
    left, right, scores = left[order], right[order], scores[order]
    same = group_ids[left] == group_ids[right]
    false, true, _ = roc_curve(same, scores)
    # Equal scores go together.
    starts = np.flatnonzero(np.append(True, scores[1:] > scores[:-1]))

    def area(counts: np.ndarray) -> float:
        weights = counts[left] * counts[right]
        both = np.add.reduceat(weights, starts)
        one = np.add.reduceat(weights * same, starts)
        two = both - one
        total = float(one.sum()) * float(two.sum())
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
    _, group_index, sizes = np.unique(
        group_ids, return_inverse=True, return_counts=True
    )
    order, offsets = by_group(group_index, len(sizes))
    # By place in the order: the others of the group, then all beyond it.
    start, size = offsets[group_index[order]], sizes[group_index[order]]
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


def _figures(
    best: str,
    named: dict[str, dict[str, _Named]],
    curves: dict[str, Verification],
) -> dict[str, Any]:
    """Of every way to compare, and as `content` of the best."""
    return {
        "content_compared_by": best.removeprefix("content_"),
        "identification": {
            name: {k: estimate_of_units(*found) for k, found in column.items()}
            for name, column in {"content": named[best], **named}.items()
        },
        "verification_auc": {
            name: curve.area
            for name, curve in {"content": curves[best], **curves}.items()
        },
    }


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
        groups by representation and number of shots; `verification_auc` by
        representation; in both, `content` is compared in the way that serves
        training groups best, `content_compared_by`; `chance_accuracy` by number
        of shots, that of guessing; and `swap`, what `swaps` finds as seen by
        the linear discriminants of 100 principal components of the training
        observations, where there are such, of a model of one level. Curves are
        by representation, too. Both are empty where there is a single unseen
        group, or none with two observations.
    """
    sizes = np.unique(unseen.group_ids, return_counts=True)[1]
    if len(sizes) < 2 or sizes.max() < 2:
        return {}, {}
    some = train.sample(MAX_TRAIN_OBSERVATIONS, seed=0)
    components = Components(some)
    learned = Posteriors.of(model, some)
    gather = representations(posteriors, unseen, learned, components)
    best = best_comparison(learned, seed)
    named = _identify(gather, unseen.group_ids, SHOTS, EPISODES, seed)
    curves = {
        name: verification(represent, unseen.group_ids, seed)
        for name, represent in progress.track(
            gather.items(), len(gather), "verifying"
        )
    }
    found = _figures(best, named, curves)
    found["chance_accuracy"] = {
        str(shots): 1 / min(int(able), MAX_GROUPS)
        for shots in SHOTS
        if (able := np.sum(sizes > shots)) > 1
    }
    directions = components.discriminants
    if directions is not None and len(model.levels) == 1:
        found["swap"] = swaps(
            model,
            posteriors,
            unseen,
            lambda observations: components.of(observations) @ directions,
            seed=seed,
        )
    return found, curves
