"""What is seen while a model learns is written down, and doubts are said."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import doubts
from mlvae_tf.runs.config import Config
from mlvae_tf.runs.watching import Watch
from tests.test_callbacks import events, fit


@pytest.fixture
def splits(generator):
    images = generator.uniform(size=(60, 4, 4, 1)).astype(np.float32)
    data = GroupedData.of(images, np.arange(60) % 3)
    rows = np.arange(60) % 10 < 8
    return Splits(data[rows], data[~rows], None, None)


@pytest.fixture
def model(make_model):
    model = make_model(dtype="float32")
    model.compile("adam", jit_compile=False)
    return model


def watched(tmp_path, splits, epochs=(2, 4), settled=0):
    return Watch(tmp_path, splits, 0, list(epochs), settled, Config().flat())


def test_the_signs_are_in_tensorboard(tmp_path, model, splits):
    watch = watched(tmp_path, splits)
    fit(model, splits.train[:8], watch, epochs=4)
    found = events(tmp_path)
    for tag in (
        *("explained/train", "explained/held_out"),
        *("accuracy/content", "accuracy/style", "accuracy/chance"),
        *("active/content", "active/style"),
        *("drawn/content", "drawn/style"),
        *("kl_by_dimension/content", "kl_by_dimension/style"),
    ):
        assert [step for step, _ in found[tag]] == [1, 3], tag
    assert found["accuracy/chance"][0][1] == pytest.approx(1 / 3)
    active = found["active/content"][-1][1]
    assert 0 <= active <= model.content_dim


def collapsed(model):
    for head in model.codec.heads.values():
        head.kernel.assign(0 * head.kernel)
        head.trainable = False


def test_a_doubt_is_said_once_and_at_the_end(tmp_path, model, splits, capsys):
    collapsed(model)
    watch = watched(tmp_path, splits, epochs=range(1, 5))
    fit(model, splits.train[:8], watch, epochs=4, steps_per_epoch=3)
    said = capsys.readouterr().out
    assert said.count("doubt, at step 3: style has collapsed") == 1
    assert said.count("style has collapsed") == 1
    kinds = [doubt.kind for doubt in watch.finish()]
    assert "style" in kinds
    assert "doubt, at the end: style has" in capsys.readouterr().out
    (first, *_), *_ = [events(tmp_path)["doubts"]]
    assert b"style has collapsed" in np.ravel(first[1])[0]


def test_before_the_weights_are_final_nothing_is_doubted(
    tmp_path, model, splits, capsys
):
    collapsed(model)
    watch = watched(tmp_path, splits, epochs=range(1, 4), settled=5)
    fit(model, splits.train[:8], watch, epochs=2, steps_per_epoch=2)
    assert "doubt" not in capsys.readouterr().out
    fit(model, splits.train[:8], watch, epochs=1, steps_per_epoch=2)
    assert "doubt, at step 6: style has collapsed" in capsys.readouterr().out


def test_groups_of_one_are_named_at_once(tmp_path, model, generator, capsys):
    images = generator.uniform(size=(20, 4, 4, 1)).astype(np.float32)
    data = GroupedData.of(images, np.minimum(np.arange(20), 15))
    watch = watched(tmp_path, Splits(data, None, None, None), epochs=[9])
    fit(model, data, watch, epochs=1)
    said = capsys.readouterr().out
    assert "doubt, at step 0: 94% of the training groups have" in said


def test_a_training_that_still_gains_is_named(tmp_path, model, splits):
    watch = watched(tmp_path, splits, epochs=range(1, 7))
    watch.set_model(model)
    for epoch in range(6):
        watch.on_epoch_end(epoch, {"val_elbo": epoch})
    model.optimizer.iterations.assign(doubts.LEAST_STEPS)
    (found,) = [doubt for doubt in watch.finish() if doubt.kind == "length"]
    assert "gained 1 nats" in found.text


def test_it_costs_the_model_nothing(tmp_path, make_model, splits):
    """Neither weights nor noise depend on whether somebody looks."""
    weights = []
    for watch in ([], [watched(tmp_path, splits, epochs=[1, 2, 3])]):
        keras.utils.set_random_seed(0)
        model = make_model(dtype="float32")
        model.compile("adam", jit_compile=False)
        fit(model, splits.train[:8], *watch, epochs=3)
        weights.append(
            tf.concat([tf.reshape(w, [-1]) for w in model.weights], 0)
        )
    np.testing.assert_array_equal(*weights)
