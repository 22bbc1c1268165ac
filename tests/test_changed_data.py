"""Data that have changed since a run was trained on them, and tiny data."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scripts import SMALL, assert_fails, script

ONCE = ["--epochs=1", *SMALL, "--groups_per_batch=3"]


def draw(folder, group, names):
    (folder / group).mkdir(parents=True, exist_ok=True)
    for name in names:
        generator = np.random.default_rng(ord(group[0]) * 1000 + name)
        pixels = generator.integers(0, 256, (6, 5), np.uint8)
        Image.fromarray(pixels).save(folder / group / f"{name:02d}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of pictures, and a run on it."""
    folder = tmp_path_factory.mktemp("trained")
    for group in ("ann", "bob", "cat"):
        draw(folder / "data", group, range(12))
    process = script(
        "train.py",
        f"--dataset=folder:{folder / 'data'}",
        f"--workdir={folder / 'run'}",
        *ONCE,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[:2] == [
        "36 images in 3 groups",
        "30 observations of 3 groups to learn from; 6 more of them held out",
    ]
    return folder


@pytest.fixture
def changed(trained, tmp_path):
    """A copy of the run, whose data may be changed."""
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copytree(trained / "data", tmp_path / "data")
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    record["data"]["dataset"] = f"folder:{tmp_path / 'data'}"
    (tmp_path / "run" / "config.json").write_text(json.dumps(record))
    return tmp_path


def encoded(folder, split):
    process = script(
        "encode.py",
        f"--workdir={folder / 'run'}",
        f"--output={folder / split}.parquet",
        f"--split={split}",
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.slow
def test_new_observations_are_held_out(changed):
    for group in ("ann", "bob", "cat"):
        draw(changed / "data", group, range(50, 53))
    draw(changed / "data", "dan", range(4))
    assert "30 observations, 3 groups" in encoded(changed, "train")
    assert "15 observations, 3 groups" in encoded(changed, "validation")
    assert "4 observations, 1 groups" in encoded(changed, "unseen")
    process = script("evaluate.py", f"--workdir={changed / 'run'}")
    assert process.returncode == 0, process.stderr
    assert (
        "30 observations of 3 groups to learn from; 15 more of them held out; "
        "4 of 1 other groups held out" in process.stdout
    )


def resumed(folder, *flags):
    return script("train.py", f"--workdir={folder / 'run'}", "--resume", *flags)


@pytest.mark.slow
@pytest.mark.slow
def test_a_run_goes_on_with_what_it_was_trained_on(changed):
    draw(changed / "data", "ann", [50])
    draw(changed / "data", "dan", range(4))
    process = resumed(changed, "--epochs=2")
    assert process.returncode == 0, process.stderr
    assert "30 observations of 3 groups to learn from" in process.stdout


@pytest.mark.slow
def test_a_run_does_not_go_on_without(changed):
    for name in range(12):
        (changed / "data" / "bob" / f"{name:02d}.png").unlink()
    draw(changed / "data", "bob", range(60, 72))
    assert_fails(
        resumed(changed, "--epochs=2"),
        "the data have changed since the run began: 10 of the 30",
        "--overwrite",
    )


@pytest.mark.slow
def test_a_dataset_that_has_been_replaced(changed):
    shutil.rmtree(changed / "data")
    for group in ("ann", "bob", "cat"):
        draw(changed / "data", group, range(80, 92))
    assert_fails(
        resumed(changed, "--epochs=2"), "the data have changed", "30 of the 30"
    )
    # To evaluate.py and encode.py, it is another dataset.
    assert "30 observations" in encoded(changed, "train")


@pytest.mark.slow
def test_without_the_record_nothing_is_taken_for_held_out(changed):
    (changed / "run" / "trained_on.npy").write_bytes(b"\x93NUMPY")
    process = script("evaluate.py", f"--workdir={changed / 'run'}")
    assert_fails(process, "trained_on.npy", "missing or damaged")
    (changed / "run" / "trained_on.npy").unlink()
    assert_fails(resumed(changed, "--epochs=2"), "trained_on.npy", "missing")
    process = script(
        "encode.py",
        f"--workdir={changed / 'run'}",
        f"--output={changed / 'out.parquet'}",
        "--split=train",
    )
    assert process.returncode == 0, process.stderr
    assert "30 observations, 3 groups" in process.stdout
    assert "encode.py: warning:" in process.stderr
    assert "the data are divided anew" in process.stderr


def train(folder, observations, ids, *flags):
    np.savez(folder / "data.npz", observations=observations, group_ids=ids)
    return script(
        "train.py",
        f"--dataset=npz:{folder / 'data.npz'}",
        f"--workdir={folder / 'run'}",
        *ONCE,
        *flags,
    )


@pytest.fixture
def images(generator):
    return generator.integers(0, 256, (60, 4, 4), np.uint8)


@pytest.mark.slow
def test_a_rewritten_archive(tmp_path, images):
    """In another order, with more observations: what was trained on stays."""
    ids = np.arange(60) % 5
    assert train(tmp_path, images[:50], ids[:50]).returncode == 0
    assert "40 observations" in encoded(tmp_path, "train")
    order = np.random.default_rng(3).permutation(60)
    np.savez(
        tmp_path / "data.npz", observations=images[order], group_ids=ids[order]
    )
    (tmp_path / "train.parquet").unlink()
    assert "40 observations" in encoded(tmp_path, "train")
    assert "20 observations" in encoded(tmp_path, "validation")
    assert_fails(resumed(tmp_path, "--epochs=2"), "are in another order")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.zeros(60, int), "there is one group to learn from, 0"),
        (np.arange(60), "every one of the 48 groups to learn from has a singl"),
    ],
)
def test_groups_that_tell_nothing(tmp_path, images, ids, message):
    assert_fails(train(tmp_path, images, ids), message)
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
def test_a_fraction_that_holds_nothing_out(tmp_path, images):
    ids = np.arange(60) // 2
    process = train(tmp_path, images, ids, "--holdout_observations=0.2")
    assert_fails(
        process,
        "holds nothing out of groups of at most 2",
        "such as 0.5",
        "--holdout_groups=0.2",
    )
    process = train(tmp_path, images, ids, "--holdout_groups=0.2")
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_one_group_of_many_is_not_measured(tmp_path, images):
    ids = np.append(np.zeros(30, int), np.arange(30) // 2 + 1)
    process = train(tmp_path, images, ids, "--holdout_observations=0.2")
    assert process.returncode == 0, process.stderr
    assert "6 more of them held out (15 groups are too small" in process.stdout
    process = script("evaluate.py", f"--workdir={tmp_path / 'run'}")
    assert process.returncode == 2
    assert "to evaluate on (all are of 0): its 16 groups" in process.stderr
    assert "Train with --holdout_groups=0.2" in process.stderr
    process = train(tmp_path, images, ids, "--overwrite")
    assert "4 of 2 other groups held out" in process.stdout or (
        "6 of 3 other groups held out" in process.stdout
    )


@pytest.mark.slow
@pytest.mark.slow
def test_damaged_files_are_listed_in_the_record(changed):
    (changed / "data" / "bob" / "03.png").write_bytes(b"\x89PNG")
    flags = f"--dataset=folder:{changed / 'data'}", *ONCE
    again = f"--workdir={changed / 'again'}"
    assert_fails(script("train.py", again, *flags), "1 of 36", "03.png")
    process = script("train.py", again, *flags, "--skip_bad")
    assert process.returncode == 0, process.stderr
    record = json.loads((changed / "again" / "config.json").read_text())
    assert record["skipped"]["count"] == 1
    assert "bob/03.png" in record["skipped"]["files"][0]
    assert "1 files skipped" in process.stdout
