import linear_gaussian
import numpy as np
import pytest
import reference
import scipy.integrate
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlvae_tf import evidence, hierarchy, objective
from mlvae_tf.evidence import Evidence

DIM = 2


@st.composite
def trees(draw):
    """Wards, their patients and these's visits, some without evidence.

    Returns ids of the outer groups [P], [V], evidence [V, 2] as (precision,
    loc), and the links of patients and visits [2].
    """
    wards, patients = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    visits = draw(st.integers(1, 6))
    ward = draw(
        st.lists(
            st.integers(0, wards - 1), min_size=patients, max_size=patients
        )
    )
    patient = draw(
        st.lists(st.integers(0, patients - 1), min_size=visits, max_size=visits)
    )
    logs = st.floats(-3, 3)
    size = visits, DIM
    precision = np.exp(draw(hnp.arrays(np.float64, size, elements=logs)))
    loc = draw(hnp.arrays(np.float64, size, elements=st.floats(-5, 5)))
    links = np.exp(draw(hnp.arrays(np.float64, (2, DIM), elements=logs)))
    silent = draw(st.lists(st.booleans(), min_size=visits, max_size=visits))
    precision[np.array(silent)] = 0
    return np.array(ward), np.array(patient), precision, loc, links


def infer(ward, patient, precision, loc, links):
    """Evidence and posteriors of visits, patients and wards, and their KLs."""
    of_visits = Evidence(tf.constant(precision), tf.constant(precision * loc))
    of_patients = evidence.accumulate(
        hierarchy.up(of_visits, links[1]), patient, len(ward)
    )
    of_wards = evidence.accumulate(
        hierarchy.up(of_patients, links[0]), ward, ward.max() + 1
    )
    wards = hierarchy.outermost(of_wards)
    outer = [tf.gather(part, ward) for part in wards]
    patients = hierarchy.marginal(of_patients, outer, links[0])
    patients_kl = hierarchy.kl(of_patients, outer, links[0])
    outer = [tf.gather(part, patient) for part in patients]
    visits = hierarchy.marginal(of_visits, outer, links[1])
    visits_kl = hierarchy.kl(of_visits, outer, links[1])
    kl = objective.standard_normal_kl(*wards), patients_kl, visits_kl
    return (wards, patients, visits), sum(tf.reduce_sum(part) for part in kl)


def joint(ward, patient, precision, loc, links, dim):
    """One dimension of the same by the oracle, wards before patients."""
    wards, patients = ward.max() + 1, len(ward)
    parents = [None] * wards + list(ward) + list(patient + wards)
    zeros = np.zeros(wards + patients)
    return reference.tree_posterior(
        parents,
        np.r_[
            np.ones(wards),
            np.full(patients, links[0, dim]),
            np.full(len(patient), links[1, dim]),
        ],
        np.r_[zeros, precision[:, dim]],
        np.r_[zeros, loc[:, dim]],
    )


def test_by_hand():
    # P = 1, m = 6 and L = 1: to the patient 1 * 1 / 2 = 1/2 at 6. In all 3/2,
    # mean 3 / (3/2) = 2. Back: mean (6 + 2) / 2 = 4, variance
    # 1/2 + (1/2)^2 * 2/3 = 2/3.
    one = tf.constant([[1.0]], tf.float64)
    visit = Evidence(one, 6 * one)
    told = hierarchy.up(visit, one[0])
    assert [part.numpy().item() for part in told] == [0.5, 3]
    outer = hierarchy.outermost(told)
    np.testing.assert_allclose(outer, [[[2]], [[(2 / 3) ** 0.5]]])
    inner = hierarchy.marginal(visit, outer, one[0])
    np.testing.assert_allclose(inner, [[[4]], [[(2 / 3) ** 0.5]]])
    given_zero = hierarchy.given(visit, 0 * one, one[0])
    np.testing.assert_allclose(given_zero, [[[3]], [[0.5**0.5]]])
    # 1/2 (1/2 + 1/4 ((6 - 2)^2 + 2/3) - 1 + log 2)
    expected = 0.5 * (0.5 + (16 + 2 / 3) / 4 - 1 + np.log(2))
    np.testing.assert_allclose(hierarchy.kl(visit, outer, one[0]), [expected])


@settings(deadline=None)
@given(trees())
def test_three_deep_is_the_joint_gaussian(tree):
    posteriors, kl = infer(*tree)
    expected_kl = 0
    for dim in range(DIM):
        prior, loc, covariance = joint(*tree, dim)
        actual = np.concatenate([part[0][:, dim] for part in posteriors])
        np.testing.assert_allclose(actual, loc, rtol=1e-10, atol=1e-10)
        scale = np.concatenate([part[1][:, dim] for part in posteriors])
        np.testing.assert_allclose(scale**2, np.diag(covariance), rtol=1e-10)
        expected_kl += reference.normal_kl(loc, covariance, prior)
    np.testing.assert_allclose(kl, expected_kl, rtol=1e-8, atol=1e-8)


