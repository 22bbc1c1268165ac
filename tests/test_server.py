"""What a server makes of the signatures, also one that batches.

`server.py` stands for it, docs/serving.md says where its rules are from.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from server import Refused, Server

import mlvae_tf
from mlvae_tf import serving

SHAPE = (4, 4, 1)
ROWS = 3  # As many as dimensions of the content: all inputs have one length.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = mlvae_tf.MLVAE(SHAPE, content_dim=3, style_dim=2, hidden_units=8)
    for weights in model.weights:
        weights.assign_add(keras.random.normal(weights.shape, stddev=0.3))
    folder = tmp_path_factory.mktemp("export") / "1"
    serving.export(model, folder)
    return folder


@pytest.fixture(scope="module")
def batching(folder):
    return Server(folder, batching=True)


@pytest.fixture(scope="module")
def single(folder):
    return Server(folder, batching=False)


def request_of(name, generator, rows=ROWS):
    """A client's request, all of whose inputs have as many rows."""
    images = generator.uniform(size=(2, rows, *SHAPE)).astype(np.float32)
    ids = generator.permutation(10**6)[:rows].astype(str).astype(object)
    vectors = generator.uniform(1, 2, size=(4, rows)).astype(np.float32)
    return {
        "encode": {"observations": images[0]},
        "serving_default": {"observations": images[0]},
        "decode": {"content": vectors[:3].T, "style": vectors[2:].T},
        "infer_groups": {"observations": images[0], "group_ids": ids},
        "reconstruct": {"observations": images[0], "group_ids": ids},
        "accumulate": {
            "observations": images[0],
            "precision": vectors[0],
            "weighted_loc": vectors[1],
        },
        "swap": {
            "content_observations": images[0],
            "style_observations": images[1],
        },
        "identify": {
            "observations": images[0],
            "precision": vectors[:3].T,
            "weighted_loc": vectors[1:].T,
        },
    }[name]


def assert_same(answers, others):
    for answer, other in zip(answers, others, strict=True):
        assert answer.keys() == other.keys()
        for key, value in answer.items():
            if value.dtype == object:
                assert value.tolist() == other[key].tolist()
            else:
                np.testing.assert_allclose(value, other[key], atol=1e-6)


@pytest.mark.parametrize("name", ["encode", "serving_default", "decode"])
def test_each_client_gets_its_own_answer(name, batching, single, generator):
    requests = [request_of(name, generator, rows) for rows in (3, 1, 5)]
    assert_same(
        batching.predict(name, *requests), single.predict(name, *requests)
    )


GROUPED = ["infer_groups", "accumulate", "reconstruct", "swap", "identify"]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", GROUPED)
def test_what_would_mix_clients_is_refused(name, count, batching, generator):
    """Although the inputs have one length, and the answers as many rows."""
    requests = [request_of(name, generator) for _ in range(count)]
    if name == "accumulate" and count == 2:
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            batching.predict(name, *requests)
        assert "must have shape [3]: got [6]" in raised.value.message
        return
    with pytest.raises(Refused, match="0 dimensions"):
        batching.predict(name, *requests)


@pytest.mark.parametrize("name", GROUPED)
def test_it_is_served_without_batching(name, single, generator):
    requests = [request_of(name, generator) for _ in range(2)]
    expected = 1 if name in ("accumulate", "swap") else ROWS
    for answer in single.predict(name, *requests):
        assert answer["num_groups"].shape == ()
        assert answer["num_groups"] == expected


@pytest.mark.parametrize("name", GROUPED)
def test_a_request_for_some_outputs_runs_by_itself(
    name, batching, single, generator
):
    requests = [request_of(name, generator) for _ in range(2)]
    asked = set(single.signatures[name].outputs) - {"num_groups"}
    assert_same(
        batching.predict(name, *requests, outputs=asked),
        single.predict(name, *requests, outputs=asked),
    )


def test_the_inputs_are_those_of_the_interface(single):
    image, content, style = (-1, *SHAPE), (-1, 3), (-1, 2)
    expected = {
        "encode": {"observations": image},
        "serving_default": {"observations": image},
        "infer_groups": {"observations": image, "group_ids": (-1,)},
        "accumulate": {
            "precision": (3,),
            "weighted_loc": (3,),
            "observations": image,
        },
        "decode": {"content": content, "style": style},
        "reconstruct": {"observations": image, "group_ids": (-1,)},
        "swap": {"content_observations": image, "style_observations": image},
        "identify": {
            "observations": image,
            "precision": content,
            "weighted_loc": content,
        },
    }
    found = {
        name: {
            key: tuple(size.size for size in info.tensor_shape.dim)
            for key, info in signature.inputs.items()
        }
        for name, signature in single.signatures.items()
        if signature.inputs
    }
    assert found == expected


@pytest.mark.parametrize(
    ("name", "key", "shape", "said"),
    [
        ("encode", "observations", (3, 4, 4), "[N, 4, 4, 1]: got [3 4 4]"),
        ("encode", "observations", (3, 8, 2, 1), "[N, 4, 4, 1]: got [3 8 2 1]"),
        ("accumulate", "precision", (1,), "precision must have shape [3]"),
        ("accumulate", "weighted_loc", (3, 1), "shape [3]: got [3 1]"),
        ("decode", "style", (3, 3), "style must have shape [N, 2]: got [3 3]"),
        ("reconstruct", "group_ids", (3, 1), "group_ids must have shape [N]"),
    ],
)
def test_shapes_that_no_server_looks_at(
    name, key, shape, said, single, generator
):
    request = request_of(name, generator)
    request[key] = np.resize(request[key], shape)
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        single.predict(name, request)
    assert said in raised.value.message


@pytest.mark.parametrize("name", GROUPED)
def test_checks_are_made_whatever_is_asked_for(name, single, generator):
    request = request_of(name, generator)
    key = next(key for key in request if key.endswith("observations"))
    request[key][1, 2] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        single.predict(name, request, outputs=["num_groups"])
    assert f"{key} must be numbers in [0, 1]" in raised.value.message
    assert "the first at row 1 (nan)" in raised.value.message
