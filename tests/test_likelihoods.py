import numpy as np
import reference
import tensorflow as tf

from mlvae_tf.likelihoods import LIKELIHOODS

SHAPE = (6, 3, 2, 2)


def test_bernoulli_matches_the_oracle(generator):
    logits = generator.normal(size=SHAPE) * 10
    x = generator.uniform(size=SHAPE)
    x[0] = x[0] > 0.5
    likelihood = LIKELIHOODS["bernoulli"].distribution(tf.constant(logits), 1)
    assert likelihood.event_shape == SHAPE[1:]
    np.testing.assert_allclose(
        likelihood.log_prob(x),
        reference.bernoulli_log_prob(logits, x),
        rtol=1e-10,
    )


def test_normal_matches_the_oracle(generator):
    loc, x = generator.normal(size=(2, *SHAPE))
    likelihood = LIKELIHOODS["normal"].distribution(tf.constant(loc), 0.3)
    np.testing.assert_allclose(
        likelihood.log_prob(x),
        reference.normal_log_prob(loc, 0.3, x),
        rtol=1e-10,
    )
    np.testing.assert_array_equal(likelihood.mean(), loc)


def test_normal_with_learned_scale_matches_the_oracle(generator):
    # The variance is exp(tanh(v)), between e^-1 and e.
    loc, log_variance, x = generator.normal(size=(3, *SHAPE)) * 3
    parameters = np.concatenate([loc, log_variance], axis=-1)
    likelihood = LIKELIHOODS["normal_learned_scale"]
    assert likelihood.num_parameters == 2
    scale = np.sqrt(np.exp(np.tanh(log_variance)))
    np.testing.assert_allclose(
        likelihood.distribution(tf.constant(parameters), 1).log_prob(x),
        reference.normal_log_prob(loc, scale, x),
        rtol=1e-10,
    )
