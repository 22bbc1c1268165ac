import dataclasses

import numpy as np
import pytest
import reference
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation import calibration, classifiers, probes
from mlvae_tf.evaluation.bootstrap import (
    Estimate,
    by_chance,
    estimate,
    estimate_statistic,
    separate,
)
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.layers import EvidenceAccumulation


def posteriors(content_loc, style_loc, group_ids, scale=1.0):
    def normal(loc):
        loc = tf.constant(loc)
        return tfp.distributions.Normal(loc, scale * tf.ones_like(loc))

    return Posteriors(
        normal(content_loc),
        normal(style_loc),
        np.asarray(group_ids),
        EvidenceAccumulation(dtype="float64"),
    )


def separated(generator, size, noise, scale=1.0):
    """Contents that lie about their group's corner, styles that do not."""
    group_ids = np.repeat(np.arange(4), size)
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    content = corners[group_ids] + noise * generator.normal(size=(4 * size, 2))
    style = generator.normal(size=(4 * size, 2))
    return posteriors(content, style, group_ids, scale)


def test_sets_are_dealt_out_and_accumulated(generator):
    ids = np.array([0] * 7 + [1] * 3 + [2])
    loc = generator.normal(size=(11, 2))
    test = posteriors(loc, loc, ids)
    sets = test.deal(3, generator)
    assert sets.group_ids.tolist() == [0, 0, 1]
    assert sets.set_ids.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert len(set(sets.rows)) == 9
    assert np.array_equal(ids[sets.rows], sets.group_ids[sets.set_ids])
    _, expected, _ = reference.accumulate(
        loc[sets.rows], np.ones((9, 2)), sets.set_ids.tolist()
    )
    actual = test.accumulate(sets.rows, sets.set_ids).loc
    np.testing.assert_allclose(actual, expected, rtol=1e-10)


def test_all_of_a_group_is_one_set(generator):
    ids = np.array(["b", "a", "b", "b"])
    sets = posteriors(np.zeros((4, 1)), np.zeros((4, 1)), ids).deal(
        None, generator
    )
    assert sets.group_ids.tolist() == ["a", "b"]
    assert ids[sets.rows].tolist() == ["a", "b", "b", "b"]
    assert sets.set_ids.tolist() == [0, 1, 1, 1]


def test_probes_tell_what_there_is_to_tell(generator):
    train = separated(generator, 300, noise=0.8)
    test = separated(generator, 100, noise=0.8)
    counts = (1, 4, 25, 1000, None)
    found, confusion = probes.probe_groups(train, test, counts, seed=0)
    result, _ = separate(found)
    accuracy = result["content_accuracy"]
    assert list(accuracy) == ["1", "4", "25", "all"]  # 1,000 are too many.
    # The best possible is Phi(1 / 0.8)^2 = 0.80 for one, Phi(2 / 0.8)^2 =
    # 0.988 for four.
    assert abs(accuracy["1"] - 0.80) < 0.06
    assert abs(accuracy["4"] - 0.988) < 0.02
    assert accuracy["25"] == accuracy["all"] == 1
    assert abs(result["style_accuracy"] - 0.25) < 0.07
    assert result["chance_accuracy"] == 0.25
    # A style that says nothing leaves log 4 nats.
    assert abs(result["style_entropy"] - np.log(4)) < 0.1
    assert result["content_entropy"]["25"] < result["content_entropy"]["1"]
    # Not accumulated, four say no more than one.
    alone = result["unaccumulated"]["content_accuracy"]
    assert alone["1"] == alone["all"] == pytest.approx(accuracy["1"])
    # Four divide the hundred: the same observations again.
    assert alone["4"] == pytest.approx(accuracy["1"])
    # Draws of scale 1 add to a noise of 0.8: Phi(1 / sqrt(1.64))^2 = 0.614.
    sampled = result["sampled"]
    assert abs(sampled["content_accuracy"]["1"] - 0.614) < 0.07
    assert abs(sampled["style_accuracy"] - 0.25) < 0.07
    assert confusion.shape == (4, 4)
    assert confusion.sum() == 400
    assert np.trace(confusion) / 400 == pytest.approx(accuracy["1"])


