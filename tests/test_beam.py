import json

import numpy as np
import pytest
from scripts import script

import mlvae_tf
from mlvae_tf import Level, files, serving
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.sources import npz
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.runs import config, storing, training
from mlvae_tf.runs.encoding import Task
from mlvae_tf.store import LevelStores, beam, encoding

THREADS = "--direct_running_mode=multi_threading", "--direct_num_workers=2"
PROCESSES = "--direct_running_mode=multi_processing", "--direct_num_workers=2"


def assert_equal(left, right):
    """Of every level."""
    assert list(left.tables) == list(right.tables)
    assert left.layout.described() == right.layout.described()
    for name, table in right.all_tables().items():
        assert_same_table(left.all_tables()[name], table)


def assert_same_table(left, right):
    assert left.groups.tolist() == right.groups.tolist()
    assert left.groups.dtype.kind == right.groups.dtype.kind
    assert left.counts.tolist() == right.counts.tolist()
    assert left.keys.tolist() == right.keys.tolist()
    assert (left.rule, left.fingerprint) == (right.rule, right.fingerprint)
    # The same program and shapes; only the order of the sums differs.
    for a, b in zip(left.evidence, right.evidence):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def both(folder, output, arguments):
    """The stores by the pipeline, and by `encoding.encode`."""
    task = Task.of(folder, {}, None, 8)
    model, parts = task.load_model(), task.parts()
    return (
        beam.encode(
            task,
            model,
            task.export(),
            task.batch_size,
            output,
            list(arguments),
        ),
        encoding.encode(model, parts, task.batch_size),
    )


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param(["b", "ä", "c"], marks=pytest.mark.slow),
        [7, -1, 2**40],
    ],
)
def test_equals_the_streaming_job(make_run, groups, tmp_path):
    folder = make_run(groups)
    known, expected = both(folder, tmp_path / "a.parquet", THREADS)
    assert_equal(known, expected)
    assert not list(tmp_path.iterdir())


def test_a_process_opens_the_dataset_once(make_run, tmp_path, monkeypatch):
    folder, opened = make_run(["a", "b"]), []
    task = Task.of(folder, {}, None, 2)
    model, load = task.load_model(), npz.load

    def counted(*arguments):
        opened.append(arguments)
        return load(*arguments)

    monkeypatch.setattr(npz, "load", counted)
    output = tmp_path / "a.parquet"
    known = beam.encode(task, model, task.export(), 2, output, list(THREADS))
    assert known.tables["content"].counts.sum() == 50
    assert len(opened) == 1


@pytest.mark.slow
def test_equals_the_streaming_job_by_two_processes(make_run, tmp_path):
    folder = make_run(["b", "a", "c"])
    known, expected = both(folder, tmp_path / "a.parquet", PROCESSES)
    assert_equal(known, expected)


@pytest.mark.slow
def test_script(make_run, tmp_path):
    """Onto a table of some of the observations, which only the others join."""
    folder, path = make_run([1, 2, 3]), tmp_path / "a.parquet"
    task = Task.of(folder, {}, None, 8)
    (part,), model = task.parts(), task.load_model()
    some = encoding.encode(model, [part[:41]], 8)
    some.save(tmp_path / "some.parquet")
    flags = f"--workdir={folder}", f"--output={path}", "--batch_size=8"
    update = f"--update={tmp_path / 'some.parquet'}", "--stored=skip"
    process = script("encode.py", *flags, *update, "--beam", "--", *THREADS)
    assert process.returncode == 0, process.stderr
    assert process.stdout == (
        f"9 of 50 observations are new\n50 observations, 3 groups: {path}\n"
    )
    expected = encoding.encode(model, [part], 8)
    known = LevelStores.load(path)
    assert_equal(known, some.merge(encoding.encode(model, [part[41:]], 8)))
    keys = [
        store.tables["content"].keys.tolist() for store in (known, expected)
    ]
    assert keys[0] == keys[1]


