"""What docs/serving.md shows is what happens."""

import base64
import json
import re

import numpy as np
import prediction_service
import pytest
import tensorflow as tf
from conftest import ROOT
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

TEXT = (ROOT / "docs" / "serving.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def arrays(rows):
    """JSON as the server reads it: base64 under `b64` are bytes."""
    if isinstance(rows, dict):
        return base64.b64decode(rows["b64"])
    return [arrays(row) for row in rows] if isinstance(rows, list) else rows


def shape(value):
    """What an answer is like, its numbers aside."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    return np.shape(value) or type(value)


SHOWN = [json.loads(block) for block in blocks("json")]


@pytest.mark.parametrize(
    ("request_", "answer"), zip(SHOWN[::2], SHOWN[1::2], strict=True)
)
def test_json(request_, answer, exported):
    folder = exported["grey"].folder
    service = prediction_service.PredictionService("photos", folder)
    name = request_["signature_name"]
    inputs = request_.get("inputs")
    if inputs is None:
        rows = request_["instances"]
        inputs = {key: [row[key] for row in rows] for key in rows[0]}
    given = {}
    for key, info in service._server.signatures[name].inputs.items():
        kind = tf.dtypes.as_dtype(info.dtype)
        given[key] = tf.constant(arrays(inputs[key]), kind).numpy()
    asked = prediction_service.request_of("photos", name, given)
    outputs = service.Predict(asked, None).outputs
    found = {
        key: [v.decode() for v in value.tolist()]
        if value.dtype == object
        else np.round(value.astype(float), 2).tolist()
        for key, value in zip(outputs, map(tf.make_ndarray, outputs.values()))
    }
    found = found if len(found) > 1 else found.popitem()[1]
    if "instances" in request_:
        (expected,) = answer.values()
        if isinstance(found, dict):
            rows = zip(*found.values(), strict=True)
            found = [dict(zip(found, row)) for row in rows]
        assert [shape(row) for row in expected] == [shape(row) for row in found]
    else:
        assert shape(answer["outputs"]) == shape(found)
    assert answer.keys() == {
        "predictions" if "instances" in request_ else "outputs"
    }


def test_models_config():
    (block,) = blocks("proto")
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(block, config)
    (model,) = config.model_config_list.config
    assert model.name == "photos"
    served = model.model_version_policy.specific.versions
    assert set(model.version_labels.values()) == set(served)
    assert "stable" in model.version_labels
