import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from mlvae_tf.data.grouping import GroupedData
from mlvae_tf.evaluation import unseen
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.evaluation.unseen import Normals

IDS = np.repeat(np.arange(8), 6)


def points(values):
    return lambda rows: Normals(values[rows].mean(axis=1))


def test_similarity_of_normals_is_their_mutual_likelihood(generator):
    # The integral of N(z; a, v) N(z; b, w) over z is N(a; b, v + w).
    a, b = generator.normal(size=(2, 3))
    v, w = generator.uniform(0.5, 2, size=(2, 3))
    expected = scipy.stats.norm.logpdf(a, b, np.sqrt(v + w)).sum()
    actual = unseen.similarity(Normals(a, v), Normals(b, w))
    constant = -1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(actual + constant, expected, rtol=1e-10)


def test_similarity_of_points_by_hand():
    # -(3^2 + 4^2).
    points = Normals(np.array([0.0, 0.0])), Normals(np.array([3.0, 4.0]))
    assert unseen.similarity(*points) == -25


def test_identification_finds_what_is_there(generator):
    corners = generator.normal(size=(8, 4))[IDS]
    gather = {
        "clear": points(corners + 0.01 * generator.normal(size=(48, 4))),
        "dim": points(corners + 0.6 * generator.normal(size=(48, 4))),
        "noise": points(generator.normal(size=(48, 4))),
    }
    result = unseen.identification(gather, IDS, (1, 5, 6), episodes=300)
    assert list(result["clear"]) == ["1", "5"]  # Six leave no query.
    assert result["dim"]["1"].shape == (300,)
    result = {
        name: {k: right.mean() for k, right in column.items()}
        for name, column in result.items()
    }
    assert result["clear"] == {"1": 1.0, "5": 1.0}
    assert 0.3 < result["dim"]["1"] < result["dim"]["5"] < 1
    # 2,400 queries at 1/8, of which many are the same.
    assert abs(result["noise"]["1"] - 0.125) < 0.06
    again = unseen.identification(gather, IDS, (1, 5, 6), episodes=300)
    assert again["dim"]["1"].mean() == result["dim"]["1"]


def test_verification(generator):
    corners = generator.normal(size=(8, 4))[IDS]
    false, true, area = unseen.verification(points(corners), IDS)
    assert area == (1, 1, 1)
    assert true[false == 0].max() == 1
    noise = points(generator.normal(size=(48, 4)))
    value, low, high = unseen.verification(noise, IDS).area
    assert low < 0.5 < high
    assert 0.02 < high - low < 0.2
    assert abs(value - 0.5) < 0.1


def test_area_is_that_of_the_curve(generator):
    # Ties included: whole numbers repeat.
    near = np.round(generator.normal(size=(8, 2))[IDS] * 2)
    near += generator.integers(-1, 2, size=near.shape)
    false, true, area = unseen.verification(points(near), IDS)
    assert area.value == pytest.approx(sklearn.metrics.auc(false, true))
    assert 0.6 < area.value < 0.95


def test_pairs_of_many(generator, monkeypatch):
    monkeypatch.setattr(unseen, "MAX_PAIRS", 60_000)
    ids = generator.permutation(np.repeat(np.arange(150), [1, 2, 3] * 50))
    ids = np.append(ids, np.full(60, 7))
    left, right = unseen._pairs(ids, generator)
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


def test_discriminants_leave_out_what_groups_do_not_differ_in(generator):
    # Groups differ in one direction, which noise in the other drowns.
    def draw(groups):
        loc = np.repeat(generator.normal(size=groups), 20)
        noise = generator.normal(size=(2, len(loc))) * [[0.05], [20.0]]
        return np.stack([loc, 0 * loc]).T + noise.T

    learned = draw(30), np.repeat(np.arange(30), 20)
    found = unseen.discriminants(*learned)
    points, ids = draw(5), np.repeat(np.arange(5), 20)

    def score(points):
        return sklearn.metrics.calinski_harabasz_score(points, ids)

    assert score(points @ found[:, :1]) > 100
    assert score(points) < 10
    # The first is that of scikit-learn, up to its sign.
    (expected,) = (
        LinearDiscriminantAnalysis(n_components=1).fit(*learned).scalings_.T[:1]
    )
    cosine = expected @ found[:, 0] / np.linalg.norm(expected)
    assert abs(cosine) / np.linalg.norm(found[:, 0]) > 0.999


def test_discriminants_have_unit_variance_within_groups(generator):
    index = np.repeat(np.arange(5), 4000)
    mixed = generator.normal(size=(3, 3))
    points = (index[:, np.newaxis] + generator.normal(size=(20000, 3))) @ mixed
    projected = points @ unseen.discriminants(points, index)
    within = [np.cov(projected[index == group].T) for group in range(5)]
    np.testing.assert_allclose(np.mean(within, 0), np.eye(3), atol=0.05)


def test_discriminants_need_two_groups_of_different_points(generator):
    points = generator.normal(size=(5, 3))
    assert unseen.discriminants(points, np.arange(5)) is None
    assert unseen.discriminants(points, np.array([0, 0, 0, 1, 2])) is None
    assert unseen.discriminants(np.ones((5, 3)), np.zeros(5, int)) is None
    assert unseen.discriminants(np.ones((4, 3)), np.repeat([0, 1], 2)) is None
    found = unseen.discriminants(points, np.array([0, 0, 1, 1, 2]))
    assert found.shape == (3, 1)
    assert np.isfinite(found).all()


def measure(make_model, data, train=None):
    model = make_model(dtype="float32")
    return unseen.measure(
        model, Posteriors.of(model, data), data, train or data, seed=0
    )


def test_measure(make_model, generator):
    data = GroupedData.of(generator.uniform(size=(48, 4, 4, 1)), IDS)
    result, curves = measure(make_model, data)
    names = {"content", "content_means", "style", "pixels", "pca"}
    names |= {"content_discriminants", "pca_discriminants"}
    assert set(result["identification"]) == names
    for accuracies in result["identification"].values():
        assert list(accuracies) == ["1", "3", "5"]
        for value, low, high in accuracies.values():
            assert low <= value <= high
    assert set(result["verification_auc"]) == set(curves) == names


def test_no_discriminants_where_training_groups_are_single(
    make_model, generator
):
    data = GroupedData.of(generator.uniform(size=(48, 4, 4, 1)), IDS)
    train = GroupedData.of(data.observations, np.arange(48))
    result, _ = measure(make_model, data, train)
    names = {"content", "content_means", "style", "pixels", "pca"}
    assert set(result["identification"]) == names


@pytest.mark.parametrize("ids", [np.zeros(6, int), np.arange(6)])
def test_too_little_to_measure(make_model, generator, ids):
    data = GroupedData.of(generator.uniform(size=(6, 4, 4, 1)), ids)
    assert measure(make_model, data) == ({}, {})
