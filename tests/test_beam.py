import numpy as np
import pytest
from scripts import script

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
    assert (left.rule, left.model) == (right.rule, right.model)
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


@pytest.mark.parametrize("groups", [["b", "ä", "c"], [7, -1, 2**40]])
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


def test_script(make_run, tmp_path):
    folder, path = make_run([1, 2, 3]), tmp_path / "a.parquet"
    flags = f"--workdir={folder}", f"--output={path}", "--batch_size=8"
    process = script("encode.py", *flags, "--beam", "--", *THREADS)
    assert process.returncode == 0, process.stderr
    assert process.stdout == f"50 observations, 3 groups: {path}\n"
    task = Task.of(folder, {}, None, 8)
    expected = encoding.encode(task.load_model(), task.parts(), 8)
    assert_equal(ContentStore.load(path), expected)


def test_shares_add_up_in_any_order(generator):
    parts = [
        beam.Share(count, Evidence(*generator.uniform(size=(2, 3))))
        for count in (1, 2, 3)
    ]
    total = beam.add_up(parts)
    assert total.count == 6
    for row, column in enumerate(total.evidence):
        expected = sum(part.evidence[row] for part in parts)
        np.testing.assert_allclose(column, expected)
    other = beam.add_up([parts[2], beam.add_up(parts[:2])])
    np.testing.assert_allclose(other.evidence, total.evidence)


def test_mistakes(make_run, tmp_path):
    folder = make_run(["a", "b"])
    output = tmp_path / "a.parquet"
    with pytest.raises(InputError, match="Unexpected pipeline runner: Foo"):
        both(folder, output, ["--runner=Foo"])
    with np.load(folder / "data.npz") as data:
        arrays = dict(data)
    arrays["observations"] = arrays["observations"].astype(np.float32)
    np.savez(folder / "data.npz", **arrays)
    beam._opened.cache_clear()
    with pytest.raises(InputError, match=r"in \[0, 1\] .* got values"):
        both(folder, output, THREADS)
    assert not list(tmp_path.iterdir())
