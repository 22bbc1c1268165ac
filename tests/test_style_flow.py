import keras
import numpy as np
import pytest
import tensorflow as tf

from mlvae_tf import style_flow
from mlvae_tf.directions import Directions
from mlvae_tf.flows import ConditionalFlow
from mlvae_tf.style_flow import Pairs, StyleFlow


def test_no_more_is_learned_of_means_than_groups_tell():
    assert style_flow.noise_for(600, [6]) == pytest.approx(0.1)
    assert style_flow.noise_for(600, [24, 6]) == pytest.approx(0.1)
    assert style_flow.noise_for(3, [3]) == 1


def test_many_are_learned_from_in_more_steps():
    steps = [style_flow.steps_for(n) for n in (30, 3000, 60_000)]
    assert steps == [100, 1000, 5000]


def test_no_more_than_half_is_dropped():
    assert style_flow.dropped_for(0) == 0
    assert style_flow.dropped_for(0.01) == pytest.approx(0.01, rel=0.01)
    assert style_flow.dropped_for(1) == 0.5


def test_dropout_keeps_the_mean():
    every = tf.constant(np.arange(256).astype(np.uint8))
    factors = style_flow._dropout(every, 0.1, tf.float64).numpy()
    assert np.count_nonzero(factors == 0) == 26  # The nearest to a tenth.
    assert factors.mean() == pytest.approx(1)
    none = style_flow._dropout(every, 0.001, tf.float64)
    np.testing.assert_array_equal(none, np.ones(256))


def test_dropout_learns_less_by_heart(monkeypatch):
    """Styles are standard normal, whatever the content."""

    def excess() -> float:
        """Nats that other styles have more than those learned from."""
        keras.utils.set_random_seed(0)
        generator = np.random.default_rng(0)
        style, other = generator.normal(size=(2, 120, 4)).astype(np.float32)
        content = np.repeat(np.eye(2, dtype=np.float32), 60, axis=0)
        pairs = Pairs(tf.constant(style), tf.constant(content))
        flow = ConditionalFlow(4, 2, 4, units=32)
        fitted = StyleFlow(flow, Directions(4))
        scale = tf.fill([4], 0.1)
        fitted.fit(pairs, pairs, scale, [tf.eye(2)], seed=1, steps=150)
        nats = [
            -np.mean(fitted.log_prior(tf.constant(of), pairs.content))
            for of in (other, style)
        ]
        return nats[0] - nats[1]

    with_dropout = excess()
    monkeypatch.setattr(style_flow, "dropped_for", lambda share: 0)
    assert 0 < with_dropout < 0.9 * excess()


def test_a_fit_has_the_bits_of_another(generator):
    pairs = Pairs(
        *(tf.constant(generator.normal(size=(30, 3)), tf.float32),) * 2
    )
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        flow = ConditionalFlow(3, 3, 2, units=8)
        fitted = StyleFlow(flow, Directions(3))
        fitted.fit(pairs, pairs, tf.fill([3], 0.5), [tf.eye(3)], steps=5)
        weights.append(flow.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
