"""What a client has to know of a model, as plain JSON."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from mlvae_tf import version
from mlvae_tf.codec import Codec
from mlvae_tf.fingerprint import HasConfig, fingerprint
from mlvae_tf.levels import Level
from mlvae_tf.likelihoods import Likelihood, WithMissing
from mlvae_tf.serving.signatures import BY_ROW, Signatures

MAX_GROUPS = 10_000  # More are not listed.
Groups = np.ndarray | dict[str, np.ndarray] | None
_COLOURS = {1: "grey", 3: "rgb"}


def describe(
    model: HasConfig, signatures: Signatures, groups: Groups = None
) -> dict[str, Any]:
    """What `assets/model.json` holds.

    Args:
        model: The model.
        signatures: Its signatures.
        groups: The ids of the groups that it learned from, if known; of
            several levels by level.
    """
    codec = model.codec
    if not isinstance(groups, dict):
        groups = {} if groups is None else {codec.levels[0].name: groups}
    levels = [
        _level(codec, level) | _groups(groups.get(level.name))
        for level in codec.levels
    ]
    return {
        "model": fingerprint(model),
        "observation": _observation(codec.observation_shape),
        "values": _values(codec.likelihood),
        "likelihood": _likelihood(codec.likelihood),
        "levels": levels,
        "style": {"dim": codec.style.dim},
        "signatures": {
            name: _signature(signatures, name) for name in signatures.names
        },
        "versions": version.versions(),
    }


def _observation(shape: tuple[int, ...]) -> dict[str, Any]:
    described: dict[str, Any] = {"shape": list(shape)}
    if len(shape) == 3 and shape[-1] in _COLOURS:
        described |= dict(zip(("height", "width", "channels"), shape))
        described["colours"] = _COLOURS[shape[-1]]
    return described


def _values(likelihood: Likelihood) -> dict[str, Any]:
    low, high = likelihood.bounds
    white = float(likelihood.values(np.array(255, np.uint8)))
    return {
        "support": likelihood.support,
        "minimum": low,
        "maximum": high,
        "nan_is_unknown": isinstance(likelihood, WithMissing),
        "of_8_bit": "pixels" if white == 255 else f"pixels / {255 / white:g}",
        "divide_8_bit_by": 255 / white,
    }


def _likelihood(likelihood: Likelihood) -> dict[str, Any]:
    serialized = keras.saving.serialize_keras_object(likelihood)
    return {key: serialized[key] for key in ("class_name", "config")}


def _level(codec: Codec, level: Level) -> dict[str, Any]:
    described = {
        "name": level.name,
        "dim": level.dim,
        "accumulation": level.accumulation,
    }
    if not level.parent:
        return described
    precision = codec.spreads[level.name].precision.numpy().tolist()
    return described | {"parent": level.parent, "spread_precision": precision}


def _groups(groups: np.ndarray | None) -> dict[str, Any]:
    if groups is None:
        return {}
    listed = groups.tolist() if len(groups) <= MAX_GROUPS else None
    return {"num_groups": len(groups), "groups": listed}


def _signature(signatures: Signatures, name: str) -> dict[str, Any]:
    inputs = {
        key: {"dtype": spec.dtype.name, "shape": list(spec.shape)}
        for key, spec in signatures.spec(name).items()
    }
    return {"may_be_batched": name in BY_ROW, "inputs": inputs}
