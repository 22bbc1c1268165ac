import dataclasses
import itertools
import time

import numpy as np
import pytest
import tensorflow as tf

from mlvae_tf import likelihoods
from mlvae_tf.data import pipeline
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.observations import Stored
from mlvae_tf.data.pipeline import make_dataset
from mlvae_tf.data.sampling import Batching


@pytest.fixture
def data():
    observations = np.arange(50, dtype=np.uint8).reshape(50, 1)
    return GroupedData.of(observations, np.array(["a", "b"] * 25))


@pytest.mark.parametrize("batches", [Batching(4, 3), Batching(batch_size=7)])
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


@pytest.mark.parametrize("planned", [1 << 16, 20])  # All, or some, at once.
@pytest.mark.parametrize("batches", [Batching(4, 3), Batching(batch_size=7)])
def test_dataset_goes_on_from_any_step(data, batches, planned, monkeypatch):
    monkeypatch.setattr(pipeline, "_PLANNED", planned)
    whole = list(make_dataset(data, batches, 5, 3).as_numpy_iterator())
    per_epoch = len(whole) // 3
    assert per_epoch > 4
    for epoch, step in ((0, 1), (1, 0), (1, 3), (2, per_epoch - 1)):
        dataset = make_dataset(data, batches, 5, 3, epoch, first_step=step)
        rest = list(dataset.as_numpy_iterator())
        first = epoch * per_epoch + step
        assert len(dataset) == len(rest) == len(whole) - first
        for a, b in zip(whole[first:], rest):
            np.testing.assert_array_equal(a["observations"], b["observations"])
            # Numbers may be others; who shares one is the same.
            same = a["group_ids"][:, np.newaxis] == a["group_ids"]
            other = b["group_ids"][:, np.newaxis] == b["group_ids"]
            np.testing.assert_array_equal(same, other)


def test_nothing_is_left_after_the_last_epoch(data):
    assert list(make_dataset(data, Batching(4, 3), 5, 3, 3)) == []


def test_chunks_hold_what_the_batch_holds(generator):
    data = GroupedData.of(
        generator.normal(size=(23, 2)).astype(np.float32), np.arange(23) % 4
    )
    batches = Batching(3, 5)
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


