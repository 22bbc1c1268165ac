import numpy as np
import pytest

from mlvae_tf.data.grouping import GroupedData, make_dataset, scale
from mlvae_tf.data.observations import Stored
from mlvae_tf.data.sampling import Batches
from mlvae_tf.errors import InputError


@pytest.fixture
def data():
    observations = np.arange(50, dtype=np.uint8).reshape(50, 1)
    return GroupedData.of(observations, np.array(["a", "b"] * 25))


@pytest.mark.parametrize("batches", [Batches(4, 3), Batches(batch_size=7)])
def test_dataset_delivers_the_epochs(data, batches):
    dataset = make_dataset(data, batches, seed=5, epochs=3)
    elements = list(dataset.as_numpy_iterator())
    sampler = batches.sampler(data.group_index)
    per_epoch = len(sampler)
    assert len(elements) == len(dataset) == 3 * per_epoch
    for epoch in range(3):
        part = elements[epoch * per_epoch : (epoch + 1) * per_epoch]
        plan = sampler.plan(sampler.order(5, epoch), 0, per_epoch)
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
    observations, index = (np.concatenate(part) for part in zip(*chunks))
    assert np.array_equal(observations, data.observations)
    assert np.array_equal(index, data.group_index)
    assert {len(part) for part, _ in chunks[:-1]} <= {size}


def test_scale():
    eight_bit = scale(np.array([0, 51, 255], np.uint8))
    np.testing.assert_allclose(eight_bit, [0, 0.2, 1])
    assert scale(np.array([-3.0, 7.0])).numpy().tolist() == [-3, 7]


def test_chunks_hold_what_the_batch_holds(generator):
    data = GroupedData.of(
        generator.normal(size=(23, 2)).astype(np.float32), np.arange(23) % 4
    )
    batches = Batches(3, 5)
    whole = list(make_dataset(data, batches, 1, epochs=2))
    chunked = list(make_dataset(data, batches, 1, epochs=2, chunk_size=4))
    assert len(whole) == len(chunked)
    for one, other in zip(whole, chunked):
        np.testing.assert_array_equal(one["group_ids"], other["group_ids"])
        chunks = list(other["observations"].as_numpy_iterator())
        assert {len(chunk) for chunk in chunks[:-1]} <= {4}
        np.testing.assert_array_equal(
            np.concatenate(chunks), one["observations"]
        )
