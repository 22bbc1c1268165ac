import numpy as np
import pytest

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.data.splits import split


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
