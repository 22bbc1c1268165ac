"""What a client reads of a model, in assets/model.json."""

import json

import numpy as np
import pytest
import tensorflow as tf

import mlvae_tf
from mlvae_tf import fingerprint, likelihoods, serving
from mlvae_tf.serving.describing import describe


def described(model, groups=None):
    found = describe(model, serving.Signatures(model), groups)
    return json.loads(json.dumps(found, allow_nan=False))


def test_it_lies_in_the_saved_model_as_plain_json(make_model, tmp_path):
    model = make_model()
    model.export(tmp_path / "1")
    found = json.loads((tmp_path / "1" / "assets" / "model.json").read_text())
    assert found == described(model) == serving.description(tmp_path / "1")
    assert found["model"] == fingerprint.fingerprint(model)
    assert found["versions"]["tensorflow"] == tf.__version__
    served = tf.saved_model.load(str(tmp_path / "1")).signatures
    assert set(found["signatures"]) == set(served) - {"serving_default"}
    for name, signature in found["signatures"].items():
        inputs = served[name].structured_input_signature[1]
        assert signature["inputs"] == {
            key: {"dtype": spec.dtype.name, "shape": list(spec.shape)}
            for key, spec in inputs.items()
        }
    batched = {
        name
        for name, signature in found["signatures"].items()
        if signature["may_be_batched"]
    }
    assert batched == {"encode", "decode"}
    # A process without the package needs no more than this.
    assert not list((tmp_path / "1").rglob(".partial*"))


def test_levels_and_groups(make_model):
    model = make_model(accumulation="average")
    level = {"name": "content", "dim": 3, "accumulation": "average"}
    assert described(model)["levels"] == [level]
    assert described(model)["style"] == {"dim": 2}
    assert "accumulate" not in described(model)["signatures"]
    for groups in (np.array(["a", "ä"]), np.array([3, 7])):
        known = {"num_groups": 2, "groups": groups.tolist()}
        assert described(model, groups)["levels"] == [{**level, **known}]
    many = {"num_groups": 10_001, "groups": None}
    found = described(model, np.arange(10_001))
    assert found["levels"] == [{**level, **many}]


@pytest.mark.parametrize(
    ("shape", "more"),
    [
        (
            (8, 6, 1),
            {"height": 8, "width": 6, "channels": 1, "colours": "grey"},
        ),
        ((8, 6, 3), {"height": 8, "width": 6, "channels": 3, "colours": "rgb"}),
        ((8, 6, 5), {}),
        ((7,), {}),
    ],
)
def test_observations(shape, more):
    model = mlvae_tf.MLVAE(shape, hidden_units=4)
    expected = {"shape": list(shape), **more}
    assert described(model)["observation"] == expected


@pytest.mark.parametrize(
    ("likelihood", "bounds", "divisor", "config"),
    [
        (likelihoods.Bernoulli(), (0, 1), 255, {}),
        (
            likelihoods.Normal(0.5),
            (None, None),
            255,
            {"scale": 0.5, "center": [0.0], "unit": [1.0]},
        ),
        (likelihoods.Poisson(), (0, None), 1, {}),
        (likelihoods.Categorical(17), (0, 16), 1, {"classes": 17}),
    ],
    ids=str,
)
def test_values(likelihood, bounds, divisor, config, make_model):
    found = described(make_model(likelihood=likelihood))
    values = found["values"]
    assert (values["minimum"], values["maximum"]) == bounds
    assert values["support"] == likelihood.support
    assert values["divide_8_bit_by"] == divisor
    assert values["of_8_bit"] == ("pixels" if divisor == 1 else "pixels / 255")
    assert not values["nan_is_unknown"]
    name = type(likelihood).__name__
    assert found["likelihood"] == {"class_name": name, "config": config}
    # What is within the bounds is taken, what is beyond them is not.
    for bound, beyond in zip(bounds, (-1, 1), strict=True):
        if bound is not None:
            assert likelihood.valid(np.float32(bound))
            assert not likelihood.valid(np.float32(bound + beyond))


def test_values_that_may_be_missing(make_model):
    found = described(make_model(missing_values=True))
    values = found["values"]
    assert values["nan_is_unknown"]
    assert (values["minimum"], values["maximum"]) == (0, 1)
    assert found["likelihood"]["class_name"] == "WithMissing"
    inner = found["likelihood"]["config"]["likelihood"]
    assert inner["class_name"] == "Bernoulli"
