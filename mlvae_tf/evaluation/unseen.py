"""Groups never seen in training: who it is, and whom swaps resemble."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlvae_tf import progress
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation import swaps
from mlvae_tf.evaluation.bootstrap import estimate_of_units
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.evaluation.representations import Components, representations
from mlvae_tf.evaluation.shots import (
    EPISODES,
    MAX_GROUPS,
    SHOTS,
    Named,
    best_comparison,
    identify,
)
from mlvae_tf.evaluation.verification import Verification, verify
from mlvae_tf.model import MLVAE

MAX_TRAIN_OBSERVATIONS = 20_000


def _figures(
    best: str,
    named: dict[str, dict[str, Named]],
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
    named = identify(gather, unseen.group_ids, SHOTS, EPISODES, seed)
    curves = {
        name: verify(represent, unseen.group_ids, seed)
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
        found["swap"] = swaps.measure(
            model,
            posteriors,
            unseen,
            lambda observations: components.of(observations) @ directions,
            seed=seed,
        )
    return found, curves
