from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
import tensorflow_probability as tfp

from mlvae_tf.comparison import Normals
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation import shots, swaps, unseen, verification
from mlvae_tf.evaluation.bootstrap import estimate_of_units
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.evaluation.representations import contents
from mlvae_tf.layers import EvidenceAccumulation

tfd = tfp.distributions

IDS = np.repeat(np.arange(8), 6)
NAMES = {"content", "content_posteriors", "content_means"}
NAMES |= {"style", "pixels", "pca"}


def points(values):
    return lambda rows: Normals(values[rows].mean(axis=1))


def test_identification_finds_what_is_there(generator):
    corners = generator.normal(size=(8, 4))[IDS]
    gather = {
        "clear": points(corners + 0.01 * generator.normal(size=(48, 4))),
        "dim": points(corners + 0.6 * generator.normal(size=(48, 4))),
        "noise": points(generator.normal(size=(48, 4))),
    }
    result = shots.identify(gather, IDS, (1, 5, 6), 300, seed=0)
    assert list(result["clear"]) == ["1", "5"]  # Six leave no query.
    for of_episodes in result["dim"]["1"]:
        assert of_episodes.shape == (300, 8)
    result = {
        name: {k: right.mean() for k, (right, _) in column.items()}
        for name, column in result.items()
    }
    assert result["clear"] == {"1": 1.0, "5": 1.0}
    assert 0.3 < result["dim"]["1"] < result["dim"]["5"] < 1
    # 2,400 queries at 1/8, of which many are the same.
    assert abs(result["noise"]["1"] - 0.125) < 0.06
    again = shots.identify(gather, IDS, (1, 5, 6), 300, seed=0)
    assert again["dim"]["1"][0].mean() == result["dim"]["1"]


def test_intervals_are_of_groups_not_of_episodes():
    """One group always named right, one never: anything is possible."""
    right = np.array([[True, False]] * 1000)
    groups = np.array([["a", "b"]] * 1000)
    assert estimate_of_units(right, groups) == (0.5, 0, 1)
    many = np.tile(np.arange(100), (10, 1))
    value, low, high = estimate_of_units(many % 2, many)
    assert value == 0.5
    assert 0.15 < high - low < 0.25  # 2 * 1.96 * 0.5 / sqrt(100) = 0.196


def test_verification(generator):
    corners = generator.normal(size=(8, 4))[IDS]
    false, true, area = verification.verify(points(corners), IDS)
    assert area == (1, 1, 1)
    assert true[false == 0].max() == 1
    noise = points(generator.normal(size=(48, 4)))
    value, low, high = verification.verify(noise, IDS).area
    assert low < 0.5 < high
    assert 0.02 < high - low < 0.2
    assert abs(value - 0.5) < 0.1


def test_area_is_that_of_the_curve(generator):
    # Ties included: whole numbers repeat.
    near = np.round(generator.normal(size=(8, 2))[IDS] * 2)
    near += generator.integers(-1, 2, size=near.shape)
    false, true, area = verification.verify(points(near), IDS)
    assert area.value == pytest.approx(sklearn.metrics.auc(false, true))
    assert 0.6 < area.value < 0.95


def test_pairs_of_many(generator, monkeypatch):
    monkeypatch.setattr(verification, "MAX_PAIRS", 60_000)
    ids = generator.permutation(np.repeat(np.arange(150), [1, 2, 3] * 50))
    ids = np.append(ids, np.full(60, 7))
    left, right = verification._pairs(ids, generator)
    same = ids[left] == ids[right]
    assert len(left) == 60_000
    assert same.sum() == 30_000
    assert (left != right).all()
    one = ids[:, np.newaxis] == ids
    for kind, allowed in (
        (same, one & ~np.eye(len(ids), dtype=bool)),
        (~same, ~one),
    ):
        # All pairs of the kind are equally likely.
        counts = np.zeros(allowed.shape)
        np.add.at(counts, (left[kind], right[kind]), 1)
        assert (counts[~allowed] == 0).all()
        expected = kind.sum() / allowed.sum()
        statistic = ((counts[allowed] - expected) ** 2 / expected).sum()
        freedom = allowed.sum() - 1
        assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


def measure(make_model, data, train=None):
    model = make_model(dtype="float32")
    return unseen.measure(
        model, Posteriors.of(model, data), data, train or data, seed=0
    )


def test_measure(make_model, generator):
    data = GroupedData.of(generator.uniform(size=(48, 4, 4, 1)), IDS)
    result, curves = measure(make_model, data)
    names = NAMES | {"content_discriminants", "pca_discriminants"}
    assert set(result["identification"]) == names
    best = f"content_{result['content_compared_by']}"
    for figures in (result["identification"], result["verification_auc"]):
        assert figures["content"] == figures[best]
    for accuracies in result["identification"].values():
        assert list(accuracies) == ["1", "3", "5"]
        for value, low, high in accuracies.values():
            assert low <= value <= high
    assert set(result["verification_auc"]) == names
    assert set(curves) == names - {"content"}
    for estimates in result["swap"].values():
        assert list(estimates) == ["1", "3"]


