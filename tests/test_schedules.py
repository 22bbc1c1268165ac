import keras
import numpy as np
import pytest

import mlvae_tf


def test_geometric_by_hand():
    warmup = mlvae_tf.Warmup(16.0, 1.0, steps=4)
    values = [float(warmup(step)) for step in (0, 1, 2, 4, 9)]
    np.testing.assert_allclose(values, [16, 8, 4, 1, 1], rtol=1e-6)


def test_linear_from_zero_by_hand():
    warmup = mlvae_tf.Warmup(0.0, 2.0, steps=4)
    values = [float(warmup(step)) for step in (0, 1, 4, 5)]
    np.testing.assert_allclose(values, [0, 0.5, 2, 2], rtol=1e-6)


def test_round_trip():
    warmup = mlvae_tf.Warmup(3.0, 1.0, steps=7)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(warmup)
    )
    assert again.get_config() == {"start": 3.0, "end": 1.0, "steps": 7}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 1.0, 0), "steps must be"),
        ((-1.0, 1.0, 5), "not negative"),
        ((float("nan"), 1.0, 5), "finite"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        mlvae_tf.Warmup(*arguments)
