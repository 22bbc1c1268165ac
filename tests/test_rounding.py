import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlvae_tf import evidence
from mlvae_tf.rounding import update


@pytest.mark.slow
def test_a_hundred_thousand_updates_of_what_is_stored(generator):
    """Rounded to the nearest each time, the worst ends 1.1 deviations off."""
    loc = tf.constant(generator.normal(size=16))
    scale = tf.constant(np.exp(generator.normal(size=16)))
    new = evidence.from_normal(loc, scale)

    @tf.function(jit_compile=True)
    def repeat(count):
        total = evidence.zero((16,), "float32")
        for _ in tf.range(count):
            total = update(total, new)
        return total

    count = 100_000
    actual = evidence.to_normal(evidence.cast(repeat(count), tf.float64))
    deviation = scale.numpy() / np.sqrt(count)
    assert np.all(np.abs(actual[0] - loc) < 1e-3 * deviation)
    np.testing.assert_allclose(actual[1], deviation, rtol=2e-3)


@given(
    hnp.arrays(np.float32, (2, 4), elements=st.floats(0.0625, 65536, width=32)),
    hnp.arrays(np.float32, (2, 4), elements=st.floats(-64, 64, width=32)),
)
@settings(deadline=None)
def test_an_update_is_next_to_the_exact_and_always_grows(precision, loc):
    stored, new = (
        evidence.Evidence(tf.constant(p), tf.constant(p * m))
        for p, m in zip(precision, loc, strict=True)
    )
    actual = update(stored, new)
    exact = evidence.add(
        *(evidence.cast(part, tf.float64) for part in (stored, new))
    )
    np.testing.assert_allclose(actual.precision, exact.precision, rtol=1e-5)
    actual_loc, expected = (
        evidence.to_normal(evidence.cast(part, tf.float64))[0]
        for part in (actual, exact)
    )
    np.testing.assert_allclose(actual_loc, expected, rtol=3e-7, atol=1e-12)
    grown = precision[0] + precision[1].astype(np.float64) / 3
    assert np.all(actual.precision >= grown.astype(np.float32))
    again = update(stored, new)
    np.testing.assert_array_equal(actual.precision, again.precision)


def test_an_update_by_nothing_changes_nothing():
    stored = evidence.Evidence(tf.constant([0.0, 3.3]), tf.constant([0.0, 1.7]))
    actual = update(stored, evidence.zero((2,), "float32"))
    for one, other in zip(actual, stored, strict=True):
        np.testing.assert_array_equal(one, other)
