"""Directions in which a style says something, and the others."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf.directions import Directions
from mlvae_tf.flows import ConditionalFlow

SPREADS = np.array([3.0, 0.7, 0.3, 0.0])  # In units of the posterior's scale.


@pytest.fixture
def scale(generator):
    return generator.uniform(0.2, 0.9, 4)


@pytest.fixture
def means(generator, scale):
    """Those of posteriors along four known axes."""
    axes = np.linalg.qr(generator.normal(size=(4, 4)))[0]
    units = generator.normal(size=(500, 4))
    units -= units.mean(axis=0)
    units = np.linalg.qr(units)[0] * np.sqrt(500)
    return generator.normal(size=4) + (units * SPREADS) @ axes * scale


@pytest.fixture
def directions(means, scale):
    directions = Directions(4, dtype="float64")
    directions.used = directions.find(tf.constant(means), tf.constant(scale))
    return directions


def test_new_ones_are_the_identity(means):
    u, log_det = Directions(4, dtype="float64").forward(tf.constant(means))
    np.testing.assert_array_equal(u, means)
    assert log_det.numpy() == 0


def test_they_are_those_in_which_means_spread(directions, means, scale):
    np.testing.assert_array_equal(directions.used, [True, True, False, False])
    within = directions.posterior(tfd.Normal(means, np.tile(scale, (500, 1))))
    spread = np.sqrt(1 + SPREADS**2)
    covariance = np.cov(within.loc.numpy().T, bias=True)
    expected = np.diag((SPREADS / spread) ** 2)
    np.testing.assert_allclose(covariance, expected, atol=1e-10)
    np.testing.assert_allclose(within.loc.numpy().mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(
        within.scale, np.tile(1 / spread, (500, 1)), rtol=1e-6
    )


def test_inverse_and_log_det(directions, generator):
    points = tf.constant(generator.normal(size=(7, 4)))
    u, log_det = directions.forward(points)
    np.testing.assert_allclose(directions.inverse(u), points, atol=1e-10)
    corners = tf.constant(np.vstack([np.zeros(4), np.eye(4)]))
    images, _ = directions.forward(corners)
    _, expected = np.linalg.slogdet(images[1:] - images[0])
    np.testing.assert_allclose(log_det, expected, rtol=1e-10)


def test_one_is_used_of_means_that_say_nothing():
    nothing = tf.zeros((5, 3), tf.float64)
    used = Directions(3, dtype="float64").find(nothing, tf.ones(3, tf.float64))
    np.testing.assert_array_equal(used, [True, False, False])


def test_what_is_not_used_is_neither_read_nor_changed(generator):
    flow = ConditionalFlow(5, 2, 4, units=6, dtype="float64")
    for weight in flow.variables_to_fit:
        weight.assign(generator.normal(size=weight.shape))
    flow.use(tf.constant([True, False, True, True, False]))
    u = generator.normal(size=(6, 5))
    c = tf.constant(generator.normal(size=(6, 2)))
    z, log_det = flow.forward(tf.constant(u), c)
    np.testing.assert_array_equal(z.numpy()[:, [1, 4]], u[:, [1, 4]])
    assert not np.isclose(z.numpy(), u)[:, [0, 2, 3]].all(axis=0).any()
    np.testing.assert_allclose(flow.inverse(z, c), u, atol=1e-9)
    u[:, [1, 4]] += 5
    other, other_log_det = flow.forward(tf.constant(u), c)
    np.testing.assert_array_equal(
        other.numpy()[:, [0, 2, 3]], z.numpy()[:, [0, 2, 3]]
    )
    np.testing.assert_array_equal(other_log_det, log_det)


def test_they_stay_where_all_are_used(directions, means, scale):
    spread = means + np.random.default_rng(1).normal(size=means.shape)
    assert np.all(directions.find(tf.constant(spread), tf.constant(scale)))
    u, log_det = directions.forward(spread)
    np.testing.assert_array_equal(u, spread)
    assert log_det.numpy() == 0
