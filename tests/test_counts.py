"""Counts whose rates are known: what the count models learn of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mlvae_tf
from mlvae_tf.likelihoods import NegativeBinomial, Poisson

SIZE, GROUPS, MEMBERS, STEPS = 12, 300, 6, 5000
INVERSE_DISPERSION = 4.0


@pytest.fixture(scope="module")
def simulated():
    """Rates from a log-linear model of content and style, and group ids."""
    generator = np.random.default_rng(0)
    ids = np.repeat(np.arange(GROUPS), MEMBERS)
    content = generator.normal(size=(GROUPS, 2))[ids]
    style = generator.normal(size=(len(ids), 1))
    maps = generator.normal(size=(3, SIZE)) * 0.5
    log_rate = np.hstack([content, style]) @ maps + np.log(30)
    return np.exp(log_rate), ids


def learned(likelihood, counts, ids):
    """Networks as in scripts by default, but that the decoder is linear."""
    keras.utils.set_random_seed(0)
    per_value = likelihood.num_parameters
    model = mlvae_tf.MLVAE(
        (SIZE,),
        content_dim=2,
        style_dim=1,
        hidden_units=64,
        likelihood=likelihood,
        decoder=keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(SIZE * per_value)]
        ),
        seed=0,
    )
    rate = keras.optimizers.schedules.CosineDecay(0.01, STEPS)
    model.compile(
        keras.optimizers.Adam(rate), steps_per_execution=100, jit_compile=True
    )
    data = {"observations": counts.astype(np.float32), "group_ids": ids}
    batches = tf.data.Dataset.from_tensor_slices(data).batch(50 * MEMBERS)
    model.fit(batches.repeat().take(STEPS), verbose=0)
    return model


def rates(model, counts, ids):
    """What is expected given a group's content and an observation's style."""
    groups, content = model.infer_content(counts, ids)
    assert groups.tolist() == list(range(GROUPS))
    style = model.infer_style(counts)
    return model.decode(tf.gather(content.loc, ids), style.loc)


@pytest.mark.slow
def test_poisson_recovers_the_rates(simulated):
    truth, ids = simulated
    counts = np.random.default_rng(1).poisson(truth)
    found = rates(learned(Poisson(), counts, ids), counts, ids).mean().numpy()
    error = np.sqrt(np.mean((np.log(found) - np.log(truth)) ** 2))
    # The error of a single count, taken for its own rate.
    alone = np.sqrt(np.mean(1 / truth))
    assert error < 2 / 3 * alone
    np.testing.assert_allclose(found.mean(0), truth.mean(0), rtol=0.05)


@pytest.mark.slow
def test_negative_binomial_recovers_rates_and_dispersion(simulated):
    truth, ids = simulated
    generator = np.random.default_rng(1)
    share = INVERSE_DISPERSION / (INVERSE_DISPERSION + truth)
    counts = generator.negative_binomial(INVERSE_DISPERSION, share)
    model = learned(NegativeBinomial(), counts, ids)
    likelihood = rates(model, counts, ids)
    found = likelihood.mean().numpy()
    error = np.sqrt(np.mean((np.log(found) - np.log(truth)) ** 2))
    alone = np.sqrt(np.mean(1 / truth + 1 / INVERSE_DISPERSION))
    assert error < 2 / 3 * alone
    inverse = likelihood.distribution.total_count.numpy()
    np.testing.assert_allclose(np.median(inverse), INVERSE_DISPERSION, rtol=0.2)
    # Counts that vary more than Poisson's are better explained as such.
    data = {"observations": counts, "group_ids": ids}
    elbo = [
        m.evaluate(data, batch_size=len(ids), verbose=0, return_dict=True)[
            "elbo"
        ]
        for m in (model, learned(Poisson(), counts, ids))
    ]
    assert elbo[0] > elbo[1] + 10 * MEMBERS