def test_every_figure_lies_in_its_interval(generator):
    train = separated(generator, 100, noise=0.8)
    test = separated(generator, 100, noise=0.8)
    found, _ = probes.probe_groups(train, test, (1, 4), seed=0)
    result, intervals = separate(found)
    count = 0

    def check(values, bounds):
        nonlocal count
        for key, bound in bounds.items():
            if isinstance(bound, dict):
                check(values[key], bound)
            else:
                assert bound[0] <= values[key] <= bound[1]
                count += 1

    check(result, intervals)
    # Accuracy and entropy of content at two k, accumulated and not, and of
    # style; from means and from draws; and style as it is given, means and
    # draws, by three kinds of classifier and by boosting of means;
    # and the largest that there would be by chance.
    assert count == 2 * 2 * (2 * 2 + 1) + 7 + 1


def test_a_style_whose_scale_tells_the_group(generator):
    """Of its means nothing can be told: what tells most is the figure."""
    ids = np.repeat(np.arange(4), 100)

    def some():
        loc = tf.constant(generator.normal(size=(400, 2)), tf.float32)
        scale = tf.constant(np.exp([[0.1 * g] * 2 for g in ids]), tf.float32)
        style = tfp.distributions.Normal(loc, scale)
        return dataclasses.replace(
            separated(generator, 100, noise=0.8), style=style
        )

    test = some()
    found, _ = probes.probe_groups(some(), test, (1,), seed=0)
    given = {way: one.value for way, one in found["style_given"].items()}
    assert given["means, network"] < 0.4
    # Four hundred in four groups: little above a quarter.
    assert 0.25 < found["style_chance"].value < 0.30
    assert given["means and log-scales, network"] > 0.9
    assert given["means and log-scales, boosted"] > 0.9
    assert found["style_accuracy"].value == max(given.values())
    assert given[found["style_named_by"]] == max(given.values())
    drawn = [given[f"draws, {kind}"] for kind in ("neighbours", "network")]
    assert found["sampled"]["style_accuracy"].value >= max(drawn)


def test_the_largest_accuracy_by_chance():
    """Of what names half of a group, and its opposite: hypergeometric."""
    named = np.arange(10) % 2
    groups = np.array(["x", "y"])[np.arange(10) // 5]
    both = [np.array(["x", "y"])[named], np.array(["y", "x"])[named]]
    hits = np.arange(6)
    each = scipy.stats.hypergeom(10, 5, 5).pmf(hits)
    largest = np.maximum(2 * hits, 10 - 2 * hits) / 10
    found = by_chance(both, groups)
    assert found.value == pytest.approx(each @ largest, abs=0.02)
    assert (found.low, found.high) == (0.6, 0.8)
    # One of them alone is right as often as not.
    assert by_chance(both[:1], groups).value == pytest.approx(0.5, abs=0.02)


def test_interval_is_that_of_the_normal_limit(generator):
    scores = generator.normal(size=400)
    value, low, high = estimate(scores)
    assert value == pytest.approx(scores.mean())
    error = 1.96 * scores.std() / 20
    expected = scores.mean() - error, scores.mean() + error
    np.testing.assert_allclose([low, high], expected, atol=0.2 * error)
    # Ten passes over a tenth of the units are no more than the tenth.
    _, low, high = estimate(scores, size=40)
    assert high - low == pytest.approx(2 * error * np.sqrt(10), rel=0.2)


def test_interval_of_what_is_right_is_binomial(generator):
    right = generator.uniform(size=400) < 0.9
    found = estimate(right)
    assert found.value == right.mean()
    expected = scipy.stats.binom(400, right.mean()).ppf([0.025, 0.975]) / 400
    np.testing.assert_allclose(found[1:], expected, atol=0.006)
    # Ten passes over the same 400 tell no more than one.
    pooled = estimate(np.tile(right, 10), size=400)
    np.testing.assert_allclose(pooled, found, atol=1e-12)
    drawn = estimate(right.astype(float))
    np.testing.assert_allclose(drawn, found, atol=0.006)


def test_values_and_intervals_are_parted():
    some = Estimate(0.5, 0.4, 0.6)
    values, intervals = separate({"a": {"1": some}, "b": 2.0, "c": {"d": 3}})
    assert values == {"a": {"1": 0.5}, "b": 2.0, "c": {"d": 3}}
    assert intervals == {"a": {"1": [0.4, 0.6]}}


def test_entropy_by_hand():
    class Known(classifiers.Network):
        def __init__(self):
            self.classes_ = np.array(["a", "b"])

        def predict_proba(self, features):
            return features

    features = np.array([[0.25, 0.75], [1.0, 0.0]])
    probe = classifiers.Probe({"network": Known()}, "network")
    score = probes.Score.of(probe, features, np.array(["b", "b"]))
    assert score.named.tolist() == ["b", "a"]
    assert score.accuracy().value == 0.5
    expected = -(np.log(0.75) + np.log(np.finfo(float).eps)) / 2
    assert score.entropy().value == pytest.approx(expected)


def test_calibration_tells_modest_from_over_confident(generator):
    # Single contents err by 0.5, sets of four by 0.25; the scale says `scale`.
    for scale, ratio in ((0.5, 1), (0.25, 2), (1.0, 0.5)):
        test = separated(generator, 400, noise=0.5, scale=scale)
        measured = calibration.measure(test, (1, 4, 300, None), seed=0)
        assert list(measured) == ["1", "4"]  # 300 are not there twice.
        for count, expected in (("1", 0.5), ("4", 0.25)):
            found = measured[count]
            np.testing.assert_allclose(
                found.actual.mean(axis=0), 2 * expected**2, rtol=0.3
            )
            value, low, high = found.ratio
            assert value == pytest.approx(ratio, rel=0.12)
            assert 0.8 * value < low < value < high < 1.2 * value


def test_interval_of_a_statistic(generator):
    scores = generator.normal(3, 2, 200)

    def mean(counts):
        return counts @ scores / counts.sum()

    value, low, high = estimate_statistic(mean, 200)
    assert value == pytest.approx(scores.mean())
    assert high - low == pytest.approx(2 * 1.96 * 2 / 200**0.5, rel=0.2)
    # What a resample may lack does not count.
    part = iter([1.0] + [np.nan, 2.0] * 500)
    assert estimate_statistic(lambda counts: next(part), 3) == (1, 2, 2)


def test_what_cannot_be_probed(generator):
    some = separated(generator, 5, noise=0.1)
    with pytest.raises(ValueError, match="one of at most 5"):
        probes.probe_groups(some, some, (6, 50), seed=0)
    one = posteriors(np.zeros((4, 2)), np.zeros((4, 2)), np.zeros(4, int))
    with pytest.raises(ValueError, match="at least two groups"):
        probes.probe_groups(one, one, (1,), seed=0)


def test_counts_of_one_group_are_left_out(generator):
    """Of the largest group alone, which group it is would be no question."""
    train = separated(generator, 50, noise=0.1)
    test = train[np.flatnonzero((train.group_ids == 0) | (train.group_ids > 2))]
    test = test[np.append(np.arange(50), [50, 51])]
    found, _ = probes.probe_groups(train, test, (1, 2, 10, None), seed=0)
    assert list(found["content_accuracy"]) == ["1", "2", "all"]
    with pytest.raises(ValueError, match=r"at most 2, .* two groups have"):
        probes.probe_groups(train, test, (10,), seed=0)


def test_boosting_is_left_out_of_many_groups(generator, monkeypatch):
    some = separated(generator, 20, noise=0.1)
    found, _ = probes.probe_groups(some, some, (1,), seed=0)
    assert "means, boosted" in found["style_given"]
    monkeypatch.setattr(probes, "MAX_BOOSTED_GROUPS", 3)
    found, _ = probes.probe_groups(some, some, (1,), seed=0)
    assert "means, boosted" not in found["style_given"]
    assert "means, network" in found["style_given"]


def test_posteriors_scale_eight_bit_images(make_model, generator):
    images = generator.integers(0, 256, size=(5, 4, 4, 1)).astype(np.uint8)
    data = GroupedData.of(images, np.arange(5))
    model = make_model(dtype="float32")
    expected = model.infer_style(images / np.float32(255)).loc
    actual = Posteriors.of(model, data).style.loc
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
