import collections
import csv
import dataclasses
import gzip
import itertools
import math
import struct
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.store import multiset
from mlvae_tf.store.table import ContentStore

new_keys = itertools.count()


def fresh(size):
    """Keys that no other observation has."""
    return np.array(list(itertools.islice(new_keys, size)), np.uint64)


def store(loc, scale, group_ids, keys=None, rule="product", model="m"):
    """One part per observation; the evidence is written out here."""
    loc, scale = np.asarray(loc, float), np.asarray(scale, float)
    parts = Evidence(scale**-2, loc * scale**-2)
    counts = np.ones(len(loc), np.int64)
    keys = fresh(len(loc)) if keys is None else np.array(keys, np.uint64)
    return ContentStore.of(
        np.asarray(group_ids), counts, parts, keys, rule, model
    )


def of_keys(keys, group_ids):
    """Equal observations, of these keys."""
    ids, ones = np.array(list(group_ids), np.str_), np.ones((len(keys), 1))
    return store(ones, ones, ids, keys)


def assert_equal(left, right, rtol=1e-9):
    assert left.groups.tolist() == right.groups.tolist()
    assert left.counts.tolist() == right.counts.tolist()
    assert left.keys.dtype == np.uint64
    assert left.keys.tolist() == right.keys.tolist()
    for a, b in zip(left.evidence, right.evidence):
        # Means of opposite sign cancel: the error is relative to the terms.
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-8 if rtol else 0)


@st.composite
def observations(draw):
    """loc, scale [N, 2], ids [N] of up to four groups, and keys [N]."""
    size = draw(st.integers(1, 12))
    values = hnp.arrays(np.float64, (size, 2), elements=st.floats(-3, 3))
    ids = draw(st.lists(st.sampled_from("abcd"), min_size=size, max_size=size))
    return draw(values), np.exp(draw(values)), np.array(ids), fresh(size)


def test_two_observations_by_hand():
    # Precisions 1 and 4 add up to 5; (1 * 1 + 4 * 2) / 5 = 1.8.
    known = store([[1], [2], [7]], [[1], [0.5], [3]], ["b", "b", "a"])
    assert known.groups.tolist() == ["a", "b"]
    assert known.counts.tolist() == [1, 2]
    loc, scale = known.posterior()
    np.testing.assert_allclose(loc, [[7], [1.8]], rtol=1e-14)
    np.testing.assert_allclose(scale, [[3], [5**-0.5]], rtol=1e-14)


def test_the_prior_is_one_more_factor_but_no_observation():
    known = store([[2]], [[1]], [4], rule="product_with_prior")
    twice = known.merge(known, twice=True)
    # Precision 1 + 1 + 1, once the prior's; (2 + 2) / 3.
    loc, scale = twice.posterior()
    np.testing.assert_allclose(loc, [[4 / 3]])
    np.testing.assert_allclose(scale, [[3**-0.5]])


