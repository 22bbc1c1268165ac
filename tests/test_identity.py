"""Which observation is which."""

import numpy as np
import pytest

from mlvae_tf.data import identity
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.noise import Stream


@pytest.fixture
def observations(generator):
    return generator.integers(0, 256, (40, 3, 2), np.uint8)


def test_keys_follow_group_and_content_not_place(observations):
    ids = np.array(["a", "b"] * 20)
    keys = GroupedData.of(observations, ids).keys
    assert keys.dtype == np.uint64
    assert len(set(keys.tolist())) == 40
    order = np.random.default_rng(1).permutation(40)[:30]
    again = GroupedData.of(observations[order], ids[order]).keys
    assert np.array_equal(again, keys[order])
    others = GroupedData.of(observations, np.array(["b", "a"] * 20)).keys
    assert not set(others.tolist()) & set(keys.tolist())


def test_equal_observations_have_equal_keys(observations):
    twice = np.concatenate([observations, observations])
    keys = GroupedData.of(twice, np.zeros(80, int)).keys
    assert np.array_equal(keys[:40], keys[40:])
    texts = GroupedData.of(twice, np.zeros(80, int).astype(str)).keys
    assert np.array_equal(keys, texts)  # An id is what it is called.


def test_a_subset_and_a_join_keep_their_keys(observations):
    data = GroupedData.of(observations, np.arange(40) % 3)
    rows = np.array([5, 3, 30])
    assert np.array_equal(data[rows].keys, data.keys[rows])
    joined = GroupedData.join([data[rows], data])
    assert np.array_equal(joined.keys, np.append(data.keys[rows], data.keys))
    mirrored = GroupedData.of(observations[..., None], np.arange(40) % 3)
    mirrored = mirrored.with_mirrored_groups().keys
    assert len(set(mirrored.tolist())) == 80


@pytest.mark.parametrize("size", [0, 1000, 65536, 65537, 300_000])
def test_keys_of_files(tmp_path, generator, size):
    path = tmp_path / "1"
    content = generator.bytes(size)
    path.write_bytes(content)
    key = identity.of_file(path, "a")
    (tmp_path / "2").write_bytes(content)
    assert identity.of_file(tmp_path / "2", "a") == key
    assert identity.of_file(path, "b") != key
    for place in (0, size // 2, size - 1) if size else ():
        other = bytearray(content)
        other[place] ^= 1
        path.write_bytes(other)
        assert identity.of_file(path, "a") != key
    path.write_bytes(content + b"\0")
    assert identity.of_file(path, "a") != key


def test_ranks_are_uniform_and_of_their_seed():
    keys = np.arange(100_000, dtype=np.uint64)
    ranks = identity.ranks(keys, 0, Stream.HELD_OUT_OBSERVATIONS)
    share = ranks / 2.0**64
    assert abs(share.mean() - 0.5) < 5e-3
    assert abs((share < 0.2).mean() - 0.2) < 5e-3
    assert len(np.unique(ranks)) == len(keys)
    for seed, stream in (
        (1, Stream.HELD_OUT_OBSERVATIONS),
        (0, Stream.HELD_OUT_GROUPS),
    ):
        others = identity.ranks(keys, seed, stream) / 2.0**64
        assert abs(np.corrcoef(share, others)[0, 1]) < 0.02
