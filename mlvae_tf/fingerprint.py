"""Which model it is."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Protocol

import numpy as np

from mlvae_tf.codec import Codec


class HasConfig(Protocol):
    """What has networks and the arguments it was made with."""

    @property
    def codec(self) -> Codec: ...

    def get_config(self) -> dict[str, Any]: ...


def fingerprint(model: HasConfig) -> str:
    """Identity of what gives a model's evidence: 16 hexadecimal digits."""
    config, codec = model.get_config(), model.codec
    heads = (codec.heads[level.name] for level in codec.drawn)
    layers = codec.encoder, *heads
    names = "observation_shape", "trunk", "activation"
    settings = [config[name] for name in names]
    if config["encoder"] or config["missing_values"]:
        settings += [config["encoder"], config["missing_values"]]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for layer in layers:
        for weight in layer.weights:
            digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()[:16]
