import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

import mlvae_tf


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _fixed_seed():
    keras.utils.set_random_seed(0)


@pytest.fixture
def batch(generator):
    """Five ragged groups of small binary-ish images, in no order."""
    observations = generator.uniform(size=(12, 4, 4, 1))
    group_ids = np.array(list("bacabbdeaabd"))
    return {"observations": observations, "group_ids": group_ids}


@pytest.fixture
def make_model():
    """A small float64 model; keyword arguments override."""

    def make(**kwargs):
        settings = {
            "observation_shape": (4, 4, 1),
            "content_dim": 3,
            "style_dim": 2,
            "hidden_units": 8,
            "seed": 1,
            "dtype": "float64",
        }
        return mlvae_tf.MLVAE(**{**settings, **kwargs})

    return make