LEVELS = {
    "crossed": {"person": 3, "light": 2},
    "nested": [Level("visit", 3, parent="patient"), Level("light", 2)],
}


@pytest.fixture(scope="module", params=LEVELS)
def of_levels(request, tmp_path_factory):
    """The folder of an untrained run of several levels.

    Of its two parts, which share groups, some lights are not known, some
    observations tell nothing, and some are there twice.
    """
    folder = tmp_path_factory.mktemp("run")
    generator = np.random.default_rng(0)
    model = mlvae_tf.MLVAE(
        (4, 4, 1),
        levels=LEVELS[request.param],
        style_dim=2,
        hidden_units=8,
        missing_values=True,
    )
    for weights in model.weights:
        weights.assign_add(generator.normal(0, 0.3, weights.shape))
    images = generator.uniform(size=(60, 4, 4, 1)).astype(np.float32)
    images[generator.uniform(size=images.shape) < 0.2] = np.nan
    images[7::9] = np.nan
    ids = {
        "person": generator.choice(list("abcde"), 60),
        "patient": generator.choice([3, -1, 2**40], 60),
        "visit": generator.integers(0, 3, 60),
        "light": generator.choice(["", "x", "y"], 60),
    }
    rows = np.append(np.arange(60), [5, 5, 58])
    arrays = {"observations": images, **ids}
    arrays = {name: of[rows] for name, of in arrays.items()}
    some = np.arange(63) % 3 == 0
    np.savez(
        folder / "data.npz", split=np.where(some, "test", "train"), **arrays
    )
    for name, kept in (("some", some), ("rest", ~some)):
        lot = {array: of[kept] for array, of in arrays.items()}
        np.savez(folder / f"{name}.npz", **lot)
    model.save(folder / "model.keras")
    serving.export(model, folder / "export" / "1")
    settings = {
        "dataset": f"npz:{folder / 'data.npz'}",
        "groups": tuple(level.name for level in model.levels),
        "parents": tuple(
            f"{v.name}:{v.parent}" for v in model.levels if v.parent
        ),
        "missing_groups": "own",
        "missing_values": True,
    }
    record = training.run_record(config.Config().replace(settings))
    files.write_json(folder / "config.json", record)
    return folder


def test_several_levels_equal_the_streaming_job(of_levels, tmp_path):
    known, expected = both(of_levels, tmp_path / "stores", THREADS)
    assert_equal(known, expected)
    assert not list(tmp_path.iterdir())
    own = [g for g in known.tables["light"].groups if g.startswith("unknown-")]
    assert len(own) > 5
    assert known.tables["light"].counts.sum() == 63 - 6
    posteriors = known.posteriors()
    for name, posterior in expected.posteriors().items():
        for one, other in zip(posteriors[name][1:], posterior[1:]):
            np.testing.assert_allclose(one, other, rtol=1e-10)


def test_a_worker_has_the_ids_of_the_tables(of_levels):
    """Also from a dataset that was not told what is within what."""
    whole, plain = (
        Task.of(of_levels, settings, None, 8)
        for settings in ({}, {"parents": ()})
    )
    model = whole.load_model()
    expected = encoding.encode(model, whole.parts(), 8)
    parents = tuple(expected.layout.parents.items())
    batches = [
        beam.read(beam.Range(1, 3, 11), task, parents, model.codec.likelihood)
        for task in (whole, plain)
    ]
    for name, table in expected.tables.items():
        groups = [batch.levels[name].groups.tolist() for batch in batches]
        assert groups[0] == groups[1]
        assert set(groups[0]) <= set(table.groups.tolist())
    assert_equal(encoding.encode(model, plain.parts(), 8), expected)


