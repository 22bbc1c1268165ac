import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlvae_tf.data import sampling
from mlvae_tf.data.sampling import Batching, by_group

group_indices = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(
    lambda ids: np.unique(ids, return_inverse=True)[1].astype(np.int32)
)
BOTH = [Batching(4, 3), Batching(batch_size=7)]


def epoch(batches, index, seed=3, number=0, at_once=2):
    """The rows and groups of every batch of an epoch."""
    sampler = batches.sampler(index)
    order = sampler.order(seed, number)
    found = []
    for first in range(0, len(sampler), at_once):
        plan = sampler.plan(order, first, first + at_once)
        assert plan.splits[-1] == len(plan.rows) == len(plan.groups)
        for start, stop in zip(plan.splits, plan.splits[1:]):
            found.append((plan.rows[start:stop], plan.groups[start:stop]))
    return found


def rows(found):
    return np.concatenate([batch for batch, _ in found])


@given(group_indices)
def test_by_group(index):
    found, offsets = by_group(index, index.max() + 1)
    assert np.array_equal(found, np.argsort(index, kind="stable"))
    assert np.array_equal(np.diff(offsets), np.bincount(index))
    assert found.dtype == offsets.dtype == np.int32


@settings(deadline=None)
@given(group_indices, st.integers(1, 6), st.integers(1, 4), st.integers(0, 9))
def test_batches_of_groups(index, per_group, per_batch, number):
    batches = Batching(per_batch, per_group)
    found = epoch(batches, index, number=number)
    # Every observation once.
    assert sorted(rows(found)) == list(range(len(index)))
    assert len(found) == len(batches.sampler(index))
    pieces = 0
    for number, (batch, names) in enumerate(found):
        groups = np.unique(names)
        pieces += len(groups)
        assert 1 <= len(groups) <= per_batch
        if number < len(found) - 1:
            assert len(groups) == per_batch
        for group in groups:
            members = batch[names == group]
            assert 1 <= len(members) <= per_group
            assert len(set(index[members])) == 1  # Never two groups in one.
    # As few and as large pieces as can be.
    assert pieces == sum(-(-n // per_group) for n in np.bincount(index))


def test_groups_dealt_some_at_a_time(monkeypatch):
    monkeypatch.setattr(sampling, "_DEALT_AT_ONCE", 4)
    index = np.repeat(np.arange(4), [3, 9, 1, 2]).astype(np.int32)
    found = epoch(Batching(2, 2), index)
    assert sorted(rows(found)) == list(range(15))
    for batch, names in found:
        for group in np.unique(names):
            assert len(set(index[batch[names == group]])) == 1


@settings(deadline=None)
@given(group_indices, st.integers(1, 20))
def test_shuffled_batches(index, batch_size):
    batches = Batching(batch_size=batch_size)
    found = epoch(batches, index)
    assert sorted(rows(found)) == list(range(len(index)))
    assert len(found) == len(batches.sampler(index))
    for batch, names in found:
        assert np.array_equal(names, index[batch])
    sizes = [len(batch) for batch, _ in found]
    assert set(sizes[:-1]) <= {batch_size}
    assert 1 <= sizes[-1] <= batch_size


@pytest.mark.parametrize("batches", BOTH)
def test_epochs_derive_from_seed_and_number(batches):
    index = np.repeat(np.arange(5, dtype=np.int32), 20)
    first = epoch(batches, index, 1, 2)
    for a, b in zip(first, epoch(batches, index, 1, 2)):
        assert np.array_equal(a, b)
    for other in (epoch(batches, index, 1, 3), epoch(batches, index, 2, 2)):
        assert not np.array_equal(rows(first), rows(other))


def test_members_are_dealt_out_afresh():
    index = np.zeros(40, np.int32)
    pairs = set()
    for number in range(20):
        dealt = rows(epoch(Batching(1, 2), index, 0, number)).reshape(-1, 2)
        pairs |= {tuple(sorted(pair)) for pair in dealt.tolist()}
    # 20 epochs of 20 pairs, out of 780: the expected number is about 314.
    assert len(pairs) > 250


@settings(deadline=None)
@given(group_indices, st.integers(1, 6), st.integers(1, 4))
def test_no_batch_is_larger_than_the_largest(index, per_group, per_batch):
    for batches in (Batching(per_batch, per_group), Batching(batch_size=7)):
        found = [
            [len(rows) for rows, _ in epoch(batches, index, number=number)]
            for number in range(3)
        ]
        largest = batches.sampler(index).largest
        assert max(map(max, found)) <= largest <= len(index)


def test_the_largest_batch():
    index = np.repeat(np.arange(4), [7, 1, 2, 3]).astype(np.int32)
    # Pieces of 3, 3, 1, 1, 2 and 3, of which four go into a batch.
    assert Batching(4, 3).sampler(index).largest == 3 + 3 + 3 + 2
    assert Batching(9, 3).sampler(index).largest == 13
    assert Batching(batch_size=5).sampler(index).largest == 5
