import numpy as np
import reference
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlvae_tf import evidence


@st.composite
def normals(draw):
    """loc, scale [N, 2] and group rows [N], in float64."""
    size = draw(st.integers(1, 12))
    values = hnp.arrays(np.float64, (size, 2), elements=st.floats(-5, 5))
    loc, log_scale = draw(values), draw(values)
    ids = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    return loc, np.exp(log_scale), np.array(ids)


def accumulate(loc, scale, group_ids):
    groups, rows = evidence.index_groups(tf.constant(group_ids))
    total = evidence.accumulate(
        evidence.from_normal(loc, scale), rows, len(groups)
    )
    return groups.numpy(), total


def assert_close(left, right, rtol=1e-10):
    for a, b in zip(left, right):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)


def test_product_of_two_by_hand():
    # Precisions 1 and 4 add up to 5; (1 * 1 + 4 * 2) / 5 = 1.8.
    _, total = accumulate([[1.0], [2.0]], [[1.0], [0.5]], [7, 7])
    loc, scale = evidence.to_normal(total)
    np.testing.assert_allclose(loc, [[1.8]], rtol=1e-6)
    np.testing.assert_allclose(scale, [[5**-0.5]], rtol=1e-6)


@settings(deadline=None)
@given(normals())
def test_matches_the_oracle(drawn):
    groups, total = accumulate(*drawn)
    expected_groups, loc, scale = reference.accumulate(*drawn)
    assert groups.tolist() == expected_groups
    actual = evidence.to_normal(total)
    np.testing.assert_allclose(actual[1], scale, rtol=1e-10)
    # Means of opposite sign cancel: their error is relative to the terms.
    np.testing.assert_allclose(actual[0], loc, rtol=1e-10, atol=1e-12)


@settings(deadline=None)
@given(normals(), st.randoms())
def test_order_does_not_matter(drawn, random):
    loc, scale, ids = drawn
    order = list(range(len(ids)))
    random.shuffle(order)
    groups, total = accumulate(loc, scale, ids)
    shuffled_groups, shuffled = accumulate(loc[order], scale[order], ids[order])
    left, right = np.argsort(groups), np.argsort(shuffled_groups)
    assert_close(
        [part.numpy()[left] for part in total],
        [part.numpy()[right] for part in shuffled],
    )


@settings(deadline=None)
@given(normals())
def test_one_observation_gives_itself_back(drawn):
    loc, scale, _ = drawn
    assert_close(
        evidence.to_normal(evidence.from_normal(loc, scale)), (loc, scale)
    )


@settings(deadline=None)
@given(normals())
def test_the_same_evidence_twice_halves_the_variance(drawn):
    loc, scale, _ = drawn
    once = evidence.from_normal(loc, scale)
    twice = evidence.to_normal(evidence.add(once, once))
    assert_close(twice, (loc, scale / np.sqrt(2)))


@settings(deadline=None)
@given(normals(), st.integers(0, 12))
def test_two_halves_merged_are_the_whole(drawn, cut):
    loc, scale, _ = drawn
    parts = evidence.from_normal(loc, scale)
    whole = evidence.total(parts)
    left = evidence.total(evidence.Evidence(*(p[:cut] for p in parts)))
    right = evidence.total(evidence.Evidence(*(p[cut:] for p in parts)))
    assert_close(evidence.add(left, right), whole)
    assert_close(evidence.add(right, left), whole)


def test_zero_is_neutral_and_subtract_the_inverse():
    some = evidence.from_normal(
        tf.constant([1.0, 2.0]), tf.constant([0.5, 2.0])
    )
    more = evidence.from_normal(
        tf.constant([3.0, 4.0]), tf.constant([1.0, 1.0])
    )
    assert_close(evidence.add(some, evidence.zero((2,))), some)
    assert_close(evidence.subtract(evidence.add(some, more), more), some, 1e-6)


def test_total_is_the_accumulation_of_one_group(generator):
    parts = evidence.from_normal(
        generator.normal(size=(6, 3)), generator.uniform(1, 2, size=(6, 3))
    )
    one = evidence.accumulate(parts, tf.zeros(6, tf.int32), 1)
    assert_close(evidence.total(parts), [part[0] for part in one])


