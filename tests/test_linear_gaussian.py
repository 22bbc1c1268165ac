"""The linear-Gaussian oracle against SciPy, and its own identities."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_gaussian import Level, LinearGaussian

VALUES = 5


def crossed_and_nested(generator, style_dim=1, orthogonal=False):
    """Patients with visits, crossed with scanners; no one reads patients."""
    wide = generator.normal(size=(9, 9))
    if orthogonal:
        wide = np.linalg.qr(wide)[0] * 1.3
    columns = np.split(wide[:, : 4 + style_dim], [2, 4], axis=1)
    levels = {
        "patient": Level(np.zeros((9, 2))),
        "visit": Level(columns[0], "patient", generator.uniform(0.5, 3, 2)),
        "scanner": Level(columns[1]),
    }
    noise = 0.4 * np.eye(9)
    if not orthogonal:
        root = generator.normal(size=(9, 9))
        noise = noise + 0.1 * root @ root.T
    return LinearGaussian(levels, columns[2], noise, generator.normal(size=9))


@st.composite
def ids(draw):
    """Ragged, incomplete, in any order."""
    count = draw(st.integers(1, 7))

    def some(most):
        numbers = st.integers(0, most)
        return np.array(draw(st.lists(numbers, min_size=count, max_size=count)))

    visit = some(4)
    return {
        "patient": np.array([0, 1, 0, 2, 2])[visit],
        "visit": visit,
        "scanner": some(2),
    }


def dense(model, ids):
    """Covariance of the values, and with visits, by what any two share."""
    count = len(ids["visit"])
    one = np.ones(2)
    steps = 1 / model.levels["visit"].precision

    def of_visits(i, j, other):
        if ids["patient"][i] != other["patient"][j]:
            return np.zeros((2, 2))
        return np.diag(one + steps * (ids["visit"][i] == other["visit"][j]))

    size = len(model.center)
    covariance = np.zeros((count, size, count, size))
    with_visit = np.zeros((count, size, count, 2))
    read, scanner = (model.levels[k].loading for k in ("visit", "scanner"))
    for i in range(count):
        for j in range(count):
            shared = read @ of_visits(i, j, ids) @ read.T
            if ids["scanner"][i] == ids["scanner"][j]:
                shared = shared + scanner @ scanner.T
            if i == j:
                shared = shared + model.style @ model.style.T + model.noise
            covariance[i, :, j] = shared
            with_visit[i, :, j] = read @ of_visits(i, j, ids)
    whole = covariance.reshape(count * size, -1)
    return whole, with_visit.reshape(count * size, -1)


@settings(deadline=None, max_examples=30)
@given(ids(), st.integers(0, 2), st.integers(0, 99))
def test_log_prob_and_posterior_are_those_of_the_dense_normal(
    ids, style_dim, seed
):
    generator = np.random.default_rng(seed)
    model = crossed_and_nested(generator, style_dim)
    x, _ = model.sample(ids, generator)
    covariance, with_visit = dense(model, ids)
    mean = np.tile(model.center, len(x))
    expected = scipy.stats.multivariate_normal(mean, covariance)
    np.testing.assert_allclose(
        model.log_prob(x, ids), expected.logpdf(x.ravel()), rtol=1e-9
    )
    gain = np.linalg.solve(covariance, with_visit).T
    off = x.ravel() - mean
    places = model.latents(ids).places["visit"]
    rows = np.unique(ids["visit"], return_inverse=True)[1]
    of_rows = places[rows].ravel()
    loc, precision = model.posterior(x, ids)
    np.testing.assert_allclose(loc[of_rows], gain @ off, atol=1e-9)
    steps = 1 / model.levels["visit"].precision
    variance = np.tile(1 + steps, len(x)) - np.sum(gain * with_visit.T, axis=1)
    actual = np.diag(np.linalg.inv(precision))[of_rows]
    np.testing.assert_allclose(actual, variance, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(ids(), st.integers(0, 99))
def test_bounds_are_below_log_p_and_each_other(ids, seed):
    generator = np.random.default_rng(seed)
    model = crossed_and_nested(generator)
    x, _ = model.sample(ids, generator)
    log_prob = model.log_prob(x, ids)
    joint = model.bound(x, ids, model.blocks(ids))
    alone = model.bound(x, ids, model.blocks(ids, hierarchical=False))
    known = model.without_style()
    given_style = known.bound(x, ids, known.blocks(ids))
    assert alone < joint <= given_style + 1e-9
    assert given_style <= log_prob + 1e-9
    np.testing.assert_allclose(known.log_prob(x, ids), log_prob, rtol=1e-9)


@settings(deadline=None, max_examples=30)
@given(ids(), st.integers(0, 99))
def test_the_bound_is_log_p_where_the_posterior_factorizes(ids, seed):
    generator = np.random.default_rng(seed)
    model = crossed_and_nested(generator, orthogonal=True)
    x, _ = model.sample(ids, generator)
    log_prob = model.log_prob(x, ids)
    bound = model.bound(x, ids, model.blocks(ids))
    np.testing.assert_allclose(bound, log_prob, rtol=1e-10)
    # A visit and its patient are not independent.
    apart = model.bound(x, ids, model.blocks(ids, hierarchical=False))
    assert apart < log_prob - 1e-3


@pytest.fixture
def case(generator):
    model = crossed_and_nested(generator)
    ids = {
        "patient": np.array([0, 0, 1, 1, 0]),
        "visit": np.array([0, 1, 2, 2, 1]),
        "scanner": np.array([0, 1, 1, 0, 0]),
    }
    return model, ids, model.sample(ids, generator)[0]


def test_coordinate_ascent_ends_at_the_bound(case, generator):
    model, ids, x = case
    exact, precision = model.posterior(x, ids)
    told, blocks = precision @ exact, model.blocks(ids)
    loc = generator.normal(size=len(exact))
    covariance = np.eye(len(exact))
    last = -np.inf
    for _ in range(300):
        for block in blocks:
            square = np.ix_(block, block)
            others = np.delete(np.arange(len(loc)), block)
            off = told[block] - precision[np.ix_(block, others)] @ loc[others]
            loc[block] = np.linalg.solve(precision[square], off)
            covariance[square] = np.linalg.inv(precision[square])
        elbo = model.elbo(x, ids, loc, covariance)
        assert elbo > last - 1e-9
        last = elbo
    np.testing.assert_allclose(last, model.bound(x, ids, blocks), atol=1e-9)


def test_no_evidence_does_better_than_the_bound(case, generator):
    """The family of q(p) q(v | p) from evidence reaches it by a search."""
    model, ids, x = case
    places = model.latents(ids).places
    told = np.r_[places["visit"].ravel(), places["scanner"].ravel()]
    told = np.r_[told, places["style"].ravel()]

    def loss(parameters):
        precision, weighted_loc = np.zeros((2, len(told) + 4))
        log_precision, locs = np.split(parameters, 2)
        precision[told] = np.exp(log_precision)
        weighted_loc[told] = np.exp(log_precision) * locs
        normal = model.from_evidence(ids, precision, weighted_loc)
        return -model.elbo(x, ids, *normal)

    start = generator.normal(size=2 * len(told))
    found = scipy.optimize.minimize(loss, start, options={"gtol": 1e-7})
    bound = model.bound(x, ids, model.blocks(ids))
    np.testing.assert_allclose(-found.fun, bound, atol=1e-6)
    assert -found.fun <= bound + 1e-9


def test_samples_have_the_covariance_of_the_dense_normal(generator):
    model = crossed_and_nested(generator)
    ids = {name: np.array([0, 0]) for name in ("patient", "scanner")}
    ids["visit"] = np.array([0, 1])
    drawn = [model.sample(ids, generator)[0].ravel() for _ in range(4000)]
    expected, _ = dense(model, ids)
    # A correlation of 4,000 draws has a standard error of 0.016.
    scale = np.sqrt(np.diag(expected))
    error = (np.cov(np.transpose(drawn)) - expected) / np.outer(scale, scale)
    assert np.abs(error).max() < 0.1


def test_an_inner_group_is_in_one_outer_group(case):
    model, ids, x = case
    ids["patient"] = np.array([0, 0, 1, 0, 0])
    with pytest.raises(AssertionError, match="visit 2 is in"):
        model.log_prob(x, ids)