class Images(Stored):
    """Observations as they would be read from a disk."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def read(self, rows):
        return self.values[rows]


@pytest.mark.parametrize("chunk_size", [None, 4])
@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_batches_hold_the_values(data, likelihood, chunk_size):
    """Those that the likelihood takes, from the memory or from a disk."""
    batches = Batching(4, 3)
    sampler = batches.sampler(data.group_index)
    plan = sampler.plan(sampler.order(5, 0), 0, len(sampler))
    expected = plan.rows / (255 if likelihood == "bernoulli" else 1)
    for stored in (data.observations, Images(data.observations)):
        some = dataclasses.replace(
            data,
            observations=stored,
            likelihood=likelihoods.get(likelihood),
        )
        dataset = make_dataset(some, batches, seed=5, chunk_size=chunk_size)
        parts = [batch["observations"] for batch in dataset]
        if chunk_size:
            parts = [chunk for part in parts for chunk in part]
        values = np.concatenate(parts)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("batches", [Batching(3, 2), Batching(batch_size=5)])
def test_batches_are_augmented_by_seed_and_step(generator, batches):
    images = generator.integers(256, size=(20, 4, 4, 1), dtype=np.uint8)
    data = GroupedData.of(images, np.arange(20) % 4)

    def batches_of(seed, first_epoch, probability, step=0):
        dataset = make_dataset(
            *(data, batches, seed, 3, first_epoch, None, probability, step)
        )
        return [b["observations"] for b in dataset.as_numpy_iterator()]

    whole, again = batches_of(5, 0, 0.9), batches_of(5, 0, 0.9)
    rest, plain = batches_of(5, 1, 0.9, step=2), batches_of(5, 0, 0.0)
    assert all(map(np.array_equal, whole, again))
    assert 0 < len(rest) < len(whole)
    assert all(map(np.array_equal, whole[-len(rest) :], rest))
    assert not any(map(np.array_equal, whole, plain))


def test_all_pieces_of_a_group_are_augmented_alike():
    # Of constant images, one for each of two groups, only a blend is seen.
    values = np.repeat([0, 255], 12).astype(np.uint8)
    images = np.tile(values[:, None, None, None], [1, 4, 4, 1])
    data = GroupedData.of(images, np.repeat(["a", "b"], 12))
    batches = Batching(6, 4)  # Both groups, in pieces.
    blended = 0
    for batch in make_dataset(data, batches, 5, 20, augmented=0.9):
        wholes, pieces = batch["whole_ids"].numpy(), batch["group_ids"].numpy()
        assert len(np.unique(pieces)) == 6
        for whole in (0, 1):
            found = batch["observations"].numpy()[wholes == whole]
            np.testing.assert_allclose(found, found[0, 0, 0, 0], atol=1e-5)
            blended += abs(found[0, 0, 0, 0] - whole) > 0.01
    assert blended > 10


def test_passes_are_augmented_as_epochs_are(generator):
    images = generator.integers(256, size=(20, 4, 4, 1), dtype=np.uint8)
    data = GroupedData.of(images, np.arange(20) % 4)
    batches = Batching(3, 2)
    one = pipeline.one_epoch(data, batches, 5, itertools.count(), 0.9)
    passes = [*one, *one]
    whole = [*make_dataset(data, batches, 5, 2, augmented=0.9)]
    assert len(passes) == len(whole)
    for found, expected in zip(passes, whole):
        same = found["observations"], expected["observations"]
        np.testing.assert_array_equal(*same)


@pytest.mark.parametrize("batches", [Batching(4, 3), Batching(batch_size=7)])
@pytest.mark.parametrize("chunk_size", [None, 4])
def test_levels_of_a_batch_are_those_of_its_rows(batches, chunk_size):
    values = np.arange(60, dtype=np.float32)[:, np.newaxis]
    ids = {"person": np.arange(60) // 6, "light": np.arange(60) % 6}
    data = GroupedData.of(values, ids)
    whole = list(make_dataset(data, batches, 5, 2, chunk_size=chunk_size))
    found = []
    for batch in whole:
        parts = batch["observations"]
        parts = list(parts) if chunk_size else [parts]
        rows = np.concatenate(parts)[:, 0].astype(int)
        found += rows.tolist()
        assert set(batch) == {"observations", "group_ids"}
        for name, of_level in batch["group_ids"].items():
            assert of_level.dtype == "int64"
            assert of_level.numpy().tolist() == ids[name][rows].tolist()
    assert sorted(found) == sorted([*range(60)] * 2)
    rest = list(make_dataset(data, batches, 5, 2, first_step=2))
    assert len(rest) == len(whole) - 2
    for one, other in zip(whole[2:], rest):
        for name in ids:
            np.testing.assert_array_equal(
                one["group_ids"][name], other["group_ids"][name]
            )


def test_what_is_waited_for_is_added_up(data):
    def slow(batch):
        def wait(value):
            time.sleep(0.05)
            return value

        ids = batch["group_ids"]
        waited = tf.numpy_function(wait, [ids], ids.dtype)
        return {**batch, "group_ids": tf.ensure_shape(waited, ids.shape)}

    dataset = make_dataset(data, Batching(2, 2), seed=0)
    waited = tf.Variable(0.0, dtype=tf.float64)
    timed = pipeline.timed(dataset.map(slow), waited)
    assert timed.cardinality() == dataset.cardinality()
    began = time.perf_counter()
    for ours, theirs in zip(timed, dataset, strict=True):
        for name, values in theirs.items():
            np.testing.assert_array_equal(ours[name], values)
    passed = time.perf_counter() - began
    assert 0.05 * int(dataset.cardinality()) <= float(waited) <= passed
