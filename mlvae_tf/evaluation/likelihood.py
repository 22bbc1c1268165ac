"""Bounds on the log likelihood of held-out groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import (
    batches,
    checks,
    evidence,
    noise,
    objective,
    progress,
    whole,
)
from mlvae_tf.batches import Part
from mlvae_tf.codec import Codec
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.pipeline import make_dataset
from mlvae_tf.data.sampling import Batching
from mlvae_tf.evaluation.bootstrap import (
    Estimate,
    estimate,
    estimate_statistic,
)
from mlvae_tf.latents import Groups
from mlvae_tf.model import MLVAE

MAX_GROUPS = 64


def bounds(
    model: MLVAE,
    data: GroupedData,
    batching: Batching,
    num_samples: int,
    seed: int,
) -> dict[str, Any]:
    """The ELBO, of groups or with several levels of batches, and the bound.

    Returns:
        What `group_elbo` or `batch_elbo`, and `log_likelihood` return.
    """
    elbo = group_elbo if len(model.levels) == 1 else batch_elbo
    return {
        **elbo(model, data, batching, seed),
        **log_likelihood(model, data, batching, num_samples, seed),
    }


def group_elbo(
    model: MLVAE, data: GroupedData, batching: Batching, seed: int
) -> dict[str, Any]:
    """The averaged group ELBO and its terms, nats per group.

    The groups are dealt out as in training: the ELBO of a group depends on how
    many observations it has.

    Returns:
        `group_elbo`, `group_reconstruction`, `group_content_kl`,
        `group_style_kl`: estimates; and `reconstruction_per_observation`, which
        does not depend on the sizes of the groups.
    """

    epoch = make_dataset(data, batching, seed)

    @tf.function(input_signature=_of_batch(epoch), autograph=False)
    def terms_of(
        observations: tf.Tensor, group_ids: tf.Tensor, step: tf.Tensor
    ) -> objective.Terms:
        groups, segment_ids = evidence.index_groups(group_ids)
        observations = tf.cast(observations, model.variable_dtype)
        part = Part(observations, {model.levels[0].name: segment_ids})
        of_batch = noise.of_step(seed, noise.Stream.LIKELIHOOD, step)
        terms = whole.group_terms(model.elbo, part, of_batch)
        return tf.nest.map_structure(lambda t: t[: tf.size(groups)], terms)

    shown = progress.track(epoch, len(epoch), "the ELBO", seconds=0)
    parts = [
        terms_of(batch["observations"], batch["group_ids"], tf.constant(step))
        for step, batch in enumerate(shown)
    ]
    terms = tf.nest.map_structure(lambda *p: np.concatenate(p), *parts)
    columns = {
        "group_elbo": terms.elbo,
        "group_reconstruction": terms.reconstruction,
        **{f"group_{name}_kl": values for name, values in terms.kl.items()},
    }
    per_group = len(data) / len(terms.reconstruction)
    columns["reconstruction_per_observation"] = terms.reconstruction / per_group
    return {name: estimate(values) for name, values in columns.items()}


def batch_elbo(
    model: MLVAE, data: GroupedData, batching: Batching, seed: int
) -> dict[str, Estimate]:
    """The ELBO and its terms, nats per group of the first level in a batch.

    How many groups share a batch decides what a level's KL is divided by, so
    batches are as in training, and intervals resample them.

    Returns:
        `group_elbo`, `group_reconstruction`, a `group_LEVEL_kl` each;
        `elbo_per_observation`, `reconstruction_per_observation`.
    """

    epoch = make_dataset(data, batching, seed)

    @tf.function(input_signature=_of_batch(epoch), autograph=False)
    def terms_of(
        observations: tf.Tensor,
        group_ids: dict[str, tf.Tensor],
        step: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        segment_ids = batches.number(group_ids, model.codec.parents)
        part = Part(tf.cast(observations, model.variable_dtype), segment_ids)
        of_batch = noise.of_step(seed, noise.Stream.LIKELIHOOD, step)
        terms = whole.mean_terms(model.elbo, part, of_batch)
        kls = {f"group_{name}_kl": kl for name, kl in terms.kl.items()}
        means = {"elbo": terms.elbo, "reconstruction": terms.reconstruction}
        named = {f"group_{name}": mean for name, mean in means.items()}
        return {**named, **kls}, batches.num_groups(segment_ids)

    shown = progress.track(epoch, len(epoch), "the ELBO", seconds=0)
    means, groups, observations = [], [], []
    for step, batch in enumerate(shown):
        of_batch = batch["observations"], batch["group_ids"]
        terms, count = terms_of(*of_batch, tf.constant(step))
        means.append({name: float(mean) for name, mean in terms.items()})
        groups.append(int(count))
        observations.append(len(of_batch[0]))
    sums = {
        name: np.array(groups) * [mean[name] for mean in means]
        for name in means[0]
    }
    found = {name: _ratio(of, np.array(groups)) for name, of in sums.items()}
    for name in ("elbo", "reconstruction"):
        found[f"{name}_per_observation"] = _ratio(
            sums[f"group_{name}"], np.array(observations)
        )
    return found


def _of_batch(epoch: tf.data.Dataset) -> list[Any]:
    """The signature of what takes any batch of an epoch, and its number."""
    spec = epoch.element_spec
    number = tf.TensorSpec([], tf.int32)
    return [spec["observations"], spec["group_ids"], number]


def _ratio(sums: np.ndarray, counts: np.ndarray) -> Estimate:
    """The mean of what batches have sums of, by resampling the batches."""
    return estimate_statistic(
        lambda times: float(times @ sums / (times @ counts)), len(sums)
    )


def log_likelihood(
    model: MLVAE,
    data: GroupedData,
    batching: Batching,
    num_samples: int,
    seed: int,
) -> dict[str, Any]:
    """The importance-weighted bound of some held-out groups, nats per group.

    Returns:
        `importance_weighted_bound`, an estimate from the first groups of an
        epoch, at most 64; `importance_samples`; and `importance_groups`, how
        many they were. With several levels the bound is that of a batch,
        divided by its groups of the first level, without an interval.
    """
    batch = next(iter(make_dataset(data, batching, seed)))
    observations, ids = batch["observations"].numpy(), batch["group_ids"]
    if isinstance(ids, dict):
        total = importance_weighted_bound(
            model, observations, ids, num_samples, seed
        )
        groups = len(np.unique(ids[model.levels[0].name]))
        return {
            "importance_weighted_bound": float(total[0]) / groups,
            "importance_samples": num_samples,
            "importance_groups": groups,
        }
    segment_ids = evidence.index_groups(ids)[1].numpy()
    some = segment_ids < MAX_GROUPS
    bounds = importance_weighted_bound(
        model, observations[some], segment_ids[some], num_samples, seed
    )
    return {
        "importance_weighted_bound": estimate(bounds),
        "importance_samples": num_samples,
        "importance_groups": len(bounds),
    }


def importance_weighted_bound(
    model: MLVAE,
    observations: np.ndarray,
    group_ids: Any,
    num_samples: int,
    seed: int = 0,
) -> np.ndarray:
    """A lower bound on log p(X_G), tight as `num_samples` grows.

        log 1/K sum_k  p(X_G | c_k, s_k) p(c_k) p(s_k)
                       / (q(c_k | X_G) q(s_k | X_G, c_k)),

    with contents c_k and styles s_k drawn from their posteriors. With several
    levels, whose groups share observations, that of all of them together.

    Args:
        model: The model.
        observations: `[N, *observation_shape]`.
        group_ids: `[N]`, integers or strings; of several levels a dict.
        num_samples: K.
        seed: Seed of the draws.

    Returns:
        float64 `[G]`, nats, groups in order of first appearance; with several
        levels `[1]`. Its expectation is a lower bound of log p(X_G), and with
        K = 1 the ELBO.

    References:
        Burda, Grosse, Salakhutdinov 2016 (arXiv 1509.00519), Eq. 8.
    """
    codec = model.codec
    targets = tf.cast(observations, model.variable_dtype)
    segment_ids = _number(codec, group_ids)
    latents, features = codec.propose(targets)
    count = batches.most_groups(segment_ids)
    totals = codec.evidence(targets, latents, segment_ids, count)
    groups = codec.groups(totals, segment_ids)

    @tf.function(autograph=False)
    def log_weights(draw: tf.Tensor) -> tf.Tensor:
        of_draw = noise.of_step(seed, noise.Stream.IMPORTANCE, draw)
        of_contents, of_styles = noise.split(of_draw)
        drawn, ratio = _draw_groups(codec, groups, of_contents)
        of_rows = {
            level.name: tf.gather(drawn[level.name], segment_ids[level.name])
            for level in codec.drawn
        }
        per_observation = _log_ratio(
            codec, features, targets, of_rows, of_styles
        )
        if len(codec.levels) > 1:
            total = tf.reduce_sum(per_observation) + tf.reduce_sum(ratio)
            return total[tf.newaxis]
        (of_groups,) = segment_ids.values()
        return ratio + tf.math.unsorted_segment_sum(
            per_observation, of_groups, tf.shape(ratio)[0]
        )

    numbers = progress.track(range(num_samples), num_samples, "importance")
    draws = [log_weights(tf.constant(i)).numpy() for i in numbers]
    weights = np.array(draws, np.float64)
    return np.logaddexp.reduce(weights, axis=0) - np.log(num_samples)


def _number(codec: Codec, group_ids: Any) -> batches.SegmentIds:
    """The segment ids of group ids as a user has them."""
    names = tuple(level.name for level in codec.levels)
    ids = checks.by_level(group_ids, names)
    tensors = {name: tf.constant(of_level) for name, of_level in ids.items()}
    return batches.number(tensors, codec.parents)


def _draw_groups(
    codec: Codec, groups: Groups, seed: tf.Tensor
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Draw the latents of all groups, outer ones first.

    Returns:
        By level `[G, dim]`; and the sum over levels of log p(z) - log q(z),
        `[G]`, zero where a level has no such group.
    """
    drawn: dict[str, tf.Tensor] = {}
    ratios = []
    for number, level in enumerate(codec.outer_first):
        own_seed = noise.fold_in(seed, number) if number else seed
        outer = None
        if level.parent:
            outer_ids = tf.maximum(groups.outer[level.name], 0)
            outer = tf.gather(drawn[level.parent], outer_ids)
        loc, scale = codec.given_outer(groups, level, outer)
        sample = noise.sample(loc, scale, own_seed)
        prior = codec.prior(level, outer, sample)
        ratio = prior.log_prob(sample) - tfd.Normal(loc, scale).log_prob(sample)
        ratios.append(tf.reduce_sum(ratio, axis=-1))
        drawn[level.name] = sample
    return drawn, tf.add_n(ratios)


def _log_ratio(
    codec: Codec,
    features: tf.Tensor,
    targets: tf.Tensor,
    contents: dict[str, tf.Tensor],
    seed: tf.Tensor,
) -> tf.Tensor:
    """log p(x | c, s) + log p(s) - log q(s), of drawn styles, `[N]`."""
    style = codec.learned_style(features, contents)
    styles = noise.sample(style.loc, style.scale, seed)
    found = codec.flow.log_prior(styles, codec.joined(contents))
    found -= tf.reduce_sum(style.log_prob(styles), axis=-1)
    latents = {**contents, codec.style.name: styles}
    log_prob = codec.likelihood.log_prob(codec.parameters(latents), targets)
    return found + tf.reduce_sum(log_prob, range(1, targets.shape.rank))
