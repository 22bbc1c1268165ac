"""A model whose truth is known: linear decoder, normal likelihood.

x_i = W_c c + W_s s_i + b + noise, so that a group's observations are jointly
normal, and log p(X_G) is exact.
"""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import mlvae_tf
from mlvae_tf import whole
from mlvae_tf.batches import Part
from mlvae_tf.evaluation.likelihood import importance_weighted_bound
from mlvae_tf.objective import standard_normal_kl

SCALE = 0.5
CONTENT, STYLE, SIZE = 2, 2, 8


@pytest.fixture(scope="module")
def groups():
    """Ragged groups drawn from a linear model."""
    generator = np.random.default_rng(0)
    content_map = generator.normal(size=(CONTENT, SIZE))
    style_map = generator.normal(size=(STYLE, SIZE))
    sizes = generator.integers(1, 6, size=400)
    ids = np.repeat(np.arange(400), sizes)
    content = generator.normal(size=(400, CONTENT))[ids]
    style = generator.normal(size=(len(ids), STYLE))
    noise = SCALE * generator.normal(size=(len(ids), SIZE))
    return content @ content_map + style @ style_map + noise, ids


def trained(observations, ids, **settings):
    keras.utils.set_random_seed(0)
    model = mlvae_tf.MLVAE(
        (SIZE,),
        CONTENT,
        STYLE,
        likelihood="normal",
        observation_scale=SCALE,
        seed=0,
        **settings,
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=True)
    data = {"observations": observations, "group_ids": ids}
    model.fit(tf.data.Dataset.from_tensors(data).repeat(1500), verbose=0)
    return model


@pytest.fixture(scope="module")
def model(groups):
    return trained(*groups, hidden_units=())


def maps(model):
    kernel, bias = model.decoder.get_weights()
    return kernel[:CONTENT], kernel[CONTENT:], bias


def log_likelihood(model, x):
    """The exact log p(X_G) of one group `[n, SIZE]`, NaN left out."""
    content_map, style_map, bias = (m.astype(np.float64) for m in maps(model))
    shared = content_map.T @ content_map
    own = style_map.T @ style_map + SCALE**2 * np.eye(SIZE)
    count, known = len(x), ~np.isnan(x.ravel())
    if not known.any():
        return 0.0
    covariance = np.kron(np.ones((count, count)), shared)
    covariance += np.kron(np.eye(count), own)
    normal = scipy.stats.multivariate_normal(
        np.tile(bias, count)[known], covariance[np.ix_(known, known)]
    )
    return normal.logpdf(x.ravel()[known])


def truth_of(model, x, ids):
    """The exact log p of every group."""
    return np.array(
        [log_likelihood(model, x[ids == i]) for i in np.unique(ids)]
    )


def expected_elbo(model, x, content, style):
    """The ELBO of one group with its expectation done by hand.

    E||x - m - A z||^2 = ||x - m - A mean||^2 + trace(A cov A^T).
    """
    content_map, style_map, bias = (m.astype(np.float64) for m in maps(model))
    (c, c_scale), (s, s_scale) = content, style
    residual = x - bias - c @ content_map - s @ style_map
    spread = (c_scale**2 @ content_map**2).sum() * len(x)
    spread += (s_scale**2 @ style_map**2).sum()
    squares = (residual**2).sum() + spread
    constant = x.size * np.log(2 * np.pi * SCALE**2)
    reconstruction = -0.5 * (constant + squares / SCALE**2)
    return reconstruction - kl(c, c_scale) - kl(s, s_scale).sum()


def kl(loc, scale):
    return standard_normal_kl(loc, scale).numpy()


def posteriors(model, x):
    _, content = model.infer_content(x, np.zeros(len(x), int))
    style = model.infer_style(x)
    as_float64 = [
        (p.loc.numpy().astype(np.float64), p.scale.numpy().astype(np.float64))
        for p in (content, style)
    ]
    (loc, scale), style = as_float64
    return (loc[0], scale[0]), style


def test_the_elbo_never_exceeds_the_truth(model, groups):
    untrained = mlvae_tf.MLVAE(
        (SIZE,),
        CONTENT,
        STYLE,
        hidden_units=(),
        likelihood=mlvae_tf.likelihoods.Normal(SCALE),
    )
    observations, ids = groups
    for current, largest in ((model, 0.5), (untrained, np.inf)):
        for group in range(50):
            x = observations[ids == group]
            elbo = expected_elbo(current, x, *posteriors(current, x))
            gap = log_likelihood(current, x) - elbo
            assert 0 <= gap / len(x) < largest


