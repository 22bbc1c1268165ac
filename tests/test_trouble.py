"""What is amiss in a batch whose step was not taken."""

import numpy as np
import pytest

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.pipeline import make_dataset
from mlvae_tf.data.sampling import Batching
from mlvae_tf.runs import trouble


@pytest.fixture
def data(generator):
    values = generator.normal(size=(20, 4, 4, 1)).astype(np.float32)
    return GroupedData.of(values, np.arange(20) % 4)


@pytest.mark.parametrize("step", [0, 2, 7])
def test_the_rows_of_a_step_are_those_of_its_batch(data, step):
    how = Batching(groups_per_batch=2, observations_per_group=3)
    found = [*make_dataset(data, how, seed=5, epochs=3)][step]
    rows = trouble.rows_of_step(data, how, 5, step)
    np.testing.assert_array_equal(found["observations"], data.values(rows))


def test_the_worst_observation_is_named(make_model, data):
    model = make_model(dtype="float32", likelihood="normal")
    data.observations[7] *= 1e3
    said = trouble.describe(model, data, np.arange(12))
    assert "of its 12 observations 0 have terms that are not finite" in said
    assert "The worst is observation 7, of group 3, with values from" in said
    data.observations[9] = 1e30  # Its square is no float32.
    said = trouble.describe(model, data, np.arange(12))
    assert "of its 12 observations 1 have terms that are not finite" in said
    assert "The worst is observation 9, of group 1" in said
