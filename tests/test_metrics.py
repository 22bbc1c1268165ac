import numpy as np
import pytest
import reference
import tensorflow as tf
import tensorflow_probability as tfp

from mlvae_tf.data.grouping import Batches, GroupedData
from mlvae_tf.evaluation import metrics
from mlvae_tf.layers import EvidenceAccumulation


def posteriors(content_loc, style_loc, group_ids):
    def normal(loc):
        loc = tf.constant(loc)
        return tfp.distributions.Normal(loc, tf.ones_like(loc))

    return metrics.Posteriors(
        normal(content_loc),
        normal(style_loc),
        np.asarray(group_ids),
        EvidenceAccumulation(dtype="float64"),
    )


def separated(generator, size, noise):
    """Contents that lie about their group's corner, styles that do not."""
    group_ids = np.repeat(np.arange(4), size)
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    content = corners[group_ids] + noise * generator.normal(size=(4 * size, 2))
    return posteriors(content, generator.normal(size=(4 * size, 2)), group_ids)


def test_sets_are_dealt_out_and_accumulated(generator):
    ids = np.array([0] * 7 + [1] * 3 + [2])
    loc = generator.normal(size=(11, 2))
    test = posteriors(loc, loc, ids)
    rows, groups = test.deal(3, generator)
    assert groups.tolist() == [0, 0, 1]
    assert len(set(rows.ravel())) == 9
    assert np.array_equal(ids[rows], np.repeat(groups, 3).reshape(3, 3))
    _, expected, _ = reference.accumulate(
        loc[rows.ravel()], np.ones((9, 2)), np.repeat([0, 1, 2], 3).tolist()
    )
    np.testing.assert_allclose(test.accumulate(rows).loc, expected, rtol=1e-10)


def test_probes_tell_what_there_is_to_tell(generator):
    train = separated(generator, 300, noise=0.8)
    test = separated(generator, 100, noise=0.8)
    result = metrics.probe_groups(train, test, (1, 4, 25, 1000), seed=0)
    accuracy = result["content_accuracy"]
    assert list(accuracy) == ["1", "4", "25"]  # 1,000 are too many.
    # The best possible is Phi(1 / 0.8)^2 = 0.80 for one, Phi(2 / 0.8)^2 =
    # 0.988 for four.
    assert abs(accuracy["1"] - 0.80) < 0.06
    assert abs(accuracy["4"] - 0.988) < 0.02
    assert accuracy["25"] == 1
    assert abs(result["style_accuracy"] - 0.25) < 0.07
    assert result["chance_accuracy"] == 0.25
    # A style that says nothing leaves log 4 nats.
    assert abs(result["style_entropy"] - np.log(4)) < 0.1
    assert result["content_entropy"]["25"] < result["content_entropy"]["1"]


def test_what_cannot_be_probed(generator):
    some = separated(generator, 5, noise=0.1)
    with pytest.raises(ValueError, match="one of at most 5"):
        metrics.probe_groups(some, some, (6, 50), seed=0)
    one = posteriors(np.zeros((4, 2)), np.zeros((4, 2)), np.zeros(4, int))
    with pytest.raises(ValueError, match="at least two groups"):
        metrics.probe_groups(one, one, (1,), seed=0)


def test_probe_of_groups_of_one():
    features = np.arange(6.0).reshape(6, 1)
    probe = metrics.fit_probe(features, np.array([0, 1, 2, 3, 4, 4]), seed=0)
    assert set(probe.predict(features)) <= set(range(5))


def test_probe_of_one_group():
    features = np.zeros((6, 1))
    probe = metrics.fit_probe(features, np.zeros(6, int), seed=0)
    assert probe.predict(features).tolist() == [0] * 6


def test_group_elbo_names_and_sum(make_model, batch):
    model = make_model(dtype="float32")
    model.compile(optimizer="adam", jit_compile=False)
    data = GroupedData(batch["observations"], batch["group_ids"])
    result = metrics.group_elbo(model, data, Batches(2, 3), seed=0)
    parts = (
        result["group_reconstruction"]
        - result["group_content_kl"]
        - result["group_style_kl"]
    )
    assert result["group_elbo"] == pytest.approx(parts, rel=1e-5)
    again = metrics.group_elbo(model, data, Batches(2, 3), seed=0)
    assert again == result


def test_posteriors_scale_eight_bit_images(make_model, generator):
    images = generator.integers(0, 256, size=(5, 4, 4, 1)).astype(np.uint8)
    data = GroupedData(images, np.arange(5))
    model = make_model(dtype="float32")
    expected = model.infer_style(images / np.float32(255)).loc
    actual = metrics.Posteriors.of(model, data).style.loc
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