@settings(deadline=None)
@given(trees())
def test_given_is_the_conditional_of_the_joint(tree):
    ward, patient, precision, loc, links = tree
    outer = np.random.default_rng(0).normal(size=(len(patient), DIM))
    parts = Evidence(tf.constant(precision), tf.constant(precision * loc))
    actual_loc, actual_scale = hierarchy.given(parts, outer, links[1])
    first = len(ward) + ward.max() + 1
    for dim in range(DIM):
        _, means, covariance = joint(*tree, dim)
        for visit, of in enumerate(patient):
            i, j = first + visit, ward.max() + 1 + of
            slope = covariance[i, j] / covariance[j, j]
            expected = means[i] + slope * (outer[visit, dim] - means[j])
            variance = covariance[i, i] - slope * covariance[i, j]
            found = actual_loc[visit, dim], actual_scale[visit, dim] ** 2
            np.testing.assert_allclose(
                found, (expected, variance), rtol=1e-9, atol=1e-9
            )


def some(generator, size=4):
    precision = generator.uniform(0.2, 5, (size, DIM))
    loc = generator.normal(size=(size, DIM))
    links = generator.uniform(0.2, 5, DIM)
    outer = generator.normal(size=(size, DIM))
    scale = generator.uniform(0.2, 2, (size, DIM))
    return precision, loc, links, (outer, scale)


def test_kl_is_the_expectation_of_its_definition(generator):
    precision, loc, links, outer = some(generator)
    parts = Evidence(precision, precision * loc)
    actual = hierarchy.kl(parts, outer, links)
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)  # Exact: quadratic.
    expected = 0
    for node, weight in zip(nodes, weights / weights.sum()):
        draw = outer[0] + outer[1] * node
        q_loc, q_scale = hierarchy.given(parts, draw, links)
        around = (q_loc - draw) * links**0.5
        expected += weight * reference.standard_normal_kl(
            np.array(around), np.array(q_scale) * links**0.5
        )
    np.testing.assert_allclose(actual, expected, rtol=1e-10)


def test_marginal_is_the_integral_over_the_outer_group(generator):
    precision, loc, links, outer = some(generator, 1)
    parts = Evidence(precision, precision * loc)
    marginal = hierarchy.marginal(parts, outer, links)
    for point in (-1.0, 0.3):

        def density(p, point=point):
            q = hierarchy.given(parts, np.full((1, DIM), p), links)
            own = scipy.stats.norm.pdf(point, q[0][0, 0], q[1][0, 0])
            of_outer = scipy.stats.norm.pdf(p, outer[0][0, 0], outer[1][0, 0])
            return own * of_outer

        expected, _ = scipy.integrate.quad(density, -12, 12, epsabs=1e-10)
        actual = scipy.stats.norm.pdf(
            point, marginal[0][0, 0], marginal[1][0, 0]
        )
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_no_evidence_is_around_the_outer_group(generator):
    _, _, links, outer = some(generator)
    nothing = evidence.zero((4, DIM), "float64")
    for part in hierarchy.up(nothing, links):
        assert not part.numpy().any()
    loc, scale = hierarchy.marginal(nothing, outer, links)
    np.testing.assert_allclose(loc, outer[0])
    np.testing.assert_allclose(scale**2, outer[1] ** 2 + 1 / links)
    assert not hierarchy.kl(nothing, outer, links).numpy().any()
    assert [float(part[0, 0]) for part in hierarchy.outermost(nothing)] == [
        0,
        1,
    ]


def test_tight_visits_are_one_group(generator):
    precision, loc, _, _ = some(generator)
    tight = np.full(DIM, 1e13)
    parts = Evidence(precision, precision * loc)
    told = evidence.total(hierarchy.up(parts, tight))
    outer = hierarchy.outermost(told)
    # One normal more, the prior's, under the product rule.
    _, one_loc, one_scale = reference.accumulate(
        np.vstack([loc, np.zeros(DIM)]),
        np.vstack([precision**-0.5, np.ones(DIM)]),
        [0] * 5,
    )
    np.testing.assert_allclose(outer, [one_loc[0], one_scale[0]], rtol=1e-10)
    rows = [tf.broadcast_to(part, (4, DIM)) for part in outer]
    for inner, of_outer in zip(hierarchy.marginal(parts, rows, tight), rows):
        np.testing.assert_allclose(inner, of_outer, rtol=1e-10)
    np.testing.assert_allclose(
        hierarchy.kl(parts, rows, tight), np.zeros(4), atol=1e-10
    )


def test_loose_visits_know_nothing_of_each_other(generator):
    precision, loc, _, _ = some(generator)
    loose = np.full(DIM, 1e-13)
    parts = Evidence(precision, precision * loc)
    outer = hierarchy.outermost(hierarchy.up(parts, loose))
    np.testing.assert_allclose(outer[0], 0 * loc, atol=1e-10)
    np.testing.assert_allclose(outer[1], 0 * loc + 1, rtol=1e-10)
    inner = hierarchy.marginal(parts, outer, loose)
    np.testing.assert_allclose(inner, [loc, precision**-0.5], rtol=1e-10)
    # A flat prior costs log(1/L) / 2 and what is known.
    cost = 0.5 * (np.log(precision) - np.log(loose) - 1).sum(-1)
    np.testing.assert_allclose(hierarchy.kl(parts, outer, loose), cost)


