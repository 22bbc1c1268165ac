"""Requests that a server makes by itself before it serves a model.

TensorFlow plans and allocates at a first request, whose client would wait.
TensorFlow Serving makes those of this file first: a TFRecord of `PredictionLog`
messages. As nothing else here needs their package, tensorflow-serving-api, the
few fields are written by number.
"""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from mlvae_tf.serving.inputs import IMAGES
from mlvae_tf.serving.signatures import BY_ROW, Signatures

PLACE = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")
_WITH_LENGTH = 2  # Of protobuf's kinds of fields, that of texts and messages.


def write(
    folder: pathlib.Path,
    signatures: Signatures,
    served: dict[str, Callable[..., Any]],
) -> None:
    """Write them beside a SavedModel.

    One for each signature that a server may batch: one that does would refuse
    others, and with them the model. So it would if a request failed.

    Args:
        folder: The SavedModel.
        signatures: Its signatures.
        served: Them as functions, `serving_default` among them.
    """
    path = folder / PLACE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as file:
        for name, function in served.items():
            kind = "encode" if name == "serving_default" else name
            if kind not in BY_ROW:
                continue
            inputs = _one_row(signatures, kind)
            try:
                function(*map(tf.constant, inputs.values()))
            except tf.errors.InvalidArgumentError:
                warnings.warn(
                    f"the model makes no finite answer of zeros: servers will "
                    f"not warm up {name}.",
                    stacklevel=1,
                )
            else:
                file.write(_log(name, inputs))


def _one_row(signatures: Signatures, name: str) -> dict[str, np.ndarray]:
    """Inputs that every likelihood takes."""
    if name == "encode_images":
        (observations,) = signatures.spec("encode").values()
        black = tf.zeros(observations.shape[1:], tf.uint8)
        return {IMAGES: np.array([tf.io.encode_png(black).numpy()])}
    return {
        key: np.zeros((1, *spec.shape[1:]), spec.dtype.as_numpy_dtype)
        for key, spec in signatures.spec(name).items()
    }


def _log(signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    """A `PredictionLog` of a request.

    Its fields: `predict_log` = 6, of which `request` = 1, of which `model_spec`
    = 1 with `signature_name` = 3, and `inputs` = 2, each a key and a value.
    """
    request = _field(1, _field(3, signature.encode()))
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | _WITH_LENGTH) + _number(len(content)) + content


def _number(value: int) -> bytes:
    """Seven bits in a byte, the lowest first; the eighth if more follow."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _number(rest) if rest else bytes([low])
