"""What styles say about the group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tensorflow_probability import distributions as tfd

from mlvae_tf import noise
from mlvae_tf.evaluation import classifiers
from mlvae_tf.evaluation.bootstrap import Estimate, by_chance, estimate
from mlvae_tf.evaluation.posteriors import Posteriors


def features(posterior: tfd.Normal, sampled: bool, seed: int) -> np.ndarray:
    """Means, or one draw from each posterior."""
    loc = posterior.loc.numpy()
    if not sampled:
        return loc
    generator = noise.generator(seed, noise.Stream.DRAWS)
    draws = generator.normal(size=loc.shape).astype(loc.dtype)
    return loc + posterior.scale.numpy() * draws


# From posteriors to what a probe of their styles reads, `[N, dim]`.
Way = Callable[[Posteriors], np.ndarray]


def ways(train: Posteriors, seed: int) -> dict[str, Way]:
    """What can be read of styles, by name."""
    found: dict[str, Way] = {
        "means": lambda of: of.style.loc.numpy(),
        "draws": lambda of: features(
            of.style, True, seed if of is train else seed + 1
        ),
    }
    scales = np.log(train.style.scale.numpy())
    if np.ptp(scales, axis=0).max() > 1e-6:  # Else they are the same.
        found["means and log-scales"] = lambda of: np.concatenate(
            [of.style.loc, np.log(of.style.scale)], axis=1
        )
    return found


class Told(NamedTuple):
    """What was told from styles, read in one way.

    Attributes:
        named: The groups named `[M]`, by what names them.
        entropy: Of a network.
    """

    named: dict[str, np.ndarray]
    entropy: Estimate


def tell(
    way: Way,
    train: Posteriors,
    trees: Posteriors | None,
    test: Posteriors,
    seed: int,
) -> Told:
    """What can be told from styles, read in one way.

    Args:
        way: What is read of them.
        train: What the probes learn from.
        trees: What gradient boosting learns from; None leaves it out.
        test: What they are scored on.
        seed: Seed of the probes.
    """
    asked = way(test)
    probe = classifiers.fit_probe(way(train), train.group_ids, seed)
    named = {kind: probe.names(asked, kind) for kind in probe.kinds}
    entropy = estimate(probe.nats(asked, test.group_ids))
    if trees is not None:
        boosted = classifiers.boosted(way(trees), trees.group_ids, seed)
        named["boosted"] = boosted.predict(asked)
    return Told(named, entropy)


def figures(told: dict[str, Told], group_ids: np.ndarray) -> dict[str, Any]:
    """Figures of all that is told from styles, by what is read of them."""
    named = {
        f"{way}, {kind}": groups
        for way, one in told.items()
        for kind, groups in one.named.items()
    }
    given = {
        way: estimate(groups == group_ids) for way, groups in named.items()
    }
    largest = max(given, key=lambda way: given[way].value)
    return {
        "style_accuracy": given[largest],
        "style_named_by": largest,
        "style_chance": by_chance(list(named.values()), group_ids),
        "style_entropy": told["means"].entropy,
        "style_given": given,
    }
