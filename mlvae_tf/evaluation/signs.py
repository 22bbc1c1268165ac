"""Signs of how a training goes, quick to read off a few observations."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from tensorflow_probability import distributions as tfd

from mlvae_tf import noise, objective
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.model import MLVAE

MAX_GROUPS = 50  # That a probe is asked to tell apart.
PIECE = 4  # Observations that make a content, as in a batch by default.
JITTER = 1e-4  # Of the latents' range.
ACTIVE = 0.05  # Of its variance, what a dimension that says anything knows.

Array = np.ndarray


class Sample(NamedTuple):
    """A few observations to look at.

    Attributes:
        train: Of those that a model learns from.
        held_out: Others of the same groups; None where there are none.
    """

    train: GroupedData
    held_out: GroupedData | None

    @classmethod
    def of(cls, splits: Splits, count: int, seed: int) -> Sample:
        """At most `count` of either kind, of at most `MAX_GROUPS` groups."""
        train, held_out = splits.train, splits.evaluation
        groups = train.groups if held_out is None else held_out.groups
        generator = noise.generator(seed, noise.Stream.SAMPLE)
        groups = generator.permutation(groups)[:MAX_GROUPS]

        def some(data: GroupedData) -> GroupedData:
            chosen = np.isin(data.groups, groups)[data.group_index]
            if not chosen.all():
                data = data[np.flatnonzero(chosen)]
            return data.sample(count, seed)

        return cls(some(train), None if held_out is None else some(held_out))


@dataclasses.dataclass(frozen=True)
class Signs:
    """What is read off a model.

    Latents are the levels that are drawn, and the style.

    Attributes:
        kl: By latent, the mean KL of each dimension, nats. A level's is of
            contents of a few observations, since many that say next to nothing
            add up to something; the style's is of the style before a flow,
            which makes much of next to nothing.
        mean_share: By latent, of each dimension the share of its variance that
            lies between the posteriors' means, not within the posteriors;
            likewise before a flow.
        drawn: By latent, by which share of the observations' variance what is
            drawn changes once another observation's takes its place.
        accuracy: By level and latent, how often a linear probe names the
            level's group of a held-out observation by that latent; what cannot
            be asked is left out.
        chance: By level, the accuracy of always naming the most frequent group.
        explained: The share of the variance of training observations that is
            drawn.
        explained_held_out: The same of held-out ones; None without any.
        reach: How far the styles of held-out observations lie from where a
            style most likely is, over how far those of training observations
            do, by medians; None without either.
    """

    kl: dict[str, Array]
    mean_share: dict[str, Array]
    drawn: dict[str, float]
    accuracy: dict[str, dict[str, float]]
    chance: dict[str, float]
    explained: float
    explained_held_out: float | None
    reach: float | None

    @property
    def active(self) -> dict[str, int]:
        """By latent, how many dimensions say anything."""
        return {
            n: int(np.sum(of > ACTIVE)) for n, of in self.mean_share.items()
        }


def look(model: MLVAE, sample: Sample) -> Signs:
    """Read the signs off a model.

    Args:
        model: The model.
        sample: What to look at.
    """
    train, held_out = sample
    posteriors = _by_level(model, train)
    variance = _mean_square(train.values() - np.nanmean(train.values(), axis=0))
    learned = {name: _contents(of, PIECE) for name, of in posteriors.items()}
    if model.style_dim:
        style = model.style.name
        learned[style] = _learned_styles(model, train, posteriors)
    accuracy: dict[str, dict[str, float]] = {}
    chance: dict[str, float] = {}
    explained_held_out = reach = None
    if held_out is not None:
        others = _by_level(model, held_out)
        reach = _reach(model, posteriors, others)
        accuracy, chance = _accuracies(model, posteriors, others)
        explained_held_out = _explained(model, held_out, others, variance)
    return Signs(
        {name: _mean_kl(of) for name, of in learned.items()},
        {name: _mean_share(of) for name, of in learned.items()},
        _shares(model, posteriors, variance),
        accuracy,
        chance,
        _explained(model, train, posteriors, variance),
        explained_held_out,
        reach,
    )


def _by_level(model: MLVAE, data: GroupedData) -> dict[str, Posteriors]:
    """Of each level that is drawn."""
    names = [level.name for level in model.codec.drawn]
    if len(model.levels) == 1:
        return {names[0]: Posteriors.of(model, data)}
    return {name: Posteriors.of(model, data.on(name)) for name in names}


def probe(
    train: tuple[Array, Array], test: tuple[Array, Array]
) -> tuple[float, float] | None:
    """How often a linear probe names the group.

    Args:
        train: Latents `[N, dim]` and group ids `[N]`.
        test: The same of other observations.

    Returns:
        `(accuracy, chance)`, or None where there is nothing to name or to name
        it by.
    """
    groups, counts = np.unique(train[1], return_counts=True)
    learned = np.isin(test[1], groups[counts > 1])
    spread = np.ptp(train[0], axis=0).max()
    if not 2 <= len(groups) < len(train[1]) or not learned.any() or not spread:
        return None
    # Without noise, groups of one point each have no linear discriminants.
    noisy = np.random.default_rng(0).normal(train[0], JITTER * spread)
    fitted = LinearDiscriminantAnalysis().fit(noisy, train[1])
    accuracy = np.mean(fitted.predict(test[0][learned]) == test[1][learned])
    most = np.unique(test[1][learned], return_counts=True)[1].max()
    return float(accuracy), float(most / np.count_nonzero(learned))


def _accuracies(
    model: MLVAE, train: dict[str, Posteriors], test: dict[str, Posteriors]
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    chances = {}
    learned, asked = _means(model, train), _means(model, test)
    for level in train:
        ids = train[level].group_ids, test[level].group_ids
        for name, latents in learned.items():
            if probed := probe((latents, ids[0]), (asked[name], ids[1])):
                found.setdefault(level, {})[name], chances[level] = probed
    return found, chances


def _contents(posteriors: Posteriors, count: int) -> tfd.Normal:
    """Those of groups of so many observations, or as many as there are."""
    largest = int(np.unique(posteriors.group_ids, return_counts=True)[1].max())
    sets = posteriors.deal(min(count, largest), np.random.default_rng(0))
    return posteriors.accumulate(sets.rows, sets.set_ids)


def _learned_styles(
    model: MLVAE, data: GroupedData, posteriors: dict[str, Posteriors]
) -> tfd.Normal:
    """Those before a flow, each given its own contents."""
    codec = model.codec
    features = codec.propose(tf.constant(data.values())).features
    contents = {name: of.content.loc for name, of in posteriors.items()}
    return codec.learned_style(features, contents)


def _mean_share(posterior: tfd.Normal) -> Array:
    """By dimension, the share of the variance that is of the means."""
    of_means = np.var(posterior.loc, axis=0)
    return of_means / (of_means + np.mean(posterior.variance(), axis=0))


def _mean_kl(posterior: tfd.Normal) -> Array:
    """By dimension, nats."""
    # One dimension at a time, as if it were all there is.
    loc, scale = posterior.loc[..., tf.newaxis], posterior.scale
    kl = objective.standard_normal_kl(loc, scale[..., tf.newaxis])
    return tf.reduce_mean(kl, axis=0).numpy()


def _mean_square(differences: Array) -> float:
    return float(np.nanmean(np.square(differences)))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _draw(model: MLVAE, latents: dict[str, Array]) -> Array:
    contents = dict(latents)
    count = len(next(iter(latents.values())))
    nothing = np.zeros((count, 0), np.float32)
    style = contents.pop(model.style.name, nothing)
    return model.decode(contents, style).mean().numpy()


def _means(model: MLVAE, posteriors: dict[str, Posteriors]) -> dict[str, Array]:
    """By latent, `[N, dim]`."""
    means = {name: of.content.loc.numpy() for name, of in posteriors.items()}
    style = next(iter(posteriors.values())).style.loc.numpy()
    return means | ({model.style.name: style} if model.style_dim else {})


def _reach(
    model: MLVAE, train: dict[str, Posteriors], test: dict[str, Posteriors]
) -> float | None:
    """How far held-out styles lie, over how far those learned from do."""
    if not model.style_dim:
        return None
    near, far = (
        np.median(np.linalg.norm(_means(model, of)[model.style.name], axis=-1))
        for of in (train, test)
    )
    return _share(float(far), float(near))


def _explained(
    model: MLVAE,
    data: GroupedData,
    posteriors: dict[str, Posteriors],
    variance: float,
) -> float:
    """The share of the variance that is drawn."""
    left = _mean_square(_draw(model, _means(model, posteriors)) - data.values())
    return 1 - _share(left, variance)


def _shares(
    model: MLVAE, posteriors: dict[str, Posteriors], variance: float
) -> dict[str, float]:
    """By latent, the share of the variance that changes with another's."""
    latents = _means(model, posteriors)
    own = _draw(model, latents)
    first = next(iter(posteriors.values()))
    shares = {}
    for name, values in latents.items():
        ids = posteriors.get(name, first).group_ids
        by_group = np.argsort(ids, kind="stable")
        changed = np.empty_like(values)
        changed[by_group] = values[np.roll(by_group, len(by_group) // 2)]
        drawn = _draw(model, {**latents, name: changed})
        shares[name] = _share(_mean_square(drawn - own), variance)
    return shares
