import numpy as np
import sklearn.metrics
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from mlvae_tf.evaluation.representations import discriminants, flat


def test_discriminants_leave_out_what_groups_do_not_differ_in(generator):
    # Groups differ in one direction, which noise in the other drowns.
    def draw(groups):
        loc = np.repeat(generator.normal(size=groups), 20)
        noise = generator.normal(size=(2, len(loc))) * [[0.05], [20.0]]
        return np.stack([loc, 0 * loc]).T + noise.T

    learned = draw(30), np.repeat(np.arange(30), 20)
    found = discriminants(*learned)
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
    projected = points @ discriminants(points, index)
    within = [np.cov(projected[index == group].T) for group in range(5)]
    np.testing.assert_allclose(np.mean(within, 0), np.eye(3), atol=0.05)


def test_discriminants_need_two_groups_of_different_points(generator):
    points = generator.normal(size=(5, 3))
    assert discriminants(points, np.arange(5)) is None
    assert discriminants(points, np.array([0, 0, 0, 1, 2])) is None
    assert discriminants(np.ones((5, 3)), np.zeros(5, int)) is None
    assert discriminants(np.ones((4, 3)), np.repeat([0, 1], 2)) is None
    found = discriminants(points, np.array([0, 0, 1, 1, 2]))
    assert found.shape == (3, 1)
    assert np.isfinite(found).all()


def test_vectors_have_no_unknown_values():
    observations = np.array([[[1.0], [np.nan]], [[-2.0], [3.0]]], np.float32)
    vectors = flat(observations)
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[1, 0], [-2, 3]]
