import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlvae_tf.data.grouping import Batches, GroupedData, make_dataset, scale

group_indices = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(
    lambda ids: np.unique(ids, return_inverse=True)[1]
)


@settings(deadline=None)
@given(group_indices, st.integers(1, 6), st.integers(1, 4), st.integers(0, 9))
def test_grouped_plan(index, per_group, per_batch, epoch):
    batches = Batches(per_batch, per_group)
    plan = batches.plan(index, seed=3, epoch=epoch)
    # Every observation once.
    assert sorted(plan.rows) == list(range(len(index)))
    assert len(plan.splits) - 1 == batches.per_epoch(index)
    pieces = 0
    for start, stop in zip(plan.splits, plan.splits[1:]):
        names = plan.groups[start:stop]
        groups = np.unique(names)
        pieces += len(groups)
        assert 1 <= len(groups) <= per_batch
        if stop < len(index):
            assert len(groups) == per_batch
        for group in groups:
            members = plan.rows[start:stop][names == group]
            assert 1 <= len(members) <= per_group
            assert len(set(index[members])) == 1  # Never two groups in one.
    # As few and as large pieces as can be.
    assert pieces == sum(-(-n // per_group) for n in np.bincount(index))


@settings(deadline=None)
@given(group_indices, st.integers(1, 20))
def test_shuffled_plan(index, batch_size):
    batches = Batches(batch_size=batch_size)
    plan = batches.plan(index, seed=3, epoch=0)
    assert sorted(plan.rows) == list(range(len(index)))
    assert np.array_equal(plan.groups, index[plan.rows])
    sizes = np.diff(plan.splits)
    assert len(sizes) == batches.per_epoch(index)
    assert np.all(sizes[:-1] == batch_size)
    assert 1 <= sizes[-1] <= batch_size


@pytest.mark.parametrize("batches", [Batches(4, 3), Batches(batch_size=7)])
def test_plans_derive_from_seed_and_epoch(batches):
    index = np.repeat(np.arange(5), 20)
    plan = batches.plan(index, 1, 2)
    for a, b in zip(plan, batches.plan(index, 1, 2)):
        assert np.array_equal(a, b)
    for other in (batches.plan(index, 1, 3), batches.plan(index, 2, 2)):
        assert not np.array_equal(plan.rows, other.rows)


def test_members_are_dealt_out_afresh():
    index = np.zeros(40, int)
    pairs = set()
    for epoch in range(20):
        plan = Batches(1, 2).plan(index, 0, epoch)
        pairs |= {tuple(sorted(p)) for p in plan.rows.reshape(-1, 2).tolist()}
    # 20 epochs of 20 pairs, out of 780: the expected number is about 314.
    assert len(pairs) > 250


@pytest.fixture
def data():
    observations = np.arange(50, dtype=np.uint8).reshape(50, 1)
    return GroupedData.of(observations, np.array(["a", "b"] * 25))


@pytest.mark.parametrize("batches", [Batches(4, 3), Batches(batch_size=7)])
def test_dataset_delivers_the_plans(data, batches):
    dataset = make_dataset(data, batches, seed=5, epochs=3)
    elements = list(dataset.as_numpy_iterator())
    per_epoch = batches.per_epoch(data.group_index)
    assert len(elements) == len(dataset) == 3 * per_epoch
    for epoch in range(3):
        plan = batches.plan(data.group_index, 5, epoch)
        part = elements[epoch * per_epoch : (epoch + 1) * per_epoch]
        rows = np.concatenate([e["observations"][:, 0] for e in part]) * 255
        np.testing.assert_allclose(rows, plan.rows, atol=1e-4)
        groups = np.concatenate([e["group_ids"] for e in part])
        assert np.array_equal(groups, plan.groups)
        assert [len(e["group_ids"]) for e in part] == list(np.diff(plan.splits))


def test_dataset_goes_on_from_any_epoch(data):
    whole = list(make_dataset(data, Batches(4, 3), 5, 3).as_numpy_iterator())
    rest = list(make_dataset(data, Batches(4, 3), 5, 3, 2).as_numpy_iterator())
    assert 0 < len(rest) < len(whole)
    for a, b in zip(whole[-len(rest) :], rest):
        np.testing.assert_array_equal(a["observations"], b["observations"])


def test_groups_are_numbered_in_sorted_order():
    data = GroupedData.of(np.arange(5.0), np.array(list("cabca")))
    assert data.groups.tolist() == ["a", "b", "c"]
    assert data.group_index.tolist() == [2, 0, 1, 2, 0]
    assert data.group_index.dtype == np.int32
    some = data[np.array([3, 1])]
    assert some.observations.tolist() == [3, 1]
    assert some.groups.tolist() == ["a", "c"]
    assert some.group_ids.tolist() == ["c", "a"]


def test_scale():
    eight_bit = scale(np.array([0, 51, 255], np.uint8))
    np.testing.assert_allclose(eight_bit, [0, 0.2, 1])
    assert scale(np.array([-3.0, 7.0])).numpy().tolist() == [-3, 7]
