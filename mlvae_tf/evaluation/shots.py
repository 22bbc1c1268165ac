"""Few-shot identification: who is it, of groups that showed a few."""

from __future__ import annotations

import numpy as np

from mlvae_tf import noise, progress
from mlvae_tf.comparison import Normals, pairs
from mlvae_tf.data.sampling import by_group
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.evaluation.representations import Gather, contents

MAX_GROUPS = 50  # In an episode.
SHOTS = 1, 3, 5
EPISODES = 1000
FOLDS = 5  # Of the groups by which a way to compare is chosen, and ...
CHOOSING_EPISODES = 100  # ... over all folds.
# The last is the model's own, and taken where nothing can be tried.
ORDER = "content_discriminants", "content_means", "content_posteriors"

# Whether each query of each episode is named right, and its group.
Named = tuple[np.ndarray, np.ndarray]


def identify(
    gather: dict[str, Gather],
    group_ids: np.ndarray,
    shots: tuple[int, ...],
    episodes: int,
    seed: int,
) -> dict[str, dict[str, Named]]:
    """Few-shot identification: which queries are named right.

    In an episode every group (at most `MAX_GROUPS`, drawn at random) shows so
    many observations, its gallery, and is asked for with another one. The query
    goes to the group whose gallery it resembles most. All representations see
    the same episodes.

    Args:
        gather: The representations, by name.
        group_ids: `[N]`.
        shots: How many observations a gallery has; those that fewer than two
            groups have enough for are left out.
        episodes: How many there are.
        seed: Seed of the episodes.

    Returns:
        By representation and number of shots, whether each query is named
        right and its group, `[episodes, groups]` both.
    """
    result: dict[str, dict[str, Named]] = {name: {} for name in gather}
    for count in shots:
        drawn = draw(group_ids, count, 0, episodes, seed)
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


def draw(
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

    They are identified among each other; the discriminants that are asked for
    a fifth of the groups are those of the rest. Groups that were learned by
    heart are told apart by anything, which leaves open what tells others. So it
    is the first of discriminants, means and posteriors that the best beats by
    no more than the standard error of the difference, over groups, or than one
    group more could change.

    Args:
        learned: Posteriors of training observations.
        seed: Seed of the fifths and the episodes.

    Returns:
        A name of `representations.contents`.
    """
    generator = noise.generator(seed, noise.Stream.FOLDS)
    groups, index = np.unique(learned.group_ids, return_inverse=True)
    fold_of = generator.permutation(np.arange(len(groups)) % FOLDS)
    folds = [_of_fold(learned, index, fold_of, n, seed) for n in range(FOLDS)]
    folds = [fold for fold in folds if fold]
    if not folds:
        return ORDER[-1]
    names = [name for name in ORDER if all(name in fold for fold in folds)]
    scores = {
        name: np.concatenate([fold[name] for fold in folds]) for name in names
    }
    best = max(scores.values(), key=np.mean)
    return next(
        name for name, score in scores.items() if _by_chance(best - score)
    )


def _by_chance(behind: np.ndarray) -> bool:
    """Whether what is missing, `[G]`, is as little as chance would make it.

    Where nearly all are named right, the standard error is next to nothing,
    and one group more could make the difference.
    """
    error = behind.std() / np.sqrt(max(len(behind) - 1, 1))
    return bool(behind.mean() <= max(error, 1 / len(behind)))


def _of_fold(
    learned: Posteriors,
    group_index: np.ndarray,
    fold_of: np.ndarray,
    fold: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """By way to compare, how often each group of a fold is named right.

    Nothing, where none of them can be asked for.

    Args:
        learned: Posteriors of the observations of all folds.
        group_index: `[N]`, the group of each.
        fold_of: `[G]`, the fold of each group.
        fold: The fold that is asked for.
        seed: Seed of the episodes.
    """
    apart = fold_of[group_index] != fold
    if not apart.any():
        return {}
    ways = contents(learned, learned[np.flatnonzero(apart)])
    episodes = CHOOSING_EPISODES // FOLDS
    found = identify(ways, group_index, SHOTS, episodes, seed + fold)
    scores = {}
    for name, column in found.items():
        if not column:
            return {}
        right, asked = (
            np.concatenate([part.ravel() for part in parts])
            for parts in zip(*column.values())
        )
        mine = fold_of[asked] == fold
        _, places = np.unique(asked[mine], return_inverse=True)
        scores[name] = np.bincount(places, right[mine]) / np.bincount(places)
    return scores