def test_the_models_elbo_has_the_right_expectation(model, groups):
    observations, ids = groups
    x = tf.constant(observations[ids == 0], tf.float32)
    part = Part(x, {"content": tf.zeros(len(x), tf.int32)})
    terms = tf.function(lambda seed: whole.group_terms(model.elbo, part, seed))
    samples = [terms(tf.constant([0, i])).elbo[0].numpy() for i in range(2000)]
    expected = expected_elbo(model, x.numpy(), *posteriors(model, x.numpy()))
    # Five standard errors of the mean of 2,000 draws.
    tolerance = 5 * np.std(samples) / np.sqrt(len(samples))
    assert tolerance < 0.5
    assert abs(np.mean(samples) - expected) < tolerance


def test_the_importance_weighted_bound_comes_close(model, groups):
    observations, ids = (part[:150] for part in groups)
    truth = truth_of(model, observations, ids)
    bound = importance_weighted_bound(model, observations, ids, 1000)
    elbo = importance_weighted_bound(model, observations, ids, 1)
    error = abs(truth - bound).sum() / len(ids)
    assert error < 0.05
    # One sample is far worse: the weights do the work.
    assert abs(truth - elbo).sum() / len(ids) > 3 * error


# The same with values missing: the exact marginal leaves them out.


def with_gaps(observations, ids):
    """A third of the values gone, all of one observation, all of one group."""
    generator = np.random.default_rng(1)
    gaps = np.array(observations)
    gaps[generator.uniform(size=gaps.shape) < 1 / 3] = np.nan
    gaps[3] = np.nan
    gaps[ids == 7] = np.nan
    return gaps


@pytest.fixture(scope="module")
def gappy(groups):
    """Trained on what is known alone."""
    decoder = keras.Sequential(
        [keras.Input((CONTENT + STYLE,)), keras.layers.Dense(SIZE)]
    )
    observations, ids = groups
    return trained(
        with_gaps(observations, ids),
        ids,
        hidden_units=64,
        missing_values=True,
        decoder=decoder,
    )


@pytest.mark.slow
def test_with_gaps_the_bound_comes_close_to_the_exact_marginal(gappy, groups):
    observations, ids = (part[:150] for part in groups)
    gaps = with_gaps(observations, ids)
    truth = np.array(
        [log_likelihood(gappy, gaps[ids == i]) for i in np.unique(ids)]
    )
    bound = importance_weighted_bound(gappy, gaps, ids, 1000)
    assert abs(truth - bound).sum() / len(ids) < 0.05


@pytest.mark.slow
def test_with_gaps_the_elbo_is_a_bound(gappy, groups):
    observations, ids = (part[:150] for part in groups)
    gaps = with_gaps(observations, ids)
    truth = np.array(
        [log_likelihood(gappy, gaps[ids == i]) for i in np.unique(ids)]
    )
    part = Part(tf.constant(gaps, tf.float32), {"content": tf.constant(ids)})
    step = tf.function(lambda seed: whole.group_terms(gappy.elbo, part, seed))
    count = len(truth)
    draws = np.array(
        [step(tf.constant([0, i])).elbo[:count] for i in range(400)]
    )
    elbo, error = draws.mean(0), draws.std(0) / np.sqrt(len(draws))
    assert np.all(elbo - 5 * error < truth)
    assert np.sum(truth - elbo) / len(ids) < 1


def test_an_observation_of_which_nothing_is_known_adds_its_own_style(
    gappy, groups
):
    observations, ids = (part[:40] for part in groups)
    gaps = with_gaps(observations, ids)
    seed = tf.constant([3, 4])

    def terms(rows):
        part = Part(
            tf.constant(gaps[rows], tf.float32),
            {"content": tf.constant(ids[rows])},
        )
        return whole.group_terms(gappy.elbo, part, seed)

    unknown = np.isnan(gaps).all(axis=1)
    group = ids[3]
    assert unknown[3]
    assert np.sum(ids == group) > 1
    rows = np.arange(40)
    # Left out, the rows after it would draw other noise: it goes to the end.
    last = np.append(np.delete(rows, 3), 3)
    all_, without = terms(last), terms(last[:-1])
    count = ids.max() + 1
    np.testing.assert_allclose(
        all_.kl["content"][:count], without.kl["content"][:count], rtol=1e-5
    )
    np.testing.assert_allclose(
        all_.reconstruction[:count], without.reconstruction[:count], rtol=1e-5
    )
    style = gappy.infer_style(gaps[3:4])
    own = kl(style.loc, style.scale)[0]
    np.testing.assert_allclose(
        all_.kl["style"][group] - without.kl["style"][group], own, rtol=1e-3
    )


def test_a_group_of_which_nothing_is_known_has_the_prior(gappy, groups):
    observations, ids = groups
    some = (ids == 7) | (ids == 8)
    gaps = with_gaps(observations, ids)[some]
    found, content = gappy.infer_content(gaps, ids[some])
    row = found.tolist().index(7)
    assert content.loc.numpy()[row].tolist() == [0] * CONTENT
    assert content.scale.numpy()[row].tolist() == [1] * CONTENT
    assert np.all(content.scale.numpy()[1 - row] < 1)
