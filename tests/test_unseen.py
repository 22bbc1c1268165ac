import numpy as np
import pytest
import scipy.stats

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
    assert area == 1
    assert true[false == 0].max() == 1
    noise = points(generator.normal(size=(48, 4)))
    assert abs(unseen.verification(noise, IDS)[2] - 0.5) < 0.1


def test_measure(make_model, generator):
    data = GroupedData.of(generator.uniform(size=(48, 4, 4, 1)), IDS)
    model = make_model(dtype="float32")
    posteriors = Posteriors.of(model, data)
    result, curves = unseen.measure(posteriors, data, data, seed=0)
    names = {"content", "content_means", "style", "pixels", "pca"}
    assert set(result["identification"]) == names
    for accuracies in result["identification"].values():
        assert list(accuracies) == ["1", "3", "5"]
        for value, low, high in accuracies.values():
            assert low <= value <= high
    assert set(result["verification_auc"]) == set(curves) == names


@pytest.mark.parametrize("ids", [np.zeros(6, int), np.arange(6)])
def test_too_little_to_measure(make_model, generator, ids):
    data = GroupedData.of(generator.uniform(size=(6, 4, 4, 1)), ids)
    model = make_model(dtype="float32")
    posteriors = Posteriors.of(model, data)
    assert unseen.measure(posteriors, data, data, seed=0) == ({}, {})