@settings(deadline=None)
@given(observations())
def test_matches_the_oracle(drawn):
    known = store(*drawn)
    groups, loc, scale = reference.accumulate(*drawn[:3])
    order = np.argsort(groups)
    assert known.groups.tolist() == np.array(groups)[order].tolist()
    actual = known.posterior()
    np.testing.assert_allclose(actual[0], loc[order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(actual[1], scale[order], rtol=1e-9)


@settings(deadline=None)
@given(observations(), observations(), observations())
def test_merging_is_a_commutative_monoid(first, second, third):
    a, b, c = (store(*part) for part in (first, second, third))
    together = store(*map(np.concatenate, zip(first, second, third)))
    assert_equal(a.merge(b).merge(c), together)
    assert_equal(a.merge(b.merge(c)), together)
    assert_equal(c.merge(b).merge(a), together)
    nothing = store(np.zeros((0, 2)), np.ones((0, 2)), np.zeros(0, int))
    assert_equal(a.merge(nothing), a, rtol=0)
    assert_equal(nothing.merge(a), a, rtol=0)


@settings(deadline=None)
@given(observations(), observations())
def test_what_was_added_can_be_taken_back_out(first, second):
    a, b = store(*first), store(*second)
    assert_equal(a.merge(b).remove(b), a, rtol=1e-6)
    nothing = a.merge(b).remove(b).remove(a)
    assert len(nothing) == 0
    assert nothing.evidence.precision.shape == (0, 2)


def test_a_million_observations_of_one_group(generator, tmp_path):
    """In batches, from float32, against exact sums: 1e-6 relative."""
    size, batch = 1_000_000, 10_000
    loc = generator.normal(0.3, 1, size).astype(np.float32).astype(float)
    scale = np.exp(generator.normal(0, 0.5, size)).astype(np.float32)
    scale = scale.astype(float)
    known = None
    for start in range(0, size, batch):
        rows = slice(start, start + batch)
        part = store(loc[rows, None], scale[rows, None], np.full(batch, "g"))
        known = part if known is None else known.merge(part)
    precision = math.fsum(scale**-2.0)
    mean = math.fsum(loc * scale**-2.0) / precision
    assert known.counts.tolist() == [size]
    known.save(tmp_path / "a.parquet")
    loaded = ContentStore.load(tmp_path / "a.parquet")
    actual_loc, actual_scale = loaded.posterior()
    assert actual_loc.item() == pytest.approx(mean, rel=1e-10)
    assert actual_scale.item() == pytest.approx(precision**-0.5, rel=1e-10)
    # All but one taken back out leaves that one.
    keys = known.keys
    last = store(loc[-1:, None], scale[-1:, None], ["g"], keys[-1:])
    ids = np.full(size - 1, "g")
    rest = store(loc[:-1, None], scale[:-1, None], ids, keys[:-1])
    assert_equal(known.remove(rest), last, rtol=1e-6)


@pytest.mark.parametrize(
    ("keys", "ids", "message"),
    [
        ([7], "x", "1 of 1 observations are not in the store, of group 'x'"),
        # Four observations of a group of two, two of them with its like.
        ([0, 1, 1, 8], "aaaa", "2 of 4 observations are not .* of group 'a'"),
        # Of the same numbers as what is there; only the key tells.
        ([2, 9], "bb", "1 of 2 observations are not .* of group 'b'"),
        # A key alone is not the observation: it is of another group.
        ([0], "b", "1 of 1 observations are not .* of group 'b'"),
        (range(10, 15), "abcde", "of groups 'a', 'b', 'c' and 2 more"),
    ],
)
def test_what_is_not_in_it_cannot_be_taken_out(keys, ids, message):
    known = of_keys(range(10), "aabbccddee")
    with pytest.raises(InputError, match=message):
        known.remove(of_keys(list(keys), ids))


def test_observations_that_are_in_it_are_noticed():
    known = of_keys([1, 2, 3, 4], "aabc")
    again = of_keys([4, 5, 2, 1, 6], "cdaad")
    message = (
        "3 of 5 observations are in the store already, of groups 'a', 'c'. "
        "Add only the others with --update=STORED --stored=skip, or pass "
        "--stored=add to count these twice."
    )
    with pytest.raises(InputError) as caught:
        known.merge(again)
    assert str(caught.value) == message
    with pytest.raises(InputError, match="3 of 5"):
        multiset.check_new([again], known)
    (held,) = known.held([again])
    assert again.keys[held].tolist() == [1, 2, 4]
    twice = known.merge(again, twice=True)
    assert twice.keys.tolist() == [1, 1, 2, 2, 3, 4, 4, 5, 6]
    assert twice.counts.tolist() == [4, 1, 2, 2]
    assert_equal(twice.remove(again), known)
    assert_equal(twice.remove(known), again)


def test_the_same_in_another_group_is_another():
    """As of a source whose keys do not tell of the group."""
    known = of_keys([1, 2], "ab")
    both = known.merge(of_keys([1, 2], "ba"))
    assert both.counts.tolist() == [2, 2]
    rest = both.remove(of_keys([1], "b"))
    assert rest.counts.tolist() == [2, 1]
    assert rest.keys.tolist() == [1, 2, 2]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=3),
    st.lists(st.integers(0, 5), max_size=8),
)
def test_equal_observations_count_as_often_as_they_are_there(parts, whole):
    """Against taking them out of a list, one after the other."""
    lots = [of_keys(part, "a" * len(part)) for part in parts]
    masks = multiset.contained(lots, of_keys(whole, "a" * len(whole)))
    left = list(whole)
    for lot, mask in zip(lots, masks, strict=True):
        for key, contained in zip(lot.keys.tolist(), mask, strict=True):
            assert contained == (key in left)
            if contained:
                left.remove(key)


