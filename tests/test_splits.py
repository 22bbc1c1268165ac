import numpy as np
import pytest

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.data.splits import split, split_as_trained
from mlvae_tf.evaluation import notes


def grouped(ids, first=0):
    observations = np.arange(first, first + len(ids), dtype=np.float32)
    return GroupedData.of(observations[:, np.newaxis], np.array(ids))


def rows(part):
    return set() if part is None else set(part.observations[:, 0].tolist())


SOURCE = Source(grouped([0] * 10 + [1] * 20 + [2] * 5 + [3]))


def test_a_fraction_of_every_group_is_held_out():
    splits = split(SOURCE, holdout_observations=0.2)
    counts = np.bincount(splits.validation.group_ids, minlength=4)
    assert counts.tolist() == [2, 4, 1, 0]
    assert rows(splits.train) | rows(splits.validation) == set(range(36))
    assert not rows(splits.train) & rows(splits.validation)
    assert splits.evaluation is splits.validation
    assert splits.test is splits.unseen is None


def test_one_observation_of_a_group_always_stays():
    splits = split(SOURCE, holdout_observations=0.99)
    assert np.bincount(splits.train.group_ids).tolist() == [1, 1, 1, 1]


def test_groups_are_held_out_whole():
    splits = split(SOURCE, holdout_groups=0.5, holdout_observations=0.0)
    unseen = set(splits.unseen.group_ids.tolist())
    assert len(unseen) == 2
    assert not unseen & set(splits.train.group_ids.tolist())
    assert rows(splits.train) | rows(splits.unseen) == set(range(36))


def test_groups_of_one_are_held_out_before_the_last_half_of_the_others():
    ids = [*range(40), *(100 + np.arange(30) % 3)]
    splits = split(Source(grouped(ids)), holdout_groups=0.3)
    sizes = np.unique(splits.unseen.group_ids, return_counts=True)[1]
    assert sorted(sizes.tolist()) == [1] * 12 + [10]
    splits = split(Source(grouped(ids)), holdout_groups=0.98)
    assert set(splits.train.group_ids.tolist()) <= {100, 101, 102}
    splits = split(Source(grouped(ids + [7] * 99)), holdout_groups=0.98)
    assert set(splits.train.group_ids.tolist()) == {7}


def test_a_test_split_is_kept_and_its_new_groups_are_unseen():
    source = Source(grouped([0, 0, 1, 1]), grouped([0, 1, 2, 2], first=4))
    splits = split(source)
    assert splits.holdout_observations == 0
    assert rows(splits.train) == {0, 1, 2, 3}
    assert rows(splits.test) == {4, 5} == rows(splits.evaluation)
    assert rows(splits.unseen) == {6, 7}
    assert splits.validation is None


def test_held_out_groups_leave_the_test_split_too():
    source = Source(grouped([0, 0, 1, 1]), grouped([0, 1], first=4))
    splits = split(source, holdout_groups=0.5)
    assert len(splits.test) == 1
    assert len(splits.unseen) == 3


def test_the_default_holds_out_a_fifth_without_a_test_split():
    assert split(SOURCE).holdout_observations == 0.2
    new_people = Source(SOURCE.train, grouped([7, 7, 8], first=100))
    splits = split(new_people)
    assert splits.holdout_observations == 0.2
    assert rows(splits.unseen) == {100, 101, 102}
    assert len(splits.evaluation) == 2 + 4 + 1


def test_the_seed_decides():
    again = [split(SOURCE, 0.5, 0.3, seed) for seed in (7, 7, 8)]
    assert rows(again[0].train) == rows(again[1].train)
    assert rows(again[0].train) != rows(again[2].train)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"holdout_groups": 1.0}, r"must be a fraction in \[0, 1\): got 1.0"),
        ({"holdout_observations": -0.1}, "must be a fraction"),
        ({"holdout_groups": 0.01}, "leaves 0 held out and 4 to train on"),
        ({"holdout_groups": 0.95}, "leaves 4 held out and 0 to train on"),
    ],
)
def test_bad_fractions(settings, message):
    with pytest.raises(ValueError, match=message):
        split(SOURCE, **settings)


# Groups of few observations, for which the default holds out others.


def test_pairs_hold_out_groups():
    source = Source(grouped(np.repeat(np.arange(12), 2)))
    splits = split(source)
    assert splits.validation is None
    assert len(splits.unseen.groups) == 2
    assert (splits.holdout_groups, splits.holdout_observations) == (0.2, 0)


def test_most_groups_too_small_hold_out_groups_that_tell_something():
    """One group of 400 and thirty of one or two: not the one, no singles."""
    sizes = [400] + [1] * 20 + [2] * 10
    for seed in range(5):
        source = Source(grouped(np.repeat(np.arange(31), sizes)))
        splits = split(source, seed=seed)
        assert splits.validation is None
        assert set(splits.unseen.groups.tolist()) <= set(range(21, 31))
        assert len(splits.unseen.groups) == 6


def test_groups_too_small_to_spare_are_counted():
    splits = split(SOURCE, holdout_observations=0.2)
    assert "7 more of them held out (1 groups are too small" in splits.notes[-1]


def test_nothing_held_out_is_said():
    splits = split(Source(grouped([0, 0, 1, 1])))
    assert splits.evaluation is splits.unseen is None
    assert splits.notes[-1].endswith("nothing held out to evaluate on")


