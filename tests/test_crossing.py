import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlvae_tf.data import crossing
from mlvae_tf.data.crossing import CrossingSampler, sharing
from mlvae_tf.data.sampling import Batching, GroupSampler, ShuffledSampler


@st.composite
def indices(draw):
    """Two or three levels, with gaps or nested, ragged, incomplete."""
    count = draw(st.integers(1, 80))

    def some(most):
        numbers = st.integers(0, most)
        return np.array(
            draw(st.lists(numbers, min_size=count, max_size=count)), np.int32
        )

    found = [some(7), some(3)]
    if draw(st.booleans()):
        found.append(some(2) if draw(st.booleans()) else found[0] // 3)
    order = draw(st.permutations(range(len(found))))
    return {"abc"[place]: found[place] for place in order}


def whole(sampler, seed=3, epoch=0):
    return sampler.plan(sampler.order(seed, epoch), 0, len(sampler))


def batches(sampler, seed=3, epoch=0):
    plan = whole(sampler, seed, epoch)
    return np.split(plan.rows, plan.splits[1:-1])


def complete(*sizes):
    """A complete cross in a shuffled order."""
    numbers = np.indices(sizes).reshape(len(sizes), -1).astype(np.int32)
    shuffled = np.random.default_rng(0).permutation(numbers.shape[1])
    return dict(zip("abcd", numbers[:, shuffled]))


def sizes(groups):
    """How many of every group that is there, sorted."""
    return sorted(np.unique(groups, return_counts=True)[1].tolist())


@settings(deadline=None)
@given(indices(), st.integers(1, 6), st.integers(1, 5), st.integers(0, 9))
def test_every_observation_once(index, per_batch, per_group, epoch):
    sampler = CrossingSampler(index, per_batch, per_group)
    found = batches(sampler, epoch=epoch)
    count = len(index["a"])
    assert sorted(np.concatenate(found)) == list(range(count))
    assert len(found) == len(sampler)
    assert min(map(len, found)) >= 1
    # Whole tiles of whole pieces: about as many as asked for.
    most = min(per_batch * per_group, count)
    assert max(map(len, found)) <= sampler.largest
    assert sampler.largest < 1.5 * most + per_group * per_batch


@settings(deadline=None)
@given(indices(), st.integers(0, 5), st.integers(1, 4))
def test_any_range_of_batches(index, first, number):
    sampler = CrossingSampler(index, 8, 2)
    order = sampler.order(1, 2)
    plan = sampler.plan(order, first, first + number)
    expected = batches(sampler, 1, 2)[first : first + number]
    np.testing.assert_array_equal(
        plan.rows, np.concatenate([*expected, np.array([], int)])
    )
    assert plan.splits.tolist() == np.cumsum([0, *map(len, expected)]).tolist()
    first_level = next(iter(index.values()))
    np.testing.assert_array_equal(plan.groups, first_level[plan.rows])
    np.testing.assert_array_equal(plan.wholes, plan.groups)


def test_epochs_derive_from_seed_and_number():
    sampler = CrossingSampler(complete(12, 9), 4, 3)
    rows = whole(sampler, 1, 2).rows
    again = CrossingSampler(complete(12, 9), 4, 3)
    np.testing.assert_array_equal(rows, whole(again, 1, 2).rows)
    for seed, epoch in ((1, 3), (2, 2)):
        assert not np.array_equal(rows, whole(sampler, seed, epoch).rows)


@pytest.mark.parametrize("shape", [(8, 12), (12, 8)])
def test_a_complete_cross_in_sub_grids(shape):
    index = complete(*shape)
    pairs = set()
    sampler = CrossingSampler(index, 4, 4)
    assert sampler.largest == 16
    for epoch in range(3):
        for batch in batches(sampler, epoch=epoch):
            assert sizes(index["a"][batch]) == [4] * 4
            assert sizes(index["b"][batch]) == [4] * 4
            pairs.add(tuple(np.unique(index["a"][batch])))
    assert len(pairs) > 2 * shape[0] / 4  # Other groups together each time.


def test_repeated_cells_are_spread():
    index = complete(8, 8, 3)
    del index["c"]
    for batch in batches(CrossingSampler(index, 4, 4)):
        cells = index["a"][batch] * 8 + index["b"][batch]
        assert sizes(cells) == [1] * 16
        assert sizes(index["a"][batch]) == [4] * 4
    drawn = [
        sorted(batch)[0] for batch in batches(CrossingSampler(index, 4, 4))
    ]
    more = batches(CrossingSampler(index, 4, 4), epoch=1)
    assert drawn != [sorted(batch)[0] for batch in more]


def test_repeated_cells_of_fewer_groups_than_a_piece():
    """Three lights and pieces of four: which light a piece has twice varies."""
    index = complete(8, 3, 8)
    del index["c"]
    for batch in batches(CrossingSampler(index, 4, 4)):
        assert max(sizes(index["a"][batch])) <= 8
        assert len(sizes(index["b"][batch])) == 3


def test_batches_are_of_tiles_from_anywhere():
    index = complete(40, 40)
    found = batches(CrossingSampler(index, 16, 4))
    # Four tiles of 4 x 4; of neighbours, groups of one level are the same.
    for name in "ab":
        counts = [len(np.unique(index[name][batch])) for batch in found]
        assert 12 < np.mean(counts) <= 16


def test_of_patients_visits_of_visits_observations():
    visit = np.repeat(np.arange(24, dtype=np.int32), 8)
    index = {"patient": visit // 6, "visit": visit}
    mixed = 0
    for batch in batches(CrossingSampler(index, 4, 4)):
        assert sizes(index["visit"][batch]) in ([4] * 4, [4, 4, 8])
        patients = sizes(index["patient"][batch])
        assert sum(patients) == 16
        mixed += len(patients) > 1
    # Twelve pieces of each patient are three tiles.
    assert mixed == 0


def test_three_crossed_levels():
    index = complete(16, 8, 6)
    for batch in batches(CrossingSampler(index, 4, 4)):
        assert sizes(index["a"][batch]) == [4] * 4
        assert sizes(index["b"][batch]) == [8] * 2
        assert sizes(index["c"][batch]) == [8] * 2


def test_fonts_of_families_crossed_with_characters():
    font, character = np.indices((24, 12)).reshape(2, -1).astype(np.int32)
    index = {"character": character, "font": font, "family": font // 4}
    for batch in batches(CrossingSampler(index, 4, 4)):
        assert sizes(index["font"][batch]) == [4] * 4
        assert sizes(index["character"][batch]) == [4] * 4
        assert sizes(index["family"][batch]) == [16]


def test_inner_groups_of_the_other_level_come_together():
    """Fewer characters, of alphabets: neighbours are of one alphabet."""
    index = complete(40, 16)
    index["alphabet"] = index["b"] // 4
    found = batches(CrossingSampler(index, 4, 4))
    assert all(sizes(index["alphabet"][batch]) == [16] for batch in found)


@pytest.mark.parametrize("shape", [(100, 60), (30, 200)])
@pytest.mark.parametrize("keep", [0.7, 0.3, 0.1])
def test_incomplete_crosses_share_more_than_random_batches(keep, shape):
    index = complete(*shape)
    kept = np.random.default_rng(1).random(6000) < keep
    index = {name: groups[kept] for name, groups in index.items()}
    shared = sharing(whole(CrossingSampler(index, 16, 4)), index)
    shuffled = ShuffledSampler(index["a"], 64)
    by_chance = sharing(whole(shuffled), index)
    for name, number in shared.items():
        assert number > 1.3 * by_chance[name]
    # Four, but where the last piece of a row has to be a smaller one.
    assert min(shared.values()) > {0.7: 3.7, 0.3: 3.3, 0.1: 2.1}[keep]


def test_sharing_by_hand():
    index = {"a": np.array([0, 0, 1, 1]), "b": np.array([0, 1, 1, 1])}
    plan = CrossingSampler(index, 1, 1).plan(
        (np.arange(4), np.array([0, 3, 4]), np.array([0, 1])), 0, 2
    )
    # Batches of rows 0 1 2 and 3: groups 0 0 1 | 1 and 0 1 1 | 1.
    assert sharing(plan, index) == {"a": 4 / 3, "b": 4 / 3}


def test_dealt_some_at_a_time(monkeypatch):
    monkeypatch.setattr(crossing, "_DEALT_AT_ONCE", 5)
    index = complete(8, 8)
    index["a"] = index["a"] * 3 + 30  # Numbers that no one has.
    for batch in batches(CrossingSampler(index, 4, 4)):
        assert sizes(index["a"][batch]) == [4] * 4
        assert sizes(index["b"][batch]) == [4] * 4


def test_numbers_that_do_not_fit_are_sorted_alike(monkeypatch):
    index = complete(12, 9, 4)
    expected = whole(CrossingSampler(index, 6, 4)).rows
    monkeypatch.setattr(crossing, "_BITS", 15)
    found = whole(CrossingSampler(index, 6, 4)).rows
    np.testing.assert_array_equal(found, expected)


def test_levels_whose_combinations_no_number_counts(generator):
    index = {
        name: generator.integers(0, 1 << 20, 500, np.int32) for name in "abcdef"
    }
    found = batches(CrossingSampler(index, 4, 4))
    assert sorted(np.concatenate(found)) == list(range(500))


def test_sampler_of_one_level_is_that_of_batches():
    index = complete(8, 6)
    one = {"a": index["a"]}
    sampler = crossing.sampler(Batching(4, 3), one)
    assert isinstance(sampler, GroupSampler)
    shuffled = crossing.sampler(Batching(batch_size=5), index)
    assert isinstance(shuffled, ShuffledSampler)
    several = crossing.sampler(Batching(4, 3), index)
    assert isinstance(several, CrossingSampler)
    assert len(several) == len(CrossingSampler(index, 4, 3))