class Observed(NamedTuple):
    """Observations of a level, known by keys."""

    keys: np.ndarray
    groups: np.ndarray
    group_index: np.ndarray


def by_level(rows):
    """Observations of content, person and light; keys tell of the first two."""
    contents, people, lights = np.array(rows, int).reshape(-1, 3).T
    keys = (10 * contents + people).astype(np.uint64)
    return {
        "person": Observed(keys, np.array(["a", "b"]), people),
        "light": Observed(keys, np.arange(3), lights),
    }


rows = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 2))


@settings(deadline=None)
@given(
    st.lists(st.lists(rows, max_size=5), min_size=1, max_size=3),
    st.lists(rows, max_size=8),
)
def test_on_several_levels_an_observation_is_one(parts, whole):
    """Against taking them out of a list, with all their groups."""
    masks, left = [], collections.Counter(whole)
    for part in parts:
        masks.append([])
        for row in part:
            masks[-1].append(left[row] > 0)
            left[row] -= masks[-1][-1]
    alone = [
        collections.Counter(row[:2] for row in some)
        for some in (itertools.chain(*parts), whole)
    ]
    lots = [by_level(part) for part in parts]
    lots = {name: [lot[name] for lot in lots] for name in ("person", "light")}
    if (alone[0] & alone[1]).total() > sum(map(sum, masks)):
        with pytest.raises(InputError, match="same groups of person, but in"):
            multiset.contained_in_all(lots, by_level(whole))
        return
    found = multiset.contained_in_all(lots, by_level(whole))
    assert [mask.tolist() for mask in found] == masks


def test_of_another_group_on_one_level_it_is_said_which():
    known, now = by_level([(0, 0, 1), (1, 1, 1)]), by_level([(0, 0, 2)])
    lots = {name: [lot] for name, lot in now.items()}
    with pytest.raises(InputError) as caught:
        multiset.contained_in_all(lots, known)
    assert str(caught.value) == (
        "1 of 1 observations are in the store, in the same groups of person, "
        "but in others of light than now, group 2. Take them out with the ids "
        "that they had, and add them anew."
    )


def test_a_rest_below_the_rounding_is_refused():
    sure = store([[1]], [[1e-6]], ["a"])
    vague = store([[1]], [[1]], ["a"])
    with pytest.raises(InputError, match=r"group 'a': .* rounding hides"):
        sure.merge(vague).remove(sure)


def test_only_evidence_of_one_model_and_kind_of_ids_adds_up():
    known = store([[1]], [[1]], ["a"])
    for other, message in (
        (store([[1]], [[1]], ["a"], model="n"), "model m .* of model n"),
        (store([[1]], [[1]], ["a"], rule="product_with_prior"), "with rule"),
        (store([[1]], [[1]], [1]), "ids are strings: got integers"),
    ):
        for combine in (known.merge, known.remove):
            with pytest.raises(InputError, match=message):
                combine(other)
    with pytest.raises(InputError, match="got average"):
        store([[1]], [[1]], ["a"], rule="average")
    with pytest.raises(InputError, match="64 bits"):
        store([[1]], [[1]], np.array([2**63], np.uint64))


@pytest.mark.parametrize("ids", [["b", "ä, ", "b"], [5, -(2**62), 5]])
def test_a_table_comes_back_as_it_was(ids, tmp_path, generator):
    path = tmp_path / "deep" / "a.parquet"
    known = store(
        generator.normal(size=(3, 4)), generator.uniform(1, 2, (3, 4)), ids
    )
    known.save(path)
    loaded = ContentStore.load(path)
    assert_equal(loaded, known, rtol=0)
    assert (loaded.rule, loaded.fingerprint) == ("product", "m")
    assert loaded.groups.dtype.kind == known.groups.dtype.kind
    # Any reader of Parquet finds the posterior beside the evidence.
    columns = pq.read_table(path).to_pydict()
    assert list(columns) == [
        *("group", "count", "precision", "weighted_loc", "loc", "scale"),
        "observations",
    ]
    stops = np.cumsum(known.counts)[:-1]
    keys = [some.tolist() for some in np.split(known.keys, stops)]
    assert columns["observations"] == keys
    loc, scale = known.posterior()
    np.testing.assert_array_equal(columns["loc"], loc)
    np.testing.assert_array_equal(columns["scale"], scale)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".csv.gz"])
