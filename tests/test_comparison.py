import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from mlvae_tf import comparison
from mlvae_tf.comparison import (
    Comparison,
    Discriminants,
    Normals,
    pairs,
    similarity,
)
from mlvae_tf.evidence import Evidence, Moments


def log_ratio(left, right):
    """log of p(1, 2) / (p(1) p(2)), integrated over one latent by SciPy."""

    def normal(mean, variance):
        return lambda z: scipy.stats.norm.pdf(z, mean, np.sqrt(variance))

    parts = normal(*left), normal(*right)

    def integral(*factors):
        def product(z):
            return scipy.stats.norm.pdf(z) * np.prod([f(z) for f in factors])

        centers = sorted({0.0, left[0], right[0]})
        return scipy.integrate.quad(product, -30, 30, points=centers)[0]

    return np.log(integral(*parts) / (integral(parts[0]) * integral(parts[1])))


def test_the_log_ratio_is_the_integrals(generator):
    loc = generator.normal(0, 1.5, size=(2, 4))
    variance = generator.uniform(0.05, 4, size=(2, 4))
    expected = sum(
        log_ratio((m, v), (n, w))
        for m, n, v, w in zip(*loc, *variance, strict=True)
    )
    left, right = map(Normals, loc, variance)
    np.testing.assert_allclose(similarity(left, right), expected, rtol=1e-7)


def test_the_log_ratio_by_hand():
    # Variances 1: a = b = 2, c = 3. At 2 and -2, m = 1 and n = -1:
    # 1/2 (log(4/3) - (4 * 4 - 2 - 2) / 3) = 1/2 log(4/3) - 2.
    one = np.ones(1)
    apart = similarity(Normals(2 * one, one), Normals(-2 * one, one))
    assert apart == pytest.approx(0.5 * np.log(4 / 3) - 2)
    # Both at 2: 1/2 (log(4/3) + 4/3).
    alike = similarity(Normals(2 * one, one), Normals(2 * one, one))
    assert alike == pytest.approx(0.5 * np.log(4 / 3) + 2 / 3)


def draw(generator, *shape):
    return Normals(
        generator.normal(size=shape), generator.uniform(0.1, 3, size=shape)
    )


def test_the_log_ratio_does_not_change_with_the_order(generator):
    left, right = draw(generator, 5, 6), draw(generator, 5, 6)
    expected = similarity(left, right)
    np.testing.assert_allclose(similarity(right, left), expected, rtol=1e-12)
    order = generator.permutation(6)
    turned = similarity(left[:, order], right[:, order])
    np.testing.assert_allclose(turned, expected, rtol=1e-12)
    mirrored = (Normals(-part.loc, part.variance) for part in (left, right))
    np.testing.assert_allclose(similarity(*mirrored), expected, rtol=1e-12)


def test_what_says_nothing_is_as_likely_of_one_as_of_two(generator):
    known = draw(generator, 5, 6)
    nothing = Normals(np.zeros((5, 6)), np.full((5, 6), np.inf))
    np.testing.assert_allclose(similarity(known, nothing), 0, atol=1e-12)


def test_certain_evidence_keeps_its_digits():
    # As certain as 10^6 observations of the least scale: precision 10^12.
    loc = np.array([3.0, 3.0 + 1e-6])
    variance = np.full(2, 1e-12)
    left, right = (Normals(loc[i : i + 1], variance[:1]) for i in (0, 1))
    # log N(m - n; 0, 2e-12) + log N(3; 0, 1 + ...) - 2 log N(3; 0, 1 + ...).
    expected = scipy.stats.norm.logpdf(
        1e-6, 0, np.sqrt(2e-12)
    ) - scipy.stats.norm.logpdf(3)
    assert similarity(left, right) == pytest.approx(expected, rel=1e-6)


def test_similarity_of_points_by_hand():
    # -(3^2 + 4^2).
    points = Normals(np.array([0.0, 0.0])), Normals(np.array([3.0, 4.0]))
    assert similarity(*points) == -25


def evidence_of(generator, count, dim=3):
    precision = generator.uniform(0.5, 5, (count, dim))
    return Evidence(precision, precision * generator.normal(size=(count, dim)))


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
def test_nearest_is_that_of_all_pairs(generator, monkeypatch, at_once):
    monkeypatch.setattr(comparison, "_AT_ONCE", at_once)
    queries, groups = evidence_of(generator, 4), evidence_of(generator, 9)
    by = Comparison()
    rows, scores = by.nearest(queries, groups, np.ones(9, int), best=3)
    left, right = by.of(queries), by.of(groups)
    every = similarity(left[:, np.newaxis], right[np.newaxis])
    np.testing.assert_allclose(pairs(left, right), every)
    assert (rows == np.argsort(-every, axis=1)[:, :3]).all()
    best = np.take_along_axis(every, rows, axis=1)
    np.testing.assert_allclose(scores, best)


def test_relabelling_groups_relabels_the_answers(generator):
    queries, groups = evidence_of(generator, 4), evidence_of(generator, 6)
    counts = generator.integers(1, 5, 6)
    order = generator.permutation(6)
    other = Evidence(*(part[order] for part in groups))
    rows, scores = Comparison().nearest(queries, groups, counts)
    again, same = Comparison().nearest(queries, other, counts[order])
    assert (order[again] == rows).all()
    np.testing.assert_allclose(same, scores)


def test_there_are_no_more_answers_than_groups(generator):
    queries, groups = evidence_of(generator, 4), evidence_of(generator, 2)
    nearest = Comparison().nearest(queries, groups, np.ones(2, int), best=3)
    assert nearest.rows.shape == nearest.scores.shape == (4, 2)
    nothing = Evidence(np.empty((0, 3)), np.empty((0, 3)))
    nearest = Comparison().nearest(nothing, groups, np.ones(2, int), best=3)
    assert nearest.rows.shape == (0, 2)


def test_what_each_way_reads():
    # Two observations at 1 and 4, variances 1 and 1/2: precision 3, sum 9.
    total = Evidence(np.array([[3.0]]), np.array([[9.0]]))
    posteriors = Comparison("posteriors").of(total)
    assert (posteriors.loc, posteriors.variance) == (3, pytest.approx(1 / 3))
    # The prior is no evidence.
    with_prior = Comparison("posteriors", "product_with_prior").of(total)
    assert (with_prior.loc, with_prior.variance) == (3, pytest.approx(1 / 3))
    assert Comparison("means").of(total).loc == 3
    # 9 / (3 + 1).
    assert Comparison("means", "product_with_prior").of(total).loc == 2.25
    by = Comparison(
        "discriminants",
        discriminants=Discriminants(
            directions=np.array([[2.0]]),
            center=np.array([1.0]),
            variance=np.array([6.0]),
        ),
    )
    # 2 * 3 - 1; of three observations a third of the variance.
    found = by.of(total, np.array([3]))
    assert (found.loc, found.variance) == (5, 2)


def test_averages_have_posteriors_too():
    # The mean of 1 and 4, and of the variances 1 and 3.
    total = Moments(*(np.array([[x]]) for x in (5.0, 4.0, 2.0)))
    found = Comparison("posteriors", "average").of(total)
    np.testing.assert_allclose([found.loc, found.variance], [[[2.5]], [[2.0]]])
