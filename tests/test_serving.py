import functools
import pathlib
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

import mlvae_tf
from mlvae_tf import control, evidence, serving
from mlvae_tf.codec import Codec
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.serving import Signatures
from mlvae_tf.store import encoding

SHAPE = (8, 8, 1)
# Each line calls a signature and saves what it returns.
CLIENT = """
    import sys
    import numpy as np
    import tensorflow as tf

    folder, inputs, outputs = sys.argv[1:]
    served = tf.saved_model.load(folder).signatures
    given = {k: tf.constant(v) for k, v in np.load(inputs).items()}
    x, ids = given["x"], given["ids"]
    results = {
        "serving_default": served["serving_default"](observations=x),
        "encode": served["encode"](observations=x),
        "infer_groups": served["infer_groups"](observations=x, group_ids=ids),
        "accumulate": served["accumulate"](
            precision=tf.zeros(3), weighted_loc=tf.zeros(3), observations=x
        ),
        "decode": served["decode"](
            content=given["content"], style=given["style"]
        ),
        "reconstruct": served["reconstruct"](observations=x, group_ids=ids),
        "swap": served["swap"](
            content_observations=x[:5], style_observations=x[5:]
        ),
    }
    groups = results["infer_groups"]
    results["identify"] = served["identify"](
        observations=x,
        precision=groups["precision"],
        weighted_loc=groups["weighted_loc"],
    )
    half = served["accumulate"](
        precision=tf.zeros(3), weighted_loc=tf.zeros(3), observations=x[:7]
    )
    results["continued"] = served["accumulate"](
        precision=half["precision"],
        weighted_loc=half["weighted_loc"],
        observations=x[7:],
    )
    try:
        served["encode"](observations=255 * x)
    except tf.errors.InvalidArgumentError as error:
        results["refused"] = {"message": tf.constant([error.message])}
    assert set(served) == set(results) - {"continued", "refused"}
    assert "mlvae_tf" not in sys.modules
    assert "tensorflow_probability" not in sys.modules
    np.savez(outputs, **{
        f"{name}/{key}": value.numpy().astype(str)
        if value.dtype == tf.string else value.numpy()
        for name, result in results.items()
        for key, value in result.items()
    })
"""


@pytest.fixture(
    scope="module", params=[0, pytest.param(2, marks=pytest.mark.slow)]
)
def model(request):
    """Without a flow, and with one that is not the identity."""
    keras.utils.set_random_seed(0)
    model = mlvae_tf.MLVAE(
        SHAPE,
        content_dim=3,
        style_dim=2,
        hidden_units=16,
        style_flow=request.param,
    )
    if request.param:
        generator = np.random.default_rng(0)
        weights = model.flow.get_weights()
        model.flow.set_weights(
            [w + generator.normal(0, 0.1, w.shape) for w in weights]
        )
    return model


@pytest.fixture(scope="module")
def given():
    generator = np.random.default_rng(0)
    return {
        "x": generator.uniform(size=(12, *SHAPE)).astype(np.float32),
        "ids": np.array(list("bacabbdeaabd")),
        "content": generator.normal(size=(4, 3)).astype(np.float32),
        "style": generator.normal(size=(4, 2)).astype(np.float32),
    }


@pytest.fixture(scope="module")
def served(model, given, tmp_path_factory):
    """What a process with TensorFlow alone gets from the SavedModel."""
    folder = tmp_path_factory.mktemp("export")
    serving.export(model, folder / "export" / "1")
    np.savez(folder / "in.npz", **given)
    paths = folder / "export" / "1", folder / "in.npz", folder / "out.npz"
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CLIENT), *paths],
        check=True,
        cwd=folder,  # The package cannot be found from here by accident.
    )
    results = {}
    for name, value in np.load(folder / "out.npz").items():
        signature, key = name.split("/")
        results.setdefault(signature, {})[key] = value
    return results


def assert_same(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["serving_default", "encode"])
def test_encode(served, model, given, name):
    content, style = model.encode(tf.constant(given["x"]))
    result = served[name]
    assert set(result) == {
        "content_loc",
        "content_scale",
        "style_loc",
        "style_scale",
    }
    assert_same(result["content_loc"], content.loc)
    assert_same(result["content_scale"], content.scale)
    assert_same(result["style_loc"], style.loc)
    assert_same(result["style_scale"], style.scale)


def test_infer_groups(served, model, given):
    groups, content = model.infer_content(given["x"], given["ids"])
    result = served["infer_groups"]
    assert result["groups"].tolist() == groups.tolist()
    assert_same(result["content_loc"], content.loc)
    assert_same(result["content_scale"], content.scale)
    expected = evidence.from_normal(content.loc, content.scale)
    np.testing.assert_allclose(
        result["precision"], expected.precision, rtol=1e-5
    )
    np.testing.assert_allclose(
        result["weighted_loc"], expected.weighted_loc, rtol=1e-4, atol=1e-6
    )
    assert result["count"].dtype == np.int64
    assert result["count"].tolist() == [4, 4, 1, 2, 1]


@pytest.mark.parametrize("name", ["accumulate", "continued"])
def test_accumulate_in_one_or_in_two(served, model, given, name):
    _, content = model.infer_content(given["x"], np.zeros(12, int))
    result = served[name]
    assert_same(result["content_loc"], content.loc[0])
    assert_same(result["content_scale"], content.scale[0])
    assert result["precision"].shape == (3,)


