"""What is asked of a content store, and what it answers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mlvae_tf import evidence
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.model import MLVAE


class Answers(NamedTuple):
    """Which groups observations are most like, the best first.

    Attributes:
        groups: Ids `[N, best]`, of all groups where there are fewer.
        scores: How like each they are, `[N, best]`.
        accepted: bool `[N]`: whether the best score reaches the threshold.
    """

    groups: np.ndarray
    scores: np.ndarray
    accepted: np.ndarray


def evidence_of(
    model: MLVAE, observations: np.ndarray, level: str | None = None
) -> Evidence:
    """What each observation says of its group's content.

    Args:
        model: The model.
        observations: `[N, ...]`, uint8 images or values.
        level: Of which level the content is; of a model with one, that.

    Returns:
        float64 `[N, content_dim]`.

    Raises:
        InputError: If they do not fit the model, or no value of one is known.
    """
    likelihood = model.codec.likelihood
    observations = np.asarray(observations)
    if observations.dtype == np.uint8:
        observations = likelihood.values(observations).numpy()
    proposed, _ = model.infer_observations(observations)
    if isinstance(proposed, dict):
        proposed = proposed[level]
    known = likelihood.known(observations)
    if known is not None and not np.all(known):
        rows = np.flatnonzero(~np.asarray(known))
        raise InputError(
            f"{len(rows)} of {len(observations)} observations have no value "
            f"that is known, the first at row {rows[0]}: leave them out."
        )
    loc, scale = (
        tf.cast(part, tf.float64) for part in (proposed.loc, proposed.scale)
    )
    parts = evidence.from_normal(loc, scale)
    return Evidence(*(part.numpy() for part in parts))