def test_no_evidence_is_flat_and_has_no_nan_gradient():
    with tf.GradientTape() as tape:
        parts = evidence.zero((1, 2))
        tape.watch(parts)
        loc, scale = evidence.to_normal(parts)
    assert loc.numpy().tolist() == [[0, 0]]
    assert np.isinf(scale).all()
    for gradient in tape.gradient(loc, parts):
        assert gradient is None or np.all(gradient.numpy() == 0)


def test_nan_and_negative_precisions_stay_bad():
    for precision in (np.nan, -1.0):
        bad = evidence.Evidence(tf.constant([precision]), tf.constant([1.0]))
        _, scale = evidence.to_normal(bad)
        assert np.isnan(scale.numpy()).all()


def test_negative_segments_are_left_out_with_and_without_xla():
    parts = evidence.from_normal(tf.constant([[1.0], [9.0]]), tf.ones((2, 1)))
    for jit_compile in (False, True):
        run = tf.function(evidence.accumulate, jit_compile=jit_compile)
        total = run(parts, tf.constant([0, -1]), 2)
        assert total.precision.numpy().tolist() == [[1], [0]]
        assert total.weighted_loc.numpy().tolist() == [[1], [0]]


def test_index_groups_in_order_of_first_appearance():
    groups, rows = evidence.index_groups(tf.constant(["b", "a", "b", "c"]))
    assert groups.numpy().tolist() == [b"b", b"a", b"c"]
    assert rows.numpy().tolist() == [0, 1, 0, 2]


def test_drop_leaves_one_of_every_group():
    rows = tf.constant([2, 0, 0, 1, -1, 2, 2, 0])
    drop = tf.function(
        lambda rate, seed: evidence.drop(rows, rate, 3, seed), autograph=False
    )
    counts = np.zeros((2, 3))
    for number in range(2000):
        for line, rate in enumerate((1.0, 0.5)):
            kept = drop(rate, tf.constant([number, 7])).numpy()
            assert set(np.flatnonzero(kept >= 0)) <= {0, 1, 2, 3, 5, 6, 7}
            assert np.all((kept == rows) | (kept == -1))
            counts[line] += np.bincount(kept[kept >= 0], minlength=3)
            assert set(kept) >= {0, 1, 2}
    assert np.all(counts[0] == 2000)
    # Binomial, with nothing kept replaced by one: 3/2 + 1/8, and 1.
    np.testing.assert_allclose(counts[1] / 2000, [1.625, 1, 1.625], atol=0.05)


def test_drop_keeps_all_at_rate_zero():
    rows = tf.constant([1, 0, -1, 1])
    assert evidence.drop(rows, 0.0, 2, [0, 0]).numpy().tolist() == [1, 0, -1, 1]


def test_rest_is_what_the_others_say(generator):
    loc, scale = (
        generator.normal(size=(7, 2)),
        generator.uniform(0.5, 2, size=(7, 2)),
    )
    scale[5] = 1e-4  # So sure that nothing is seen of the other beside it.
    rows = np.array([0, 1, 0, -1, 0, 2, 2])
    parts = evidence.from_normal(loc, scale)
    rows_tensor = tf.constant(rows, tf.int32)
    total = evidence.accumulate(parts, rows_tensor, 3)
    others, enough = evidence.rest(parts, total, rows_tensor)
    expected = [True, False, True, False, True, False, True]
    assert enough.numpy().tolist() == expected
    for index in np.flatnonzero(enough):
        members = [i for i in np.flatnonzero(rows == rows[index]) if i != index]
        _, expected_loc, expected_scale = reference.accumulate(
            loc[members], scale[members], [0] * len(members)
        )
        one = evidence.Evidence(*(part[index] for part in others))
        actual_loc, actual_scale = evidence.to_normal(one)
        np.testing.assert_allclose(actual_loc, expected_loc[0], rtol=1e-6)
        np.testing.assert_allclose(actual_scale, expected_scale[0], rtol=1e-6)
