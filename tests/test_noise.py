import numpy as np
import pytest
import tensorflow as tf

from mlvae_tf import noise

SEED = tf.constant([3, 4])


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("width", [1, 4, 10])
@pytest.mark.parametrize("draw", [noise.uniform, noise.normal])
def test_parts_are_what_the_whole_is(draw, width, jit_compile):
    whole = draw(SEED, 40, width).numpy()
    compiled = tf.function(draw, jit_compile=jit_compile)
    for start, rows in ((0, 7), (7, 1), (8, 32)):
        part = compiled(SEED, rows, width, tf.constant(start)).numpy()
        np.testing.assert_allclose(
            part, whole[start : start + rows], rtol=1e-5, atol=1e-6
        )


def test_seeds_are_the_same_in_xla():
    def draw(seed):
        for number in range(5):
            seed = noise.split(noise.fold_in(seed, number))[number % 2]
        return noise.uniform(seed, 3, 2)

    compiled = tf.function(draw, jit_compile=True)
    for number in range(20):
        seed = tf.constant([number, 0])
        np.testing.assert_array_equal(compiled(seed), draw(seed))


def test_a_dtype_changes_the_rounding_only():
    single = noise.normal(SEED, 1000, 3).numpy()
    double = noise.normal(SEED, 1000, 3, dtype="float64").numpy()
    assert double.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-6)


def test_draws_are_standard_normal_and_independent():
    draws = noise.normal(SEED, 200_000, 5).numpy().astype(np.float64)
    moments = [np.mean(draws**power) for power in (1, 2, 3, 4)]
    # A million draws: five standard errors of each moment.
    errors = 5 * np.sqrt(np.array([1, 2, 15, 96]) / draws.size)
    assert np.all(np.abs(moments - np.array([0, 1, 0, 3])) < errors)
    correlation = np.corrcoef(draws.T) - np.eye(5)
    assert np.abs(correlation).max() < 5 / np.sqrt(len(draws))
    successive = np.corrcoef(draws[1:, 0], draws[:-1, 0])[0, 1]
    assert abs(successive) < 5 / np.sqrt(len(draws))


def test_seeds_differ():
    one = noise.normal(tf.constant([0, 1]), 50, 4).numpy()
    other = noise.normal(tf.constant([0, 2]), 50, 4).numpy()
    assert not np.any(one == other)


def test_the_ends_are_never_drawn(monkeypatch):
    for bits in (0, 2**32 - 1):
        monkeypatch.setattr(
            tf.raw_ops,
            "StatelessRandomUniformFullIntV2",
            lambda shape, bits=bits, **_: tf.fill(
                shape, tf.constant(bits, tf.uint32)
            ),
        )
        draw = noise.uniform(SEED, 1, 1).numpy().item()
        assert 0 < draw < 1
        assert np.isfinite(noise.normal(SEED, 1, 1).numpy()).all()
