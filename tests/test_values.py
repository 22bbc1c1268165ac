"""Counts, gaps and networks of one's own, through the scripts."""

import json
import shutil
import textwrap

import numpy as np
import pyarrow.parquet as pq
import pytest
import sklearn.datasets
import tensorflow as tf
from PIL import Image
from scripts import SMALL, assert_fails, script

from mlvae_tf.runs.workdir import load_model


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """600 digits of 8x8 counts from 0 to 16, as 8-bit values."""
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    data = sklearn.datasets.load_digits()
    images = data.images[:600].astype(np.uint8)
    np.savez(path, observations=images, group_ids=data.target[:600])
    return path


def trained(tmp_path, spec, *flags):
    folder = tmp_path / "run"
    process = script(
        "train.py", f"--workdir={folder}", f"--dataset={spec}", *SMALL, *flags
    )
    assert process.returncode == 0, process.stderr
    process = script(
        "evaluate.py", f"--workdir={folder}", "--importance_samples=5"
    )
    assert process.returncode == 0, process.stderr
    return folder


def metrics(folder):
    return json.loads((folder / "evaluation" / "metrics.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_digits_as_counts(digits, tmp_path, likelihood):
    folder = trained(
        tmp_path,
        f"npz:{digits}",
        f"--likelihood={likelihood}",
        "--epochs=200",
    )
    found = metrics(folder)
    # Of 120 held-out digits, of which chance names a tenth.
    assert found["content_accuracy"]["1"] > 0.3
    # The counts themselves are learned, not counts / 255: the mean picture is
    # as bright as the digits, whose mean is 4.9.
    model = load_model(folder)
    with np.load(digits) as data:
        images = data["observations"][..., np.newaxis].astype(np.float32)
    content, style = model.encode(images)
    means = model.decode(content.loc, style.loc).mean().numpy()
    np.testing.assert_allclose(means.mean(), images.mean(), rtol=0.25)
    # Pictures show 0 as black and the brightest original as white.
    with Image.open(folder / "evaluation" / "reconstruct.png") as picture:
        grey = np.asarray(picture.convert("L"))
    inner = grey[grey.shape[0] // 3 :, grey.shape[1] // 3 :]
    assert inner.min() < 10
    assert np.mean((inner > 40) & (inner < 215)) > 0.1


@pytest.mark.slow
def test_digits_as_classes(digits, tmp_path):
    flags = "--likelihood=categorical", "--epochs=2"
    folder = trained(tmp_path, f"npz:{digits}", *flags, "--classes=17")
    assert np.isfinite(metrics(folder)["group_elbo"])
    assert load_model(folder).encoder.layers[0].output.shape == (None, 64 * 17)
    shutil.rmtree(folder)
    given = f"--workdir={folder}", f"--dataset=npz:{digits}", *flags
    assert_fails(script("train.py", *given), "number of classes", "--classes")
    assert_fails(
        script("train.py", *given, "--classes=10"),
        "whole numbers from 0 to 9, classes",
        "the first at row 0",
    )


def test_counts_are_no_fractions(dataset, tmp_path):
    process = script(
        "train.py",
        f"--workdir={tmp_path / 'a'}",
        f"--dataset={dataset}",
        "--likelihood=poisson",
    )
    assert_fails(process, "whole numbers from 0 on, counts: got values from")
    assert not (tmp_path / "a" / "config.json").exists()


@pytest.fixture(scope="module")
def gappy(tmp_path_factory):
    """Images of which a third is not known, and some not at all."""
    path = tmp_path_factory.mktemp("gaps") / "gaps.npz"
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 0.2, size=(90, 4, 4, 1)).astype(np.float32)
    ids = np.repeat(["left", "mid", "right"], 30)
    for column, group in enumerate(np.unique(ids)):
        images[ids == group, :, column] += 0.7
    images[generator.uniform(size=images.shape) < 1 / 3] = np.nan
    images[::30] = np.nan
    np.savez(path, observations=images, group_ids=ids)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [False, True])
def test_gaps(gappy, tmp_path, chunked):
    folder = trained(
        tmp_path,
        f"npz:{gappy}",
        "--missing_values",
        "--epochs=300",
        "--learning_rate=0.003",
        *(["--chunk_size=40"] if chunked else []),
    )
    found = metrics(folder)
    assert found["content_accuracy"]["all"] == 1
    assert found["content_accuracy"]["1"] > 0.8
    assert np.isfinite(found["importance_weighted_bound"])
    output = tmp_path / "store.parquet"
    process = script("encode.py", f"--workdir={folder}", f"--output={output}")
    assert process.returncode == 0, process.stderr
    # One of each group's thirty says nothing, and does not count.
    assert pq.read_table(output)["count"].to_pylist() == [29, 29, 29]
    served = tf.saved_model.load(str(folder / "export" / "1")).signatures
    with np.load(gappy) as data:
        images, ids = data["observations"], data["group_ids"]
    groups = served["infer_groups"](
        observations=tf.constant(images), group_ids=tf.constant(ids)
    )
    assert groups["count"].numpy().tolist() == [29, 29, 29]
    for values in served["encode"](observations=tf.constant(images)).values():
        assert np.isfinite(values).all()


def test_gaps_are_refused_unless_asked_for(gappy, tmp_path):
    process = script(
        "train.py", f"--workdir={tmp_path / 'a'}", f"--dataset=npz:{gappy}"
    )
    assert_fails(process, "NaN", "first at row 0", "--missing_values")


NETWORKS = """
    import keras
    from keras import layers

    {register}
    class Twice(layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    def networks(input_shape, latent_dim, parameter_shape):
        encoder = keras.Sequential(
            [keras.Input(input_shape), layers.Flatten(), Twice(),
             layers.Dense(16, "relu"), layers.Dropout(0.1)])
        decoder = keras.Sequential(
            [keras.Input((latent_dim,)), layers.Dense(64),
             layers.Reshape(parameter_shape)])
        return encoder, decoder
"""
REGISTERED = "@keras.saving.register_keras_serializable('mine')"


def write_networks(folder, register):
    text = textwrap.dedent(NETWORKS.format(register=register))
    (folder / "mine.py").write_text(text)


@pytest.mark.slow
def test_networks_of_ones_own(dataset, tmp_path, monkeypatch):
    write_networks(tmp_path, REGISTERED)
    monkeypatch.chdir(tmp_path)
    folder = trained(
        tmp_path, dataset, "--networks=mine:networks", "--epochs=5"
    )
    output = tmp_path / "store.parquet"
    process = script("encode.py", f"--workdir={folder}", f"--output={output}")
    assert process.returncode == 0, process.stderr
    (tmp_path / "mine.py").unlink()
    process = script("evaluate.py", f"--workdir={folder}")
    assert_fails(process, "--networks=mine:networks", "No module named 'mine'")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("mine:nothing", ["module:function", "no attribute 'nothing'"]),
        ("yours:networks", ["No module named 'yours'"]),
        ("mine", ["module:function"]),
        ("mine:networks", ["trained but not loaded again", "register_keras"]),
    ],
)
def test_networks_that_are_none(dataset, tmp_path, monkeypatch, flag, words):
    write_networks(tmp_path, register="")
    monkeypatch.chdir(tmp_path)
    process = script(
        "train.py",
        f"--workdir={tmp_path / 'a'}",
        f"--dataset={dataset}",
        f"--networks={flag}",
    )
    assert_fails(process, *words)