def posteriors(loc, scale, ids):
    content = tfd.Normal(tf.constant(loc), tf.constant(scale))
    return Posteriors(content, content, ids, EvidenceAccumulation())


def test_discriminants_do_not_depend_on_the_units_of_contents(generator):
    ids = np.repeat(np.arange(20), 3)
    loc = generator.normal(size=(20, 8))[ids] + generator.normal(size=(60, 8))
    scale = generator.uniform(0.5, 2, size=loc.shape)
    rows = np.arange(60).reshape(20, 3)
    results = []
    for units in (np.ones(8), np.geomspace(0.01, 100, 8)):
        found = posteriors(loc * units, scale * units, ids)
        gather = contents(found, found)["content_discriminants"]
        results.append(np.abs(gather(rows).loc))  # But for their signs.
    np.testing.assert_allclose(*results, rtol=1e-6, atol=1e-8)


def test_the_best_comparison_is_that_of_training_groups(generator):
    ids = np.repeat(np.arange(20), 10)
    centers = generator.normal(size=(20, 3))[ids]
    noise = generator.normal(size=(200, 3))
    # Noise in one direction drowns the others, or is what the scales say.
    drowned = np.hstack([centers + 0.01 * noise, 50 * noise[:, :1]])
    found = posteriors(drowned, np.ones_like(drowned), ids)
    assert shots.best_comparison(found, seed=0) == "content_discriminants"
    scale = generator.choice([0.01, 9.0], p=[0.7, 0.3], size=noise.shape)
    found = posteriors(centers + scale * noise, scale, ids)
    assert shots.best_comparison(found, seed=0) == "content_posteriors"


def test_groups_that_nothing_confuses_prefer_discriminants(generator):
    ids = np.repeat(np.arange(20), 10)
    loc = 100 * generator.normal(size=(20, 3))[ids]
    found = posteriors(
        loc + generator.normal(size=loc.shape), np.ones_like(loc), ids
    )
    assert shots.best_comparison(found, seed=0) == "content_discriminants"


@pytest.mark.parametrize(
    ("behind", "groups", "expected"),
    [(0.03, 30, True), (0.04, 30, False), (0.03, 300, False)],
)
def test_what_one_group_more_could_change_is_by_chance(
    behind, groups, expected
):
    """Where all are named right the standard error is next to nothing."""
    assert shots._by_chance(np.full(groups, behind)) == expected


@pytest.mark.parametrize("ids", [np.zeros(6, int), np.arange(6)])
def test_no_comparison_is_better_where_none_can_be_tried(generator, ids):
    loc = generator.normal(size=(6, 2))
    found = posteriors(loc, np.ones_like(loc), ids)
    assert shots.best_comparison(found, seed=0) == "content_posteriors"


@pytest.mark.parametrize(
    ("decoded", "content", "style"), [("content", 1, 0), ("style", 0, 1)]
)
def test_swaps_are_given_to_whom_they_resemble(
    generator, decoded, content, style
):
    centers = 10 * np.eye(8)
    observations = centers[IDS] + generator.normal(size=(48, 8))
    data = GroupedData.of(observations, IDS)

    def accumulate(rows, sets):
        own = np.array(
            [observations[rows[sets == s]].mean(0) for s in np.unique(sets)]
        )
        return SimpleNamespace(loc=tf.constant(own))

    posteriors = SimpleNamespace(
        accumulate=accumulate,
        style=SimpleNamespace(loc=tf.constant(observations)),
    )

    class Model:
        def decode(self, content, style):
            named = {"content": content, "style": style}
            return SimpleNamespace(mean=lambda: named[decoded])

    found = swaps.measure(
        Model(), posteriors, data, lambda x: x, shots=(1, 3, 5), episodes=5
    )
    for name, value in (
        ("judge_accuracy", 1),
        ("content_group", content),
        ("style_group", style),
    ):
        assert found[name] == {k: (value, value, value) for k in ("1", "3")}


def test_no_discriminants_where_training_groups_are_single(
    make_model, generator
):
    data = GroupedData.of(generator.uniform(size=(48, 4, 4, 1)), IDS)
    train = GroupedData.of(data.observations, np.arange(48))
    result, _ = measure(make_model, data, train)
    assert set(result["identification"]) == NAMES
    assert result["content_compared_by"] == "posteriors"
    assert "swap" not in result


@pytest.mark.parametrize("ids", [np.zeros(6, int), np.arange(6)])
def test_too_little_to_measure(make_model, generator, ids):
    data = GroupedData.of(generator.uniform(size=(6, 4, 4, 1)), ids)
    assert measure(make_model, data) == ({}, {})
