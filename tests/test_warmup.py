"""What a server asks a model before it serves it.

`runtimes/` reads the same with TensorFlow Serving's own messages.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import empty_pb2, unknown_fields
from server import Server
from tensorflow.core.framework.tensor_pb2 import TensorProto

from mlvae_tf import serving
from mlvae_tf.serving.warmup import PLACE


def fields(message):
    """The fields of a message of any kind, by number."""
    empty = empty_pb2.Empty.FromString(message)
    found = {}
    for field in unknown_fields.UnknownFieldSet(empty):
        found.setdefault(field.field_number, []).append(field.data)
    return found


def requests(folder):
    """By signature, the inputs that a server asks with."""
    found = {}
    for record in tf.data.TFRecordDataset(str(folder / PLACE)):
        ((log,),) = fields(record.numpy()).values()
        ((request,),) = fields(log).values()
        ((spec,), entries) = fields(request)[1], fields(request)[2]
        pairs = [fields(entry) for entry in entries]
        found[fields(spec)[3][0].decode()] = {
            pair[1][0].decode(): tf.make_ndarray(
                TensorProto.FromString(pair[2][0])
            )
            for pair in pairs
        }
    return found


LEVELS = {"content_dim": None, "levels": {"a": 2, "b": 3}}
AVERAGES = {"accumulation": "average", "missing_values": True}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {**LEVELS, "style_dim": 0},
        pytest.param(LEVELS, marks=pytest.mark.slow),
        pytest.param({"likelihood": "poisson"}, marks=pytest.mark.slow),
        pytest.param(AVERAGES, marks=pytest.mark.slow),
    ],
)
def test_all_that_may_be_batched_is_asked_for(settings, make_model, tmp_path):
    model = make_model(**settings)
    serving.export(model, tmp_path / "1", pictures=True)
    asked = requests(tmp_path / "1")
    described = serving.description(tmp_path / "1")["signatures"]
    batched = {n for n, of in described.items() if of["may_be_batched"]}
    assert set(asked) == {"serving_default", *batched}
    assert {"encode", "encode_images", "decode"} == batched
    server = Server(tmp_path / "1", batching=True)
    for signature, inputs in asked.items():
        (answer,) = server.predict(signature, inputs)
        assert all(len(value) == 1 for value in answer.values())
    assert (tmp_path / "1" / PLACE).stat().st_size < 2000


def test_what_a_model_cannot_answer_is_not_asked(make_model, tmp_path):
    """A server would not serve the model at all."""

    class OfDirections(keras.layers.Layer):
        def call(self, inputs):
            flat = tf.reshape(inputs, (-1, 16))
            return flat / tf.norm(flat, axis=1, keepdims=True)

    model = make_model(encoder=OfDirections(dtype="float64"))
    with pytest.warns(UserWarning, match="will not warm up encode\\."):
        serving.export(model, tmp_path / "1")
    assert set(requests(tmp_path / "1")) == {"decode"}
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["encode"]
    answer = served(observations=tf.constant(np.ones((1, 4, 4, 1), "f4")))
    assert np.isfinite(answer["content_loc"]).all()
