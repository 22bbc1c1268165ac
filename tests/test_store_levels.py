"""Content stores of several levels: a table for each, outer ones from inner."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from mlvae_tf import Level
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.grouping import Grouping
from mlvae_tf.errors import InputError
from mlvae_tf.store import LevelStores, encoding, levels
from mlvae_tf.store.ids import joined

VISIT = Level("visit", 3, parent="patient")
CASES = {
    "crossed": {"levels": {"person": 3, "light": 2}},
    "nested": {"levels": [VISIT]},
    "deep": {
        "levels": [VISIT, Level("hour", 3, parent="visit"), Level("site", 2)]
    },
    "two_within_one": {"levels": [VISIT, Level("scan", 3, parent="patient")]},
    "gaps": {"levels": [VISIT, Level("site", 2)], "missing_values": True},
    "prior": {
        "levels": {"person": 3, "light": 2},
        "accumulation": "product_with_prior",
    },
}
IDS = {
    "person": list("bacabbdeaabd"),
    "light": [0, 1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 1],
    "patient": list("aaaaabbbbbcc"),
    "visit": [1, 1, 2, 2, 2, 1, 1, 1, 1, 3, 1, 1],  # Within their patients.
    "scan": list("pqpqppqpqpqp"),
    "hour": [8, 9, 8, 8, 9, 8, 8, 8, 9, 9, 8, 8],
    "site": list("xyxyxyxyxyxx"),
}


def some(model, images, rows=slice(None)):
    ids = {v.name: np.array(IDS[v.name])[rows] for v in model.levels}
    return levels.encode(model, images[rows], ids, batch_size=5)


@pytest.fixture(params=CASES)
def known(request, make_model, batch, generator):
    """A model, observations, and the stores of all of them."""
    model = make_model(**CASES[request.param])
    for weights in model.weights:
        weights.assign_add(generator.normal(0, 0.3, weights.shape))
    images = batch["observations"].astype(np.float32)
    if model.missing_values:
        images[3] = np.nan
        images[4, 0] = np.nan
    return model, images, some(model, images)


def full_ids(model):
    """Ids that say by themselves which group it is."""
    parents = model.codec.parents

    def of(name):
        if name not in parents:
            return np.array(IDS[name])
        pairs = zip(of(parents[name]), IDS[name])
        return np.array([f"{outer}/{inner}" for outer, inner in pairs])

    return {level.name: of(level.name) for level in model.levels}


def assert_tells_as_the_model(model, images, stores, rtol=1e-10):
    """Of every level, what `infer_content` says of all observations."""
    ids = full_ids(model)
    found = stores.posteriors()
    contents = model.infer_content(images, ids)
    assert set(found) == set(contents)
    for name, (groups, content) in contents.items():
        order = np.argsort(groups)
        assert found[name].groups.tolist() == groups[order].tolist()
        for of in ("loc", "scale"):
            expected = getattr(content, of).numpy()[order]
            np.testing.assert_allclose(
                getattr(found[name], of), expected, rtol=rtol, atol=1e-12
            )


def test_every_level_is_as_the_model_infers_it(known):
    assert_tells_as_the_model(*known)


def test_counts_are_of_observations_at_every_level(known):
    model, images, stores = known
    heard = ~np.isnan(images).all(axis=(1, 2, 3))
    for name, table in stores.all_tables().items():
        ids = full_ids(model)[name][heard]
        groups, counts = np.unique(ids, return_counts=True)
        assert table.groups.tolist() == groups.tolist()
        assert table.counts.tolist() == counts.tolist()
        assert len(table.keys) == heard.sum()


def test_two_lots_are_the_whole_and_one_comes_out_again(known):
    """Although a visit in both lots tells its patient only once."""
    model, images, _ = known
    first, last = (
        some(model, images, slice(0, 7)),
        some(model, images, slice(7, 12)),
    )
    both = first.merge(last)
    assert_tells_as_the_model(model, images, both)
    left = both.remove(last).posteriors()
    for name, expected in first.posteriors().items():
        assert left[name].groups.tolist() == expected.groups.tolist()
        np.testing.assert_allclose(left[name].loc, expected.loc, rtol=1e-6)
    with pytest.raises(InputError, match="in the store already"):
        both.merge(last)
    assert len(both.merge(last, twice=True).tables) == len(model.codec.drawn)


def test_a_folder_has_a_table_for_every_level(known, tmp_path):
    model, images, stores = known
    folder = tmp_path / "stores"
    stores.save(folder)
    names = {f"{level.name}.parquet" for level in model.levels}
    assert {p.name for p in folder.iterdir()} == names | {"levels.json"}
    loaded = LevelStores.load(folder)
    assert_tells_as_the_model(model, images, loaded)
    assert list(loaded.tables) == [level.name for level in model.codec.drawn]
    for name, posterior in stores.posteriors().items():
        table = pq.read_table(folder / f"{name}.parquet")
        assert table["group"].to_pylist() == posterior.groups.tolist()
        for of in ("loc", "scale"):
            written = np.array(table[of].to_pylist())
            np.testing.assert_array_equal(written, getattr(posterior, of))
    stores.save(folder)  # Again, in its place.
    assert not list(tmp_path.glob(".partial*"))


def test_damage_is_said(make_model, batch, tmp_path):
    model = make_model(**CASES["nested"])
    with pytest.raises(InputError, match="no stores of several levels"):
        LevelStores.load(tmp_path)
    some(model, batch["observations"]).save(tmp_path / "s")
    about = tmp_path / "s" / "levels.json"
    for text in ("{", "{}", "[]", json.dumps({"tables": ["visit"]})):
        about.write_text(text)
        with pytest.raises(InputError, match=r"levels.json is damaged"):
            LevelStores.load(tmp_path / "s")


def test_one_level_has_its_one_table(make_model, batch):
    model, ids = make_model(), batch["group_ids"]
    images = batch["observations"].astype(np.float32)
    found = levels.encode(model, images, ids).tables["content"]
    expected = encoding.encode(model, [GroupedData.of(images, ids)])
    expected = expected.tables["content"]
    assert found.groups.tolist() == expected.groups.tolist()
    assert found.counts.tolist() == expected.counts.tolist()
    assert found.keys.tolist() == expected.keys.tolist()
    assert (found.rule, found.fingerprint) == (
        expected.rule,
        expected.fingerprint,
    )
    for one, other in zip(found.evidence, expected.evidence):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_8_bit_images_are_taken(make_model, generator):
    model = make_model(**CASES["crossed"])
    images = generator.integers(0, 256, (12, 4, 4, 1), np.uint8)
    values = some(model, (images / 255).astype(np.float32))
    for name, posterior in some(model, images).posteriors().items():
        expected = values.posteriors()[name].loc
        np.testing.assert_allclose(posterior.loc, expected, rtol=1e-5)


def test_observations_are_told_apart_by_keys_of_their_own(make_model, batch):
    """Such as those of files; in every table, group after group."""
    model, ids = make_model(**CASES["crossed"]), {}
    for level in model.levels:
        ids[level.name] = np.array(IDS[level.name])
    keys = np.arange(12, dtype=np.uint64) + 7
    found = levels.encode(model, batch["observations"], ids, keys)
    for name, table in found.tables.items():
        expected = [keys[ids[name] == group] for group in table.groups]
        assert table.keys.tolist() == np.concatenate(expected).tolist()


def visits(patients, numbers):
    """The ids of visits within their patients."""
    given = {
        "visit": Grouping.of(np.array(numbers)),
        "patient": Grouping.of(np.array(patients)),
    }
    found = joined(given, {"visit": "patient", "patient": None})
    assert found["patient"].ids.tolist() == patients
    groups = found["visit"].groups.tolist()
    assert groups == sorted(set(groups))
    return found["visit"].ids.tolist()


def test_ids_within_others():
    patients = ["b", "a", "b", "a"]
    whole = visits(patients, [1, 2, 10, 1])
    assert whole == ["b/1", "a/2", "b/10", "a/1"]
    assert visits(patients, whole) == whole
    with pytest.raises(InputError, match=r"no /: got .*'x/2'.* at row 2"):
        visits(patients, ["1", "1", "x/2", "1"])
    assert visits(["w/b", "w/a"], [1, 1]) == ["w/b/1", "w/a/1"]
    assert visits([3, -1], [2, 2]) == ["3/2", "-1/2"]


def test_stores_of_other_levels_do_not_add_up(make_model, batch):
    images = batch["observations"]
    model = make_model(**CASES["nested"])
    stores = some(model, images[:6], slice(0, 6))
    other = some(make_model(**CASES["crossed"]), images)
    with pytest.raises(InputError, match="expected visit, got person, light"):
        stores.merge(other)
    model.visit_spread.log_precision.assign([1.0, 1.0, 1.0])
    wider = some(model, images, slice(6, 12))
    with pytest.raises(InputError, match="of other levels, or of others with"):
        stores.merge(wider)
    for weights in model.visit_head.weights:
        weights.assign_add(weights + 1)
    with pytest.raises(InputError, match="Encode all observations with one"):
        wider.merge(some(model, images, slice(0, 6)))


def test_of_which_level_a_table_is_has_to_be_said(make_model, batch):
    model = make_model(**CASES["crossed"])
    data = GroupedData.of(batch["observations"], batch["group_ids"])
    with pytest.raises(InputError, match=r'be by level, \{"person": '):
        encoding.encode(model, [data])
    table = some(model, batch["observations"]).tables["person"]
    with pytest.raises(InputError, match="person, light: got none"):
        table.identify(model, batch["observations"])
    found = table.identify(model, batch["observations"], level="person")
    assert set(found.groups[:, 0]) <= set(table.groups)


def test_averages_are_no_evidence(make_model, batch):
    given = [Level("person", 3), Level("light", 2, accumulation="average")]
    with pytest.raises(InputError, match="a rule that adds evidence up"):
        some(make_model(levels=given), batch["observations"])