def test_copies_of_an_observation_stay_together():
    ids = [0] * 20 + [1] * 20
    values = np.tile(np.arange(10, dtype=np.float32), 4)[:, np.newaxis]
    for seed in range(10):
        data = GroupedData.of(values, np.array(ids))
        splits = split(Source(data), holdout_observations=0.3, seed=seed)
        assert not np.isin(splits.validation.keys, splits.train.keys).any()


# After a training: held out is what it was not trained on.


def as_trained(before, ids, first=0, test=None):
    return split_as_trained(
        Source(grouped(ids, first), test), before.train.keys
    )


def test_the_same_data_are_divided_the_same():
    before = split(SOURCE, holdout_groups=0.25, holdout_observations=0.3)
    after = split_as_trained(SOURCE, before.train.keys)
    for name in ("train", "validation", "unseen"):
        assert rows(getattr(before, name)) == rows(getattr(after, name))
    assert np.array_equal(after.train.keys, before.train.keys)


def test_new_observations_are_held_out_and_new_groups_unseen():
    before = split(SOURCE, holdout_observations=0.2)
    ids = [0] * 10 + [1] * 20 + [2] * 5 + [3] + [0] * 6 + [9] * 3
    after = as_trained(before, ids)
    assert rows(after.train) == rows(before.train)
    new = set(range(36, 42))
    assert rows(after.validation) == rows(before.validation) | new
    assert rows(after.unseen) == {42, 43, 44}


def test_an_order_of_its_own_changes_nothing():
    before = split(SOURCE, holdout_groups=0.25, holdout_observations=0.2)
    order = np.random.default_rng(0).permutation(36)
    after = split_as_trained(Source(SOURCE.train[order]), before.train.keys)
    assert rows(after.train) == rows(before.train)
    assert rows(after.unseen) == rows(before.unseen)


def test_what_moves_into_the_test_split_is_no_test():
    train, test = grouped([0] * 8 + [1] * 8), grouped([0, 1], first=50)
    before = split(Source(train, test))
    moved = GroupedData.join([test, train[np.arange(4)]])
    after = split_as_trained(
        Source(train[np.arange(4, 16)], moved), before.train.keys
    )
    assert rows(after.test) == {50, 51}
    assert rows(after.train) == set(range(16))


def test_a_copy_in_the_test_split_stays_a_test():
    train = grouped([0] * 8 + [1] * 8)
    source = Source(train, train[np.arange(3)])
    before = split(source)
    after = split_as_trained(source, before.train.keys)
    assert len(before.test) == len(after.test) == 3
    # There is nothing else to measure.
    assert before.evaluation is before.test
    assert "3 held out are copies of ones to learn from" in before.notes[-1]
    (note,) = notes.of_copies(before)
    assert note.startswith("every held-out observation is a copy of one")


def test_copies_of_what_is_trained_on_are_not_measured():
    train, new = grouped([0] * 8 + [1] * 8), grouped([0, 1], first=50)
    # The first of group 0, the same of group 1, and two that are new.
    alike = GroupedData.of(train.observations[:1], np.array([1]))
    test = GroupedData.join([train[np.arange(1)], alike, new])
    splits = split(Source(train, test))
    assert splits.copies.tolist() == [True, False, False, False]
    assert rows(splits.evaluation) == {0, 50, 51}
    assert splits.evaluation.group_ids.tolist() == [1, 0, 1]
    assert len(splits.test) == 4
    (note,) = notes.of_copies(splits)
    assert note.startswith("1 of 4 held-out observations are copies of ones")
    assert not notes.of_copies(split(Source(train, new)))


def test_a_copy_has_the_same_groups_on_all_levels():
    def two_levels(visits):
        ids = {"patient": np.array([0, 0, 1, 1]), "visit": np.array(visits)}
        return GroupedData.of(np.zeros((4, 1), np.float32), ids)

    train = two_levels(["a", "b", "c", "d"])
    test = two_levels(["a", "new", "c", "new"])
    splits = split(Source(train, test))
    assert splits.copies.tolist() == [True, False, True, False]


def test_a_training_is_validated_on_the_test_split_only_without_another():
    source = Source(grouped([0] * 4 + [1] * 4), grouped([0, 1], first=8))
    splits = split(source, holdout_observations=0.5)
    assert splits.monitored is splits.validation
    assert splits.evaluation is splits.test
    assert split(source).monitored is not None
    assert rows(split(source).monitored) == {8, 9}


def test_levels_are_kept_whatever_is_held_out():
    """What is held out is of the first level; the others go along."""
    people, lights = np.repeat(np.arange(6), 10), np.arange(60) % 5
    values = np.arange(60, dtype=np.float32)[:, np.newaxis]
    data = GroupedData.of(values, {"person": people, "light": lights})
    splits = split(
        Source(data), holdout_groups=0.5, holdout_observations=0.3, seed=1
    )
    assert np.bincount(splits.validation.group_index).tolist() == [3] * 3
    assert len(splits.unseen.groups) == 3
    parts = splits.train, splits.validation, splits.unseen
    again = split_as_trained(Source(data), splits.train.keys)
    for part in (*parts, again.train, again.unseen):
        chosen = part.observations[:, 0].astype(int)
        assert part.levels["person"].ids.tolist() == people[chosen].tolist()
        assert part.levels["light"].ids.tolist() == lights[chosen].tolist()
    assert sum(map(len, parts)) == 60
    assert rows(again.validation) == rows(splits.validation)
    # As if there were the one level alone.
    one = GroupedData.of(values, people)
    alone = split(Source(one), 0.5, 0.3, seed=1)
    assert rows(alone.train) == rows(splits.train)
