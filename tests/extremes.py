"""How far float32 is from float64 where numbers are large or small.

    python tests/extremes.py

prints, by quantity and scale, the largest error relative to the value (of a
posterior's mean to its scale, of log p and its slope to the largest).
`test_extremes.py` holds them below 1e-5.
"""

import numpy as np
import tensorflow as tf

from mlvae_tf import evidence, objective
from mlvae_tf.likelihoods import Bernoulli, Normal, NormalLearnedScale

SCALES = 1e-6, 1e-3, 1.0, 1e3, 1e6
SIZES = 1, 1_000, 10_000_000
_AT_ONCE = 1_000_000


def relative(found, exact):
    """The largest error, relative; infinity where one is not finite."""
    found, exact = (np.asarray(part, np.float64) for part in (found, exact))
    if not np.isfinite(found).all():
        return np.inf
    return float(
        np.max(np.abs(found - exact) / np.maximum(np.abs(exact), 1e-300))
    )


def posterior(scale, size):
    """The posterior of a group of so many observations, of such scales."""
    generator = np.random.default_rng(0)
    total = evidence.zero((1, 2), "float64")
    exact = np.zeros((2, 2))
    for start in range(0, size, _AT_ONCE):
        count = min(size - start, _AT_ONCE)
        own = scale * generator.uniform(0.5, 2, (count, 2)).astype(np.float32)
        loc = (scale * generator.normal(size=(count, 2))).astype(np.float32)
        # As inference adds up: float32 from the networks, sums in float64.
        parts = evidence.from_normal(
            *(tf.cast(part, tf.float64) for part in (loc, own))
        )
        some = evidence.accumulate(parts, tf.zeros(count, tf.int32), 1)
        total = evidence.add(total, some)
        precision = own.astype(np.float64) ** -2
        exact += [precision.sum(0), (precision * loc).sum(0)]
    loc, deviation = (
        tf.cast(part, tf.float32)[0] for part in evidence.to_normal(total)
    )
    true_loc, true_deviation = exact[1] / exact[0], exact[0] ** -0.5
    away = np.max(
        np.abs(loc - true_loc) / np.maximum(true_deviation, np.abs(true_loc))
    )
    return max(float(away), relative(deviation, true_deviation))


def training_posterior(scale, size=256):
    """The same as a training step adds up, in float32."""
    generator = np.random.default_rng(0)
    loc, own = generator.normal(size=(2, size, 2)) * scale
    own = np.abs(own) + scale / 2
    found = []
    for dtype in ("float32", "float64"):
        parts = evidence.from_normal(
            tf.constant(loc.astype(np.float32), dtype),
            tf.constant(own.astype(np.float32), dtype),
        )
        found.append(evidence.to_normal(evidence.total(parts)))
    (loc, deviation), (true_loc, true_deviation) = (
        [part.numpy().astype(np.float64) for part in one] for one in found
    )
    away = np.max(np.abs(loc - true_loc) / true_deviation)
    return max(float(away), relative(deviation, true_deviation))


def kl(scale, loc):
    """The divergence of N(loc, scale^2) from the prior."""
    found, exact = (
        objective.standard_normal_kl(
            tf.constant([[np.float32(loc)]], dtype),
            tf.constant([[np.float32(scale)]], dtype),
        )
        for dtype in ("float32", "float64")
    )
    return relative(found, exact)


def _log_prob(likelihood, parameters, values):
    found = []
    for dtype in ("float32", "float64"):
        given = tf.constant(np.float32(parameters), dtype)
        with tf.GradientTape() as tape:
            tape.watch(given)
            log_prob = likelihood.log_prob(
                given, tf.constant(np.float32(values), dtype)
            )
            total = tf.reduce_sum(log_prob)
        found.append((log_prob, tape.gradient(total, given)))
    (value, slope), (true_value, true_slope) = found
    # Beside the largest: what is right already is next to nothing.
    return max(
        float(np.max(np.abs(one - np.float32(exact))) / np.max(np.abs(exact)))
        for one, exact in ((value, true_value), (slope, true_slope))
    )


def normal(scale):
    """Values around their means, at a fixed scale."""
    generator = np.random.default_rng(0)
    means = scale * generator.normal(size=(3, 4, 4, 1)).astype(np.float32)
    values = means + np.float32(2 * scale)
    return _log_prob(Normal(scale), means, values)


def bernoulli(logit):
    """Images all white, of which the decoder is sure, rightly and wrongly."""
    logits = np.full((2, 4, 4, 1), logit)
    return _log_prob(
        Bernoulli(), logits * [[[[1]]], [[[-1]]]], np.ones((2, 4, 4, 1))
    )


def learned_scale(level):
    """Images all black or all white, drawn as they are."""
    parameters = np.full((2, 4, 4, 2), level)
    return _log_prob(
        NormalLearnedScale(), parameters, np.full((2, 4, 4, 1), level)
    )


CASES = {
    **{
        f"posterior of {size:,} of scale {scale:g}": (posterior, scale, size)
        for scale in (1e-6, 1.0, 1e6)
        for size in SIZES
    },
    **{
        f"posterior, float32, scale {s:g}": (training_posterior, s)
        for s in SCALES
    },
    **{
        f"KL of N({loc:g}, {scale:g}^2)": (kl, scale, loc)
        for scale in SCALES
        for loc in (0.0, 1.0, 1e6)
        if (scale, loc) != (1.0, 0.0)
    },
    **{
        f"log p, normal of scale {scale:g}": (normal, scale) for scale in SCALES
    },
    **{
        f"log p, Bernoulli, logit {x:g}": (bernoulli, x)
        for x in (0.0, 30.0, 80.0)
    },
    **{
        f"log p, learned scale, all {x:g}": (learned_scale, x)
        for x in (0.0, 1.0)
    },
}

if __name__ == "__main__":
    print("| quantity | error |\n| --- | --- |")
    for name, (measure, *arguments) in CASES.items():
        print(f"| {name} | {measure(*arguments):.1e} |")
