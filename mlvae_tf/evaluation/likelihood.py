"""Bounds on the log likelihood of held-out groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import evidence, noise, objective, progress, whole
from mlvae_tf.batches import Part
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.pipeline import make_dataset
from mlvae_tf.data.sampling import Batches
from mlvae_tf.evaluation.bootstrap import estimate
from mlvae_tf.model import MLVAE

MAX_GROUPS = 64


def group_elbo(
    model: MLVAE, data: GroupedData, batches: Batches, seed: int
) -> dict[str, Any]:
    """The averaged group ELBO and its terms, nats a group.

    The groups are dealt out as in training: the ELBO of a group depends on how
    many observations it has.

    Returns:
        `group_elbo`, `group_reconstruction`, `group_content_kl`,
        `group_style_kl`: estimates; and `reconstruction_per_observation`, which
        does not depend on the sizes of the groups.
    """

    @tf.function(reduce_retracing=True)
    def terms_of(
        observations: tf.Tensor, group_ids: tf.Tensor, step: tf.Tensor
    ) -> objective.Terms:
        groups, rows = evidence.index_groups(group_ids)
        observations = tf.cast(observations, model.variable_dtype)
        part = Part(observations, {model.levels[0].name: rows})
        of_batch = noise.of_step(seed, noise.Stream.LIKELIHOOD, step)
        terms = whole.group_terms(model.elbo, part, of_batch)
        return tf.nest.map_structure(lambda t: t[: tf.size(groups)], terms)

    epoch = make_dataset(data, batches, seed)
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


def log_likelihood(
    model: MLVAE,
    data: GroupedData,
    batches: Batches,
    num_samples: int,
    seed: int,
) -> dict[str, Any]:
    """The importance-weighted bound of some held-out groups, nats a group.

    Returns:
        `importance_weighted_bound`, an estimate from the first groups of an
        epoch, at most 64; `importance_samples`; and `importance_groups`, how
        many they were.
    """
    batch = next(iter(make_dataset(data, batches, seed)))
    _, rows = evidence.index_groups(batch["group_ids"])
    some = rows.numpy() < MAX_GROUPS
    bounds = importance_weighted_bound(
        model,
        batch["observations"].numpy()[some],
        rows.numpy()[some],
        num_samples,
        seed,
    )
    return {
        "importance_weighted_bound": estimate(bounds),
        "importance_samples": num_samples,
        "importance_groups": len(bounds),
    }


def _prior_to_posterior(samples: tf.Tensor, posterior: tfd.Normal) -> tf.Tensor:
    """log p(z) - log q(z), summed over the latent axis."""
    prior = tfd.Normal(tf.zeros_like(samples), tf.ones_like(samples))
    ratio = prior.log_prob(samples) - posterior.log_prob(samples)
    return tf.reduce_sum(ratio, axis=-1)


def importance_weighted_bound(
    model: MLVAE,
    observations: np.ndarray,
    group_ids: np.ndarray,
    num_samples: int,
    seed: int = 0,
) -> np.ndarray:
    """A lower bound on log p(X_G), tight as `num_samples` grows.

        log 1/K sum_k  p(X_G | c_k, s_k) p(c_k) p(s_k)
                       / (q(c_k | X_G) q(s_k | X_G, c_k)),

    with contents c_k and styles s_k drawn from their posteriors.

    Args:
        model: The model.
        observations: `[N, *observation_shape]`.
        group_ids: `[N]`, integers or strings.
        num_samples: K.
        seed: Seed of the draws.

    Returns:
        float64 `[G]`, nats, groups in order of first appearance. Its
        expectation is a lower bound of log p(X_G), and with K = 1 the ELBO.

    References:
        Burda, Grosse, Salakhutdinov 2016 (arXiv 1509.00519), Eq. 8.
    """
    groups, content = model.infer_content(observations, group_ids)
    _, rows = evidence.index_groups(tf.constant(group_ids))
    targets = tf.cast(observations, model.variable_dtype)

    codec = model.codec
    _, features = codec.propose(targets)

    @tf.function
    def log_weights(draw: tf.Tensor) -> tf.Tensor:
        of_draw = noise.of_step(seed, noise.Stream.IMPORTANCE, draw)
        of_contents, of_styles = noise.split(of_draw)
        contents = noise.sample(content.loc, content.scale, of_contents)
        latents = {codec.levels[0].name: tf.gather(contents, rows)}
        style = codec.learned_style(features, latents)
        styles = noise.sample(style.loc, style.scale, of_styles)
        log_ratio = codec.flow.log_prior(styles, codec.joined(latents))
        log_ratio -= tf.reduce_sum(style.log_prob(styles), axis=-1)
        latents[codec.style.name] = styles
        log_prob = codec.likelihood.log_prob(codec.parameters(latents), targets)
        per_observation = tf.reduce_sum(log_prob, range(1, targets.shape.rank))
        per_observation += log_ratio
        per_group = tf.math.unsorted_segment_sum(
            per_observation, rows, len(groups)
        )
        return per_group + _prior_to_posterior(contents, content)

    numbers = progress.track(range(num_samples), num_samples, "importance")
    draws = [log_weights(tf.constant(i)).numpy() for i in numbers]
    weights = np.array(draws, np.float64)
    return np.logaddexp.reduce(weights, axis=0) - np.log(num_samples)
