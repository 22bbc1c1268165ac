import numpy as np
import pytest
import reference
import tensorflow as tf

from mlvae_tf import objective


def test_kl_by_hand():
    # loc (1, 0), scale (1, 2): (1 + 1 - 1 - 0) / 2 + (4 - 1 - log 4) / 2.
    kl = objective.standard_normal_kl(
        tf.constant([1.0, 0.0]), tf.constant([1.0, 2.0])
    )
    np.testing.assert_allclose(kl, 0.5 + (3 - np.log(4)) / 2, rtol=1e-6)


def test_kl_of_the_prior_is_zero():
    assert (
        objective.standard_normal_kl(tf.zeros((3, 4)), tf.ones((3, 4)))[
            0
        ].numpy()
        == 0
    )


def test_kl_matches_the_oracle(generator):
    loc = generator.normal(size=(50, 7)) * 3
    scale = np.exp(generator.normal(size=(50, 7)))
    np.testing.assert_allclose(
        objective.standard_normal_kl(loc, scale),
        reference.standard_normal_kl(loc, scale),
        rtol=1e-10,
    )


def mean(terms, num_groups):
    """Eq. 5 of the terms of single groups."""
    sums = tf.nest.map_structure(tf.reduce_sum, terms)
    return objective.mean(sums, num_groups)


@pytest.fixture
def ragged(generator):
    ids = np.array([2, 0, 2, 1, 2, 3, 3, 0])
    return {
        "log_likelihood": generator.normal(size=8),
        "style_kl": generator.uniform(size=8),
        "content_kl": generator.uniform(size=4),
        "segment_ids": ids,
    }


def test_average_elbo_matches_the_oracle(ragged):
    terms = mean(objective.group_terms(**ragged), 4)
    expected = reference.average_group_elbo(
        ragged["log_likelihood"],
        ragged["style_kl"],
        dict(enumerate(ragged["content_kl"])),
        ragged["segment_ids"],
    )
    np.testing.assert_allclose(terms.elbo, expected, rtol=1e-10)


def test_group_elbos_add_up(ragged):
    terms = objective.group_terms(**ragged)
    average = mean(terms, 4)
    np.testing.assert_allclose(
        np.sum(terms.elbo), 4 * average.elbo.numpy(), rtol=1e-12
    )


def test_content_kl_counts_once_per_group():
    # One group of three: 3 * -10 - 3 * 2 - 5 = -41.
    terms = objective.group_terms(
        tf.fill([3], -10.0), tf.fill([3], 2.0), tf.constant([5.0]), [0, 0, 0]
    )
    assert terms.elbo.numpy().tolist() == [-41]


def test_padding_rows_do_not_count(ragged):
    expected = mean(objective.group_terms(**ragged), 4)
    padded = objective.group_terms(
        np.append(ragged["log_likelihood"], 1e6),
        np.append(ragged["style_kl"], 1e6),
        np.append(ragged["content_kl"], [0, 0, 0]),
        np.append(ragged["segment_ids"], -1),
    )
    np.testing.assert_allclose(mean(padded, 4).elbo, expected.elbo, rtol=1e-12)


def test_loss_weighs_the_divergences():
    # 2 * 3 + 5 * 7 + 100 = 141.
    kl = {"content": tf.constant(3.0), "style": tf.constant(7.0)}
    terms = objective.Terms(tf.constant(-100.0), kl)
    weights = {"style": 5.0, "content": 2.0}
    assert objective.loss(terms, weights).numpy() == 141
    ones = dict.fromkeys(weights, 1.0)
    assert objective.loss(terms, ones).numpy() == -terms.elbo.numpy()