def test_a_thousand_photographs_of_a_visit_tell_no_more_than_its_link():
    links = tf.constant([4.0])
    told = hierarchy.up(Evidence([[1000.0], [1e9]], [[1e3], [1e9]]), links)
    assert np.all(told.precision <= links)
    np.testing.assert_allclose(told.precision, [[4], [4]], rtol=5e-3)


def all_of(precision, loc, links, outer_loc, outer_scale):
    """Every function's results, each with one number per group."""
    parts = Evidence(precision, precision * loc)
    outer = outer_loc, outer_scale
    found = (
        *hierarchy.up(parts, links),
        *hierarchy.outermost(parts),
        *hierarchy.given(parts, outer_loc, links),
        *hierarchy.marginal(parts, outer, links),
        hierarchy.kl(parts, outer, links)[:, None],
    )
    return tf.concat(found, axis=1)


def test_gradients_are_those_of_differences(generator):
    precision, loc, links, outer = some(generator)
    values = [tf.constant(v) for v in (precision, loc, links, *outer)]
    theory, numeric = tf.test.compute_gradient(all_of, values, delta=1e-5)
    for left, right in zip(theory, numeric):
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-8)


EXTREMES = [1e-12, 1e-6, 1.0, 1e6, 1e12]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_float32_from_1e_minus_12_to_1e12(jit_compile):
    """Values, and gradients by the logarithms, are those of float64."""
    precision, links = (
        part.reshape(-1, 1) for part in np.meshgrid(EXTREMES, EXTREMES)
    )

    @tf.function(jit_compile=jit_compile)
    def run(precision, links):
        with tf.GradientTape() as tape:
            tape.watch([precision, links])
            one = tf.ones_like(precision)
            found = all_of(precision, 0.7 * one, links, -0.4 * one, 1.3 * one)
        sources = precision, links
        jacobians = tape.jacobian(found, sources, experimental_use_pfor=False)
        of_rows = [  # A row depends on its own values alone.
            tf.linalg.diag_part(tf.transpose(part[..., 0], [1, 0, 2]))
            for part in jacobians
        ]
        return found, of_rows

    narrow = run(
        *(tf.constant(part, tf.float32) for part in (precision, links))
    )
    wide = run(*(tf.constant(part) for part in (precision, links)))
    np.testing.assert_allclose(narrow[0], wide[0], rtol=1e-5, atol=1e-6)
    # A sum's gradient by a logarithm is as exact as the sum.
    size = np.abs(wide[0].numpy().T) + 1
    for source, left, right in zip((precision, links), narrow[1], wide[1]):
        assert np.isfinite(left).all()
        error = np.abs(left.numpy() - right.numpy()) * source[:, 0]
        assert (error / (size + np.abs(right * source[:, 0]))).max() < 1e-5


def test_the_best_evidence_reaches_the_bound_of_the_oracle(generator):
    """Likelihood by the marginals and KLs are the ELBO, and its largest."""
    ids = {
        "patient": np.array([0, 0, 0, 1, 1, 2, 0]),
        "visit": np.array([0, 0, 1, 2, 3, 4, 1]),
    }
    links = generator.uniform(0.5, 2, DIM)
    loading = generator.normal(size=(5, DIM))
    model = linear_gaussian.LinearGaussian(
        {
            "patient": linear_gaussian.Level(0 * loading),
            "visit": linear_gaussian.Level(loading, "patient", links),
        },
        np.zeros((5, 0)),
        0.3 * np.eye(5),
        np.zeros(5),
    )
    x, _ = model.sample(ids, generator)
    places = model.latents(ids).places
    prior, design = model.prior_precision(ids), model.design(ids)
    loc, _ = model.posterior(x, ids)
    # The means are the exact ones, the precisions those that all else known
    # leaves.
    heard = np.einsum("nvz,nvz->z", design, design) / 0.3
    precision = heard[places["visit"]]
    weighted = (prior @ loc + heard * loc)[places["visit"]]
    parts = Evidence(tf.constant(precision), tf.constant(weighted))
    patient = np.array([0, 0, 1, 1, 2])
    told = evidence.accumulate(hierarchy.up(parts, links), patient, 3)
    patients = hierarchy.outermost(told)
    rows = [tf.gather(part, patient) for part in patients]
    visit_loc, visit_scale = map(
        np.array, hierarchy.marginal(parts, rows, links)
    )
    of_rows = visit_loc[ids["visit"]], visit_scale[ids["visit"]]
    off = x - of_rows[0] @ loading.T
    log_likelihood = reference.normal_log_prob(0, 0.3**0.5, off).sum()
    log_likelihood -= np.sum(of_rows[1] ** 2 @ loading.T**2) / 0.3 / 2
    elbo = log_likelihood - tf.reduce_sum(hierarchy.kl(parts, rows, links))
    elbo -= tf.reduce_sum(objective.standard_normal_kl(*patients))
    bound = model.bound(x, ids, model.blocks(ids))
    np.testing.assert_allclose(elbo, bound, atol=1e-9)
    assert bound < model.log_prob(x, ids)
