import dataclasses

import numpy as np
import pytest

from mlvae_tf import likelihoods
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.observations import Stored
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods.base import Likelihood


@pytest.fixture
def data():
    observations = np.arange(50, dtype=np.uint8).reshape(50, 1)
    return GroupedData.of(observations, np.array(["a", "b"] * 25))


def test_groups_are_numbered_in_sorted_order():
    data = GroupedData.of(np.arange(5.0), np.array(list("cabca")))
    assert data.groups.tolist() == ["a", "b", "c"]
    assert data.group_index.tolist() == [2, 0, 1, 2, 0]
    assert data.group_index.dtype == np.int32
    some = data[np.array([3, 1])]
    assert some.observations.tolist() == [3, 1]
    assert some.groups.tolist() == ["a", "c"]
    assert some.group_ids.tolist() == ["c", "a"]


def test_joined_parts_share_their_groups():
    parts = [
        GroupedData.of(np.arange(3), np.array(list("bab"))),
        GroupedData.of(np.arange(3, 5), np.array(list("ca"))),
    ]
    data = GroupedData.join(parts)
    assert data.observations.tolist() == [0, 1, 2, 3, 4]
    assert data.groups.tolist() == ["a", "b", "c"]
    assert data.group_ids.tolist() == list("babca")


class Images(Stored):
    """Images as they would be read from a disk."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def read(self, rows):
        return self.values[rows]


@pytest.mark.parametrize("kind", [np.asarray, Images])
def test_mirrored_groups_are_others(kind):
    images = np.arange(18, dtype=np.uint8).reshape(3, 2, 3, 1)
    data = GroupedData.of(kind(images), np.array(list("bab")))
    doubled = data.with_mirrored_groups()
    assert doubled.groups.tolist() == [0, 1, 2, 3]
    assert doubled.group_index.tolist() == [1, 0, 1, 3, 2, 3]
    assert doubled.group_index.dtype == np.int32
    assert np.array_equal(doubled.observations[:3], images)
    assert doubled.observations[3:4][0, :, :, 0].tolist() == [
        [2, 1, 0],
        [5, 4, 3],
    ]
    assert np.array_equal(doubled.observations[3:], images[:, :, ::-1])


def test_only_images_are_mirrored(data):
    with pytest.raises(InputError, match=r"--mirror_groups .* shape \(1,\)"):
        data.with_mirrored_groups()


@pytest.mark.parametrize("size", [1, 7, 50, 60])
def test_chunks_come_in_order(data, size):
    chunks = list(data.chunks(size))
    values, index = (np.concatenate(part) for part in zip(*chunks))
    assert values.dtype == np.float32
    assert np.array_equal(values, data.observations / np.float32(255))
    assert np.array_equal(index, data.group_index)
    assert {len(part) for part, _ in chunks[:-1]} <= {size}


def test_to_unit_interval():
    eight_bit = Likelihood().values(np.array([0, 51, 255], np.uint8))
    np.testing.assert_allclose(eight_bit, [0, 0.2, 1])
    same = Likelihood().values(np.array([-3.0, 7.0]))
    assert same.numpy().tolist() == [-3, 7]


def test_every_part_keeps_what_its_values_are(data):
    counts = dataclasses.replace(data, likelihood=likelihoods.Poisson())
    expected = np.arange(50, dtype=np.float32)
    rows = np.array([7, 3, 3])
    for part, values in (
        (counts, expected),
        (counts[rows], expected[rows]),
        (GroupedData.join([counts, counts]), np.tile(expected, 2)),
        (counts.sample(3, seed=0), None),
    ):
        found = part.values()
        if values is None:
            values = part.observations[:, 0]
            assert len(set(values.tolist())) == 3
        assert found.dtype == np.float32
        assert np.array_equal(found[:, 0], values)
    assert np.array_equal(counts.values(rows)[:, 0], expected[rows])
    assert np.array_equal(counts.values(slice(2, 5))[:, 0], expected[2:5])
    images = np.arange(8, dtype=np.uint8).reshape(1, 2, 4, 1)
    one = GroupedData.of(images, np.array([3]))
    one = dataclasses.replace(one, likelihood=counts.likelihood)
    mirrored = one.with_mirrored_groups().values()
    assert np.array_equal(mirrored[1], images[0, :, ::-1])


def crossed():
    ids = {"person": np.array(list("bcabca")), "light": np.arange(6) // 3 + 7}
    return GroupedData.of(np.arange(6.0), ids)


def ids_of(data):
    return {name: of.ids.tolist() for name, of in data.levels.items()}


def test_several_levels_stand_beside_the_first():
    data = crossed()
    assert data.level == "person"
    assert data.groups.tolist() == ["a", "b", "c"]
    assert data.group_ids.tolist() == list("bcabca")
    assert ids_of(data) == {
        "person": list("bcabca"),
        "light": [7, 7, 7, 8, 8, 8],
    }
    assert data.group_indices["light"].tolist() == [0, 0, 0, 1, 1, 1]
    assert data.group_indices["light"].dtype == np.int32
    alone = GroupedData.of(data.observations, data.group_ids)
    assert list(alone.levels) == ["content"]
    np.testing.assert_array_equal(alone.keys, data.keys)


def test_some_rows_of_several_levels_have_their_groups():
    some = crossed()[np.array([4, 3])]
    assert ids_of(some) == {"person": ["c", "b"], "light": [8, 8]}
    assert some.group_indices["light"].tolist() == [0, 0]
    assert some.others["light"].groups.tolist() == [8]


def test_joined_and_sampled_parts_keep_their_levels():
    data = crossed()
    parts = [data[np.array([5, 0])], data[np.array([4])]]
    joined = GroupedData.join(parts)
    assert ids_of(joined) == {"person": ["a", "b", "c"], "light": [8, 7, 8]}
    assert joined.group_indices["light"].tolist() == [1, 0, 1]
    for part in (data.sample(4, 0), data.of_likelihood(likelihoods.Normal())):
        rows = part.observations.astype(int)
        assert ids_of(part) == ids_of(data[rows])


def test_mirrored_groups_of_several_levels_are_refused():
    with pytest.raises(InputError, match="not there yet for several levels"):
        crossed().with_mirrored_groups()