def test_several_levels_join_stored_ones_and_leave(
    of_levels, tmp_path, capsys, monkeypatch
):
    """By the pipeline as without it; only what is new is encoded."""
    whole, part, rest = (
        Task.of(of_levels, {"dataset": f"npz:{of_levels}/{name}.npz"}, None, 8)
        for name in ("data", "some", "rest")
    )
    some, expected = storing.encoded(part), storing.encoded(whole)
    some.save(tmp_path / "some")
    capsys.readouterr()
    ranges, encoded = beam._all_ranges, []

    def counted(parts, size):
        encoded.append(sum(map(len, parts)))
        return ranges(parts, size)

    monkeypatch.setattr(beam, "_all_ranges", counted)
    by_beam = storing.by_beam(tmp_path / "out", list(THREADS))
    update = str(tmp_path / "some")
    joined = storing.encoded(whole, by_beam, update, stored="skip")
    count = some.tables["light"].counts.sum()
    said = capsys.readouterr().out
    # What tells nothing is in no store: it is read again.
    assert said == f"{63 - count} of 63 observations are new\n"
    assert encoded == [63 - count]
    assert_equal(joined, expected)
    joined.save(tmp_path / "all")
    update = str(tmp_path / "all")
    left = storing.encoded(part, by_beam, update, remove=True)
    for name, table in storing.encoded(rest).tables.items():
        assert left.tables[name].groups.tolist() == table.groups.tolist()
        assert left.tables[name].keys.tolist() == table.keys.tolist()
        for one, other in zip(left.tables[name].evidence, table.evidence):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    with pytest.raises(InputError, match=f"{count} of .* are in the store"):
        storing.encoded(part, by_beam, update)
    assert len(encoded) == 2


def test_shares_add_up_in_any_order(generator):
    parts = [
        beam.Share(
            np.arange(first, 3, dtype=np.uint64),
            Evidence(*generator.uniform(size=(2, 3))),
        )
        for first in (2, 1, 0)
    ]
    total = beam.add_up(iter(parts))
    assert total.keys.dtype == np.uint64
    assert sorted(total.keys.tolist()) == [0, 1, 1, 2, 2, 2]
    for row, column in enumerate(total.evidence):
        expected = sum(part.evidence[row] for part in parts)
        np.testing.assert_allclose(column, expected)
    other = beam.add_up([parts[2], beam.add_up(parts[:2])])
    assert sorted(other.keys.tolist()) == sorted(total.keys.tolist())
    np.testing.assert_allclose(other.evidence, total.evidence)


def test_what_is_unknown_has_no_key(make_model, generator):
    """Shares of a batch have the keys of what is known, by group."""
    images = generator.uniform(size=(6, 4, 4, 1)).astype(np.float32)
    images[[1, 4]] = np.nan
    ids, keys = np.array(list("bababc")), np.arange(6, dtype=np.uint64)
    likelihood = make_model(missing_values=True).codec.likelihood
    part = GroupedData.of(images, ids, keys)
    batch = encoding.read_batch(part, 0, 6, likelihood)
    level = batch.levels["content"]
    assert level.groups.tolist() == [0, 1, 2]
    counts, keys = encoding.told(level, batch.keys)
    assert counts.tolist() == [1, 2, 1]
    assert keys.tolist() == [3, 0, 2, 5]
    assert batch.heard.tolist() == [True, False, True, True, False, True]


def test_mistakes(make_run, tmp_path):
    folder = make_run(["a", "b"])
    output = tmp_path / "a.parquet"
    with pytest.raises(InputError, match="Unexpected pipeline runner: Foo"):
        both(folder, output, ["--runner=Foo"])
    (about,) = (folder / "export" / "1").rglob("model.json")
    described = json.loads(about.read_text())
    about.write_text(json.dumps({**described, "model": "0" * 16}))
    with pytest.raises(InputError, match="is of another model than the run's"):
        both(folder, output, THREADS)
    about.write_text(json.dumps(described))
    with np.load(folder / "data.npz") as data:
        arrays = dict(data)
    arrays["observations"] = arrays["observations"].astype(np.float32)
    np.savez(folder / "data.npz", **arrays)
    beam._opened.cache_clear()
    with pytest.raises(InputError, match=r"in \[0, 1\] .* got values"):
        both(folder, output, THREADS)
    assert not list(tmp_path.iterdir())
