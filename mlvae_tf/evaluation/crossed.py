"""What a model of several levels is measured by.

The ELBO, and for every two of its latents and levels how often a probe names
the group on that level by that latent, of single held-out observations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from mlvae_tf import batches, noise, progress, whole
from mlvae_tf.batches import Part
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.pipeline import make_dataset
from mlvae_tf.data.sampling import Batches
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation.bootstrap import (
    Estimate,
    estimate,
    estimate_statistic,
    separate,
)
from mlvae_tf.evaluation.classifiers import fit_probe
from mlvae_tf.evaluation.measure import MAX_GROUPS, Measured
from mlvae_tf.evaluation.names import Labels
from mlvae_tf.evaluation.posteriors import CHUNK
from mlvae_tf.evaluation.probes import MAX_PROBE_OBSERVATIONS
from mlvae_tf.model import MLVAE

NOT_YET = (
    "calibration, swaps, the importance-weighted bound and what is told of "
    "groups never seen are not there yet for several levels"
)

Array = np.ndarray


def measure(
    model: MLVAE, splits: Splits, batching: Batches, seed: int
) -> Measured:
    """What `evaluate.py` reports of a model of several levels.

    Args:
        model: The model.
        splits: The data that it was trained with.
        batching: How it was batched.
        seed: Seed of all that is drawn.

    Raises:
        InputError: If nothing was held out.
    """
    held_out = splits.evaluation
    bounded = splits.unseen if held_out is None else held_out
    if bounded is None:
        raise InputError(
            "there are no held-out observations to measure on: split with "
            "holdout_observations, such as 0.2."
        )
    found: dict[str, Any] = elbo(model, bounded, batching, seed)
    if held_out is not None:
        found["levels"] = matrix(model, splits.train, held_out, seed)
    values, intervals = separate(found)
    results = {
        **values,
        "intervals": intervals,
        "notes": [NOT_YET],
        "doubts": [],
    }
    return Measured(results, {}, Labels())


def elbo(
    model: MLVAE, data: GroupedData, batching: Batches, seed: int
) -> dict[str, Estimate]:
    """The ELBO and its terms, nats per group of the first level in a batch.

    How many groups share a batch decides what a level's KL is divided by, so
    batches are as in training, and intervals resample them.

    Returns:
        `group_elbo`, `group_reconstruction`, a `group_LEVEL_kl` each;
        `elbo_per_observation`, `reconstruction_per_observation`.
    """

    @tf.function(reduce_retracing=True)
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

    epoch = make_dataset(data, batching, seed)
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


def _ratio(sums: Array, counts: Array) -> Estimate:
    """The mean of what batches have sums of, by resampling the batches."""
    return estimate_statistic(
        lambda times: float(times @ sums / (times @ counts)), len(sums)
    )


def matrix(
    model: MLVAE, train: GroupedData, held_out: GroupedData, seed: int
) -> dict[str, dict[str, Any]]:
    """What each latent says of each level's groups.

    Args:
        model: The model.
        train: What it was trained on; the probes learn from some of it.
        held_out: Other observations of these groups.
        seed: Seed of what is chosen, and of the probes.

    Returns:
        By level `content_accuracy`, `{"1": ...}`, how often its own content
        of one observation names its group; `style_accuracy`, how often the
        style does; `told_by`, by other level, how often its content does; and
        `chance_accuracy`, that of naming the most frequent group.
    """
    some = train.sample(MAX_PROBE_OBSERVATIONS, seed)
    held_out = held_out.sample(MAX_PROBE_OBSERVATIONS, seed)
    learned, asked = latents(model, some), latents(model, held_out)
    found = {}
    names = progress.track(some.levels, len(some.levels), "levels", seconds=0)
    for name in names:
        ids = some.levels[name].ids, held_out.levels[name].ids
        known, chosen = _choose(*ids, seed)
        right = {
            latent: _right(
                (learned[latent][known], ids[0][known]),
                (asked[latent][chosen], ids[1][chosen]),
                seed,
                own=latent == name,
            )
            for latent in learned
        }
        accuracy = {latent: estimate(of) for latent, of in right.items()}
        most = np.unique(ids[1][chosen], return_counts=True)[1].max()
        found[name] = {
            **({"content_accuracy": {"1": accuracy.pop(name)}}
               if name in accuracy else {}),
            **({"style_accuracy": accuracy.pop("style")}
               if "style" in accuracy else {}),
            "told_by": accuracy,
            "chance_accuracy": float(most / np.count_nonzero(chosen)),
        }  # fmt: skip
    return found


def _choose(learned: Array, asked: Array, seed: int) -> tuple[Array, Array]:
    """Masks of the observations of at most 250 groups that both have."""
    generator = noise.generator(seed, noise.Stream.PROBE, MAX_GROUPS)
    groups = generator.permutation(np.intersect1d(learned, asked))[:MAX_GROUPS]
    return np.isin(learned, groups), np.isin(asked, groups)


def _right(
    learned: tuple[Array, Array],
    asked: tuple[Array, Array],
    seed: int,
    own: bool,
) -> Array:
    """Which groups a probe names right, float `[N]`.

    Args:
        learned: Latents and ids that it learns from.
        asked: Those that it is asked of.
        seed: Its seed.
        own: Whether this is the level's own content, which the simplest that
            does best names; of others, whichever tells most.
    """
    probe = fit_probe(*learned, seed)
    features, ids = asked
    kinds = [probe.best] if own else list(probe.kinds)
    named = [probe.names(features, kind) == ids for kind in kinds]
    return max(named, key=np.count_nonzero).astype(float)


def latents(model: MLVAE, data: GroupedData) -> dict[str, Array]:
    """By level that is drawn, and of the style, what each observation shows.

    Returns:
        Means, `[N, dim]`; styles are given the contents of the observation
        alone.
    """
    parts = []
    for values, _ in data.chunks(CHUNK):
        contents, style = model.infer_observations(values)
        parts.append({name: q.loc.numpy() for name, q in contents.items()})
        if model.style_dim:
            parts[-1]["style"] = style.loc.numpy()
    return {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }
