"""What learns to name the group, and which of it serves best."""

import warnings

import numpy as np
import pytest

from mlvae_tf.evaluation import classifiers
from mlvae_tf.evaluation.classifiers import fit_probe, simplest


def corners(generator, size):
    """Two groups in opposite corners of a square, which no mean tells."""
    points = generator.normal(size=(size, 2))
    return points, (points[:, 0] * points[:, 1] > 0).astype(int)


def right(probe, kind, points, ids):
    return np.mean(probe.names(points, kind) == ids)


def test_the_simplest_that_is_good_enough():
    def some(*places):
        return np.isin(np.arange(20), places, invert=True)

    # The second alone is right on one more: as likely by chance.
    assert simplest({"a": some(1, 2, 3), "b": some(1, 2)}) == "a"
    # On four more, which is two standard deviations of that number.
    assert simplest({"a": some(1, 2, 3, 4), "b": some()}) == "b"
    # Of six on which they differ, it is right on four: 2 <= sqrt(6).
    assert simplest({"a": some(1, 2, 3, 4), "b": some(5, 6)}) == "a"
    assert simplest({"a": some(1), "b": some(1), "c": some(1)}) == "a"


def test_means_are_taken_where_they_serve(generator):
    ids = generator.integers(0, 5, 600)
    centers = np.eye(5) * 4
    points = centers[ids] + generator.normal(size=(600, 5))
    probe = fit_probe(points[:400], ids[:400], 0)
    assert probe.best == "prototypes"
    for kind in probe.kinds:
        assert right(probe, kind, points[400:], ids[400:]) > 0.94


@pytest.mark.slow
def test_what_no_mean_tells_is_found(generator):
    probe = fit_probe(*corners(generator, 1500), 0)
    points, ids = corners(generator, 400)
    assert probe.best != "prototypes"
    assert right(probe, "prototypes", points, ids) < 0.65
    assert right(probe, None, points, ids) > 0.9
    assert right(probe, "network", points, ids) > 0.9
    assert probe.nats(points, ids).mean() < 0.25


def test_a_network_learns_longer_than_its_names_need(generator):
    """It ends by what it tells in nats: names are right soon."""
    ids = generator.integers(0, 4, 1000)
    points = 3 * np.eye(4)[ids] + generator.normal(size=(1000, 4))
    probe = fit_probe(points[:800], ids[:800], 0)
    # The best possible: posterior probabilities of the four normals.
    logits = 3 * points[800:]
    logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
    possible = -logits[np.arange(200), ids[800:]].mean()
    found = probe.nats(points[800:], ids[800:]).mean()
    assert found < possible + 0.06


def test_what_says_nothing_costs_no_nats(generator):
    """A network that learned by heart would be sure, and wrong."""
    points, ids = generator.normal(size=(600, 3)), np.arange(600) % 3
    probe = fit_probe(points[:400], ids[:400], 0)
    found = probe.nats(points[400:], ids[400:]).mean()
    assert found == pytest.approx(np.log(3), abs=0.06)


def test_the_fifth_is_of_every_group_that_spares_any():
    ids = np.repeat([0, 1, 2, 3], [1, 2, 10, 100])
    asked = classifiers._fifth(ids, 0)
    assert np.bincount(ids[asked], minlength=4).tolist() == [0, 1, 2, 20]
    assert (classifiers._fifth(ids, 1) != asked).any()


def test_groups_of_one_are_told_by_their_means():
    points = np.arange(12.0).reshape(6, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe = fit_probe(points, np.array(list("abcdef")), seed=0)
        assert probe.best == "prototypes"
        assert probe.names(points + 0.1).tolist() == list("abcdef")
        assert (probe.nats(points, np.array(list("abcdef"))) > 0).all()


def test_probe_of_one_group():
    probe = fit_probe(np.zeros((6, 1)), np.zeros(6, int), seed=0)
    for kind in probe.kinds:
        assert probe.names(np.zeros((6, 1)), kind).tolist() == [0] * 6


def test_many_groups_cost_no_trees_each(generator):
    """Three hundred groups of four, told by prototypes, network and all."""
    ids = np.repeat(np.arange(300), 4)
    points = generator.normal(size=(300, 16))[ids]
    points += 0.2 * generator.normal(size=points.shape)
    probe = fit_probe(points, ids, 0)
    assert np.mean(probe.names(points) == ids) > 0.99


def test_boosting_sees_what_no_mean_tells(generator):
    trees = classifiers.boosted(*corners(generator, 1000), 0)
    points, ids = corners(generator, 400)
    assert np.mean(trees.predict(points) == ids) > 0.9
