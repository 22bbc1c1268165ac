"""Numbers that are large or small: float32 is where float64 is."""

import numpy as np
import pytest
import tensorflow as tf
from extremes import CASES


@pytest.mark.parametrize("case", CASES)
def test_float32_is_where_float64_is(case):
    measure, *arguments = CASES[case]
    assert measure(*arguments) <= 1e-5


@pytest.mark.parametrize(
    "likelihood", ["bernoulli", "normal", "normal_learned_scale", "poisson"]
)
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_images_all_black_or_white_train(make_model, likelihood, level):
    model = make_model(dtype="float32", likelihood=likelihood)
    model.compile("adam", jit_compile=False)
    batch = {
        "observations": np.full((12, 4, 4, 1), level, np.float32),
        "group_ids": np.arange(12) % 3,
    }
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    history = model.fit(
        dataset, steps_per_epoch=30, epochs=2, verbose=0
    ).history
    assert np.isfinite(history["loss"]).all()
    assert model.bad_steps == 0
    for weight in model.get_weights():
        assert np.isfinite(weight).all()