@pytest.mark.parametrize("ids", [["b", 'ä, "x"\n', "b"], [5, -(2**62), 5]])
def test_a_csv_has_the_numbers_of_the_table(ids, suffix, tmp_path, generator):
    known = store(
        generator.normal(size=(3, 2)) * 1e-7,
        generator.uniform(1, 2, (3, 2)),
        ids,
    )
    known.save(tmp_path / "a.parquet")
    known.save(tmp_path / f"a{suffix}")
    opened = gzip.open if suffix.endswith(".gz") else open
    with opened(
        tmp_path / f"a{suffix}", "rt", encoding="utf-8", newline=""
    ) as file:
        header, *lines = csv.reader(file)
    vectors = "precision", "weighted_loc", "loc", "scale"
    assert header == [
        "group",
        "count",
        *(f"{name}_{place}" for name in vectors for place in range(2)),
    ]
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    for line, row in zip(lines, table, strict=True):
        assert line[:2] == [str(row["group"]), str(row["count"])]
        expected = [value for name in vectors for value in row[name]]
        assert list(map(float, line[2:])) == expected
    with pytest.raises(InputError, match=r"is CSV, .* others to read"):
        ContentStore.load(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("name", ["a", "a.txt", "a.parquet.bak", "csv"])
def test_another_suffix_is_refused(name, tmp_path):
    with pytest.raises(InputError, match=r"\.parquet, \.csv or \.csv\.gz"):
        store([[1]], [[1]], ["a"]).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_empty_store_comes_back(tmp_path):
    nothing = store(np.zeros((0, 2)), np.ones((0, 2)), np.zeros(0, int))
    nothing.save(tmp_path / "a.parquet")
    assert_equal(ContentStore.load(tmp_path / "a.parquet"), nothing)


def damage(path, change):
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def flip(content):
    content[content.index(struct.pack("<d", 1.2345))] ^= 1


def cut(content):
    del content[-100:]


def misname(content):
    """A column's name is no text any more, in the footer."""
    content[:] = content.replace(b"weighted_loc", b"\xffeighted_loc")


def empty(content):
    content.clear()


@pytest.mark.parametrize("change", [flip, cut, empty, misname])
def test_a_damaged_table(change, tmp_path):
    path = tmp_path / "a.parquet"
    store([[1.2345]], [[1]], ["a"]).save(path)
    damage(path, change)
    with pytest.raises(InputError, match="parquet is damaged"):
        ContentStore.load(path)


def test_foreign_and_impossible_tables(tmp_path):
    path = tmp_path / "a.parquet"
    with pytest.raises(InputError, match="no such table"):
        ContentStore.load(path)
    pq.write_table(pa.table({"group": ["a"], "loc": [1.0]}), path)
    with pytest.raises(InputError, match=r"no store of .* group, loc"):
        ContentStore.load(path)
    good = store([[1], [2]], [[1], [1]], ["a", "b"])
    impossible = (
        {"counts": np.array([2, 0])},
        {"groups": np.array(["a", "a"])},
        {"evidence": Evidence(-good.evidence.precision, good.evidence[1])},
        {
            "evidence": Evidence(
                good.evidence.precision, np.array([[1], [np.nan]])
            )
        },
    )
    for values in impossible:
        dataclasses.replace(good, **values).save(path)
        with pytest.raises(InputError, match="damaged: expected distinct"):
            ContentStore.load(path)
    dataclasses.replace(good, fingerprint="n").save(path)
    assert ContentStore.load(path).fingerprint == "n"


def test_a_table_whose_counts_and_keys_differ(tmp_path):
    path = tmp_path / "a.parquet"
    store([[1], [2]], [[1], [1]], ["a", "b"]).save(path)
    table = pq.read_table(path)
    counts = pa.array([1, 2])
    pq.write_table(table.set_column(1, table.schema.field(1), counts), path)
    with pytest.raises(InputError, match="keys of as many observations"):
        ContentStore.load(path)


def test_a_table_of_the_version_before(tmp_path):
    path = tmp_path / "a.parquet"
    store([[1]], [[1]], ["a"]).save(path)
    pq.write_table(pq.read_table(path).drop_columns(["observations"]), path)
    with pytest.raises(InputError, match=r"version 0\.1\.0, .* again"):
        ContentStore.load(path)
