"""A row per observation."""

import csv
import gzip
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from pictures import write_images
from scripts import script

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.runs import workdir
from mlvae_tf.runs.encoding import Task
from mlvae_tf.store import columns, embeddings
from mlvae_tf.store.embeddings import Part

VECTORS = {
    **dict.fromkeys(("content_loc", "content_scale"), 3),
    **dict.fromkeys(("style_loc", "style_scale"), 2),
}


@pytest.fixture
def data(generator):
    images = generator.integers(0, 256, (9, 4, 4, 1), np.uint8)
    return GroupedData.of(images, np.array(list("bacabbdea")))


def written(path, model, parts, **settings):
    """The columns of the Parquet that is written."""
    embeddings.write(model, parts, path, **settings)
    return pq.read_table(path).to_pydict()


def assert_encoded(table, model, values):
    """Its vectors are what the model infers of the observations."""
    content, style = model.infer_observations(values)
    expected = content.loc, content.scale, style.loc, style.scale
    for name, tensor in zip(VECTORS, expected, strict=True):
        np.testing.assert_allclose(table[name], tensor, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("settings", [{}, {"style_flow": 1}])
def test_is_what_the_model_infers(
    make_model, data, batch_size, settings, tmp_path
):
    model = make_model(**settings)
    path = tmp_path / "a.parquet"
    rows = np.arange(9)
    parts = [Part(data[:5], rows[:5], "train"), Part(data[5:], rows[:4], "t")]
    table = written(path, model, parts, batch_size=batch_size)
    assert list(table) == ["row", "split", "group", *VECTORS]
    assert table["row"] == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert table["split"] == ["train"] * 5 + ["t"] * 4
    assert "".join(table["group"]) == "bacabbdea"
    assert_encoded(table, model, data.values())


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_a_csv_has_the_same_numbers(make_model, data, suffix, tmp_path):
    model, parts = make_model(dtype="float32"), [Part(data, np.arange(9))]
    table = written(tmp_path / "a.parquet", model, parts)
    embeddings.write(model, parts, tmp_path / f"a{suffix}", batch_size=4)
    opened = gzip.open if suffix.endswith(".gz") else open
    with opened(tmp_path / f"a{suffix}", "rt", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == [
        *("row", "group"),
        *(
            f"{name}_{place}"
            for name, dim in VECTORS.items()
            for place in range(dim)
        ),
    ]
    read = np.array([line[2:] for line in lines]).astype(np.float32)
    expected = np.concatenate([table[name] for name in VECTORS], axis=1)
    # Another batch size rounds otherwise; the same would be equal.
    np.testing.assert_allclose(read, expected, rtol=1e-5, atol=1e-6)
    embeddings.write(model, parts, tmp_path / f"b{suffix}")
    with opened(tmp_path / f"b{suffix}", "rt", newline="") as file:
        _, *lines = csv.reader(file)
    read = np.array([line[2:] for line in lines]).astype(np.float32)
    assert np.array_equal(read, expected.astype(np.float32))
    assert [line[:2] for line in lines] == [
        [str(row), group] for row, group in enumerate("bacabbdea")
    ]


def test_what_is_unknown_is_null(make_model, generator, tmp_path):
    model = make_model(missing_values=True)
    images = generator.uniform(size=(5, 4, 4, 1)).astype(np.float32)
    images[[1, 4]] = np.nan
    images[2, 0] = np.nan
    data = GroupedData.of(images, np.arange(5))
    table = written(tmp_path / "a.parquet", model, [Part(data, np.arange(5))])
    for name, dim in VECTORS.items():
        assert table[name][1] == table[name][4] == [None] * dim
    assert table["group"] == [0, 1, 2, 3, 4]
    known = [0, 2, 3]
    rows = {name: [table[name][row] for row in known] for name in VECTORS}
    assert_encoded(rows, model, images[known])
    embeddings.write(model, [Part(data, np.arange(5))], tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[2] == ["1", "1", *[""] * 10]
    assert "" not in lines[3]


def test_rows_are_written_as_they_come(make_model, data, tmp_path, monkeypatch):
    """Whole or not at all; Parquet by groups of rows."""
    monkeypatch.setattr(columns, "_ROW_GROUP", 3)
    model, parts = make_model(), [Part(data, np.arange(9))]
    path = tmp_path / "a.parquet"
    table = written(path, model, parts, batch_size=2)
    file = pq.ParquetFile(path)
    sizes = [
        file.metadata.row_group(number).num_rows
        for number in range(file.num_row_groups)
    ]
    assert sizes == [4, 4, 1]
    assert table["row"] == list(range(9))
    before = path.read_bytes()
    values = np.full((4, 4, 4, 1), 0.5, np.float32)
    values[3] = 7
    bad = GroupedData.of(values, np.arange(4))
    for name in ("a.parquet", "b.csv"):
        with pytest.raises(InputError, match=r"got values from .* to 7"):
            embeddings.write(
                model, [Part(bad, np.arange(4))], tmp_path / name, batch_size=2
            )
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]


def test_other_shapes_are_refused_before(make_model, data, tmp_path):
    other = GroupedData.of(np.zeros((2, 5, 5, 1), np.uint8), np.arange(2))
    parts = [Part(data, np.arange(9)), Part(other, np.arange(2))]
    with pytest.raises(InputError, match="observations must have shape"):
        embeddings.write(make_model(), parts, tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def some_run(make_run):
    return make_run(["ann"])


@pytest.fixture
def photographs(some_run, tmp_path):
    """A run on a folder with a test split, trained on some of it."""
    run = tmp_path / "run"
    shutil.copytree(some_run, run)
    write_images(tmp_path / "data" / "train", count=4, shape=(4, 4))
    write_images(tmp_path / "data" / "test", ("bob", "cy"), 2, (4, 4))
    record = json.loads((run / "config.json").read_text())
    record["data"]["dataset"] = f"folder:{tmp_path / 'data'}"
    (run / "config.json").write_text(json.dumps(record))
    train, _ = Task.of(run, {}, None, 16).parts()
    workdir.remember_trained(run, np.delete(train.keys, [1, 6]))
    return run


def test_script_names_the_files_of_a_folder(photographs, tmp_path):
    output = tmp_path / "a.parquet"
    flags = f"--workdir={photographs}", "--per_observation"
    process = script("encode.py", *flags, f"--output={output}")
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == [
        "12 images in 3 groups",
        f"12 observations: {output}",
    ]
    table = pq.read_table(output).to_pydict()
    assert list(table) == ["row", "path", "split", "group", *VECTORS]
    assert table["row"] == [*range(8), *range(4)]
    assert table["split"] == ["train"] * 8 + ["test"] * 4
    groups = table["group"]
    assert groups == ["ann"] * 4 + ["bob"] * 6 + ["cy"] * 2
    numbers = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 0, 1]
    root = tmp_path / "data"
    assert table["path"] == [
        str(root / split / group / f"{number}.png")
        for split, group, number in zip(table["split"], groups, numbers)
    ]
    parts = Task.of(photographs, {}, None, 16).parts()
    values = np.concatenate([part.values() for part in parts])
    assert_encoded(table, workdir.load_model(photographs), values)


def test_script_writes_one_split(photographs, tmp_path):
    """With the rows' numbers in the dataset, and as CSV."""
    output = tmp_path / "a.csv"
    flags = f"--workdir={photographs}", "--per_observation"
    process = script(
        "encode.py", *flags, f"--output={output}", "--split=validation"
    )
    assert process.returncode == 0, process.stderr
    images, division, last = process.stdout.splitlines()
    assert images == "12 images in 3 groups"
    assert "6 observations of 2 groups to learn from" in division
    assert last == f"2 observations: {output}"
    with open(output, newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines] == ["1", "6"]
    assert [line["split"] for line in lines] == ["train", "train"]
    data = tmp_path / "data" / "train"
    assert [line["path"] for line in lines] == [
        str(data / "ann" / "1.png"),
        str(data / "bob" / "2.png"),
    ]
    parts, _ = Task.of(photographs, {}, "unseen", 16).open()
    assert [(part.split, part.rows.tolist()) for part in parts] == [
        ("test", [2, 3])
    ]


def test_script_names_the_damaged_file(photographs, tmp_path):
    """Found only as it is read; nothing is left behind."""
    path = tmp_path / "data" / "test" / "cy" / "1.png"
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(content)
    output = tmp_path / "a.parquet"
    process = script(
        "encode.py",
        f"--workdir={photographs}",
        "--per_observation",
        f"--output={output}",
        "--batch_size=2",
    )
    assert process.returncode == 2
    *_, last = process.stderr.splitlines()  # After the bar.
    assert f"1 of 4 observations cannot be read: {path}" in last
    assert not list(tmp_path.glob("*a.parquet"))


def test_averages_need_not_add_up(make_run, tmp_path):
    run = make_run(["a", "b"], accumulation="average")
    model = workdir.load_model(run)
    (part,), _ = Task.of(run, {}, None, 16).open()
    table = written(tmp_path / "a.parquet", model, [part])
    assert list(table) == ["row", "group", *VECTORS]
    assert_encoded(table, model, part.data.values())
