"""The best weights of a training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mlvae_tf.runs.best import Best


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile()
    return model


def validate(best, model, losses):
    """Steps of which each adds one to the weights, and is validated."""
    best.set_model(model)
    for loss in losses:
        model.optimizer.iterations.assign_add(1)
        for weight in model.weights:
            weight.assign_add(tf.ones_like(weight))
        best.on_epoch_end(0, {} if loss is None else {"val_loss": loss})


def test_the_best_are_kept(model):
    best = Best(model, 0, 9)
    first = [weight.numpy() for weight in model.weights]
    validate(best, model, [5.0, 2.0, None, 3.0, float("nan"), 2.5])
    assert best.take() == 2
    for weight, before in zip(model.weights, first, strict=True):
        np.testing.assert_allclose(weight, before + 2, rtol=1e-6)
    assert not best.has_stopped


def test_without_a_gain_it_stops(model):
    best = Best(model, 0, 2)
    validate(best, model, [5.0, 6.0])
    assert not model.stop_training
    validate(best, model, [4.0, 4.0])
    assert not model.stop_training
    validate(best, model, [7.0])
    assert model.stop_training
    assert best.has_stopped


def test_what_comes_before_a_step_does_not_count(model):
    best = Best(model, 4, 2)
    validate(best, model, [1.0, 9.0, 9.0, 8.0])
    assert best.take() == 4


def test_nothing_was_validated(model):
    best = Best(model, 0, 2)
    before = model.get_weights()
    assert best.take() == 0
    for weight, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_it_goes_on_from_its_state(model, tmp_path):
    best = Best(model, 0, 2)
    validate(best, model, [5.0, 6.0])
    best.state.write(str(tmp_path / "state"))
    kept = model.get_weights()
    again = Best(model, 0, 2)
    again.state.read(str(tmp_path / "state")).assert_consumed()
    validate(again, model, [7.0])
    assert again.has_stopped
    assert again.take() == 1
    for weight, value in zip(model.get_weights(), kept, strict=True):
        np.testing.assert_allclose(weight, value - 1, rtol=1e-6)
