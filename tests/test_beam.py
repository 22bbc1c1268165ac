import json

import numpy as np
import pytest
from scripts import script

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.sources import npz
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.runs.encoding import Task
from mlvae_tf.store import beam, encoding
from mlvae_tf.store.table import ContentStore

THREADS = "--direct_running_mode=multi_threading", "--direct_num_workers=2"
PROCESSES = "--direct_running_mode=multi_processing", "--direct_num_workers=2"


def assert_equal(left, right):
    assert left.groups.tolist() == right.groups.tolist()
    assert left.groups.dtype.kind == right.groups.dtype.kind
    assert left.counts.tolist() == right.counts.tolist()
    assert left.keys.tolist() == right.keys.tolist()
    assert (left.rule, left.fingerprint) == (right.rule, right.fingerprint)
    # The same program and shapes; only the order of the sums differs.
    for a, b in zip(left.evidence, right.evidence):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def both(folder, output, arguments):
    """The store by the pipeline, and by `encoding.encode`."""
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
    assert known.counts.sum() == 50
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
    known = ContentStore.load(path)
    assert_equal(known, some.merge(encoding.encode(model, [part[41:]], 8)))
    assert known.keys.tolist() == expected.keys.tolist()


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
    assert batch.groups.tolist() == [0, 1, 2]
    assert batch.counts().tolist() == [1, 2, 1]
    assert batch.keys_by_group().tolist() == [3, 0, 2, 5]


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