def test_identify(served, model, given):
    """As a store of the same observations by posteriors."""
    groups, parts = (
        np.unique(given["ids"]),
        GroupedData.of(given["x"], given["ids"]),
    )
    store = encoding.encode(model, [parts]).tables["content"]
    answers = store.identify(model, given["x"], best=len(groups))
    result = served["identify"]
    assert result["scores"].shape == (12, 5)
    assert result["num_groups"] == 5
    # The signature's groups come in order of first appearance.
    order = np.argsort(served["infer_groups"]["groups"])
    rows = np.searchsorted(groups, answers.groups)
    found = np.take_along_axis(result["scores"][:, order], rows, axis=1)
    np.testing.assert_allclose(found, answers.scores, rtol=1e-4, atol=1e-4)


def test_decode(served, model, given):
    expected = model.decode(given["content"], given["style"]).mean()
    assert_same(served["decode"]["observations"], expected)


def test_reconstruct(served, model, given):
    expected = control.reconstruct(model, given["x"], given["ids"])
    assert_same(served["reconstruct"]["observations"], expected)


def test_swap(served, model, given):
    x = tf.constant(given["x"])
    assert_same(
        served["swap"]["observations"], control.swap(model, x[:5], x[5:])
    )


def test_what_is_wrong_is_said_without_the_package(served):
    message = str(served["refused"]["message"])
    assert "observations must be numbers in [0, 1]" in message
    assert "Divide 8-bit images by 255" in message


def test_networks_are_traced_once_for_all_signatures(
    make_model, tmp_path, monkeypatch
):
    traced = []
    methods = [
        (Codec, "propose"),
        (Codec, "given_style"),  # The flow is the longest of all.
        (Codec, "decode"),
        *((Signatures, name) for name in serving.NAMES),
    ]

    def count(owner, name):
        method = getattr(owner, name)

        @functools.wraps(method)  # Signatures are read from it.
        def counted(*arguments, **named):
            traced.append(name)
            return method(*arguments, **named)

        monkeypatch.setattr(owner, name, counted)

    for owner, name in methods:
        count(owner, name)
    model = make_model(style_given_content=True, style_flow=2)
    serving.export(model, tmp_path / "1", pictures=True)
    once = {"propose", "given_style", *serving.NAMES}
    twice = {
        "decode": 2,  # A network and a signature.
        "encode": 2,  # A signature, and what follows the decoding of pictures.
    }
    expected = dict.fromkeys(once, 1) | twice
    assert {name: traced.count(name) for name in once} == expected


def test_a_table_of_a_network_is_saved(make_model, batch, tmp_path):
    class Table(keras.layers.Layer):
        def __init__(self):
            super().__init__(dtype="float64")
            pairs = tf.lookup.KeyValueTensorInitializer([0, 1], [5.0, 7.0])
            self.table = tf.lookup.StaticHashTable(pairs, -1.0)

        def call(self, inputs):
            found = self.table.lookup(tf.cast(2 * inputs, tf.int32))
            return tf.reshape(tf.cast(found, inputs.dtype), (-1, 16))

    model = make_model(encoder=Table())
    serving.export(model, tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures
    images = batch["observations"].astype(np.float32)
    content, _ = model.encode(tf.constant(images, tf.float64))
    result = served["encode"](observations=tf.constant(images))
    assert_same(result["content_loc"], content.loc)


def test_a_hundred_thousand_updates_of_one_group(model, given):
    """Each rounds what is stored to float32."""
    signatures = serving.Signatures(model)
    one = tf.constant(given["x"][:1])

    @tf.function(jit_compile=True)
    def repeat(count):
        state = tf.zeros(3), tf.zeros(3)
        for _ in tf.range(count):
            result = signatures.accumulate(*state, one)
            state = result["precision"], result["weighted_loc"]
        return result

    count = 100_000
    result = repeat(count)
    content, _ = model.encode(one)
    deviation = content.scale[0] / np.sqrt(count)
    error = np.abs(result["content_loc"] - content.loc[0])
    assert np.all(error < 1e-3 * deviation)
    np.testing.assert_allclose(result["content_scale"], deviation, rtol=2e-3)


@pytest.mark.parametrize("rule", ["product_with_prior", "average"])
def test_contents_follow_the_rule(given, tmp_path, rule):
    model = mlvae_tf.MLVAE(
        SHAPE, content_dim=3, style_dim=2, hidden_units=16, accumulation=rule
    )
    serving.export(model, tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures
    x, ids = given["x"], given["ids"]
    _, content = model.infer_content(x, ids)
    result = served["infer_groups"](observations=x, group_ids=ids)
    assert_same(result["content_loc"], content.loc)
    assert_same(result["content_scale"], content.scale)
    if rule == "average":
        assert not {"accumulate", "identify"} & set(served)
        return
    zeros = tf.zeros(3)
    updated = served["accumulate"](
        precision=zeros, weighted_loc=zeros, observations=x[ids == "b"]
    )
    assert_same(updated["content_loc"], content.loc[0])
    assert_same(updated["content_scale"], content.scale[0])
    # What is stored is the observations' evidence: the prior counts once.
    np.testing.assert_allclose(
        updated["precision"], result["precision"][0], rtol=1e-5
    )


def test_nothing_is_left_where_the_export_fails(model, tmp_path, monkeypatch):
    def fail(archive, path, *args, **kwargs):
        (pathlib.Path(path) / "variables").mkdir(parents=True)
        raise OSError("no space")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="no space"):
        serving.export(model, tmp_path / "export" / "1")
    assert list((tmp_path / "export").iterdir()) == []
