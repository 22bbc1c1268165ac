"""A training that starts from another run's model."""

import json
import warnings

import keras
import numpy as np
import pytest
from scripts import SMALL, assert_fails, script

pytestmark = pytest.mark.slow  # Trainings, one after the other.


@pytest.fixture(scope="module")
def source(tmp_path_factory, dataset):
    folder = tmp_path_factory.mktemp("source") / "run"
    process = script(
        "train.py",
        f"--dataset={dataset}",
        f"--workdir={folder}",
        *SMALL,
        "--epochs=3",
        "--style_flow=2",
        "--activation=tanh",
    )
    assert process.returncode == 0, process.stderr
    return folder


def start(source, folder, *flags):
    return script(
        "train.py",
        f"--init_from={source}",
        f"--workdir={folder}",
        "--epochs=1",
        *flags,
    )


def model_of(folder):
    return keras.saving.load_model(folder / "model.keras")


def test_weights_and_settings_are_those_of_the_run(source, tmp_path):
    process = start(source, tmp_path / "run", "--learning_rate=1e-9")
    assert process.returncode == 0, process.stderr
    before, after = model_of(source), model_of(tmp_path / "run")
    pairs = before.trainable_weights, after.trainable_weights
    for old, new in zip(*pairs, strict=True):  # Not the flow, fitted anew.
        np.testing.assert_allclose(old.numpy(), new.numpy(), atol=1e-6)
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["model"]["activation"] == "tanh"
    assert record["training"]["epochs"] == 1
    assert record["training"]["init_from"] == str(source)


def test_a_dry_run_tells_of_the_settings_of_the_run(source, tmp_path):
    process = start(source, tmp_path / "run", "--dry_run")
    assert process.returncode == 0, process.stderr
    assert "chosen: likelihood" not in process.stdout
    rows = [line.rsplit(maxsplit=1) for line in process.stdout.splitlines()]
    said = {row[0].strip(): row[1] for row in rows if len(row) == 2}
    size = sum(np.size(w) for w in model_of(source).decoder.get_weights())
    assert said["parameters, decoder"] == f"{size:,}"
    assert not (tmp_path / "run").exists()
    assert_fails(script("train.py", "--resume", "--dry_run"), "drop one of")


def test_other_data_and_frozen_networks(source, tmp_path, generator):
    images = generator.uniform(size=(20, 8, 8, 1))
    ids = np.repeat(list("abcd"), 5)
    np.savez(tmp_path / "other.npz", observations=images, group_ids=ids)
    process = start(
        source,
        tmp_path / "run",
        f"--dataset=npz:{tmp_path / 'other.npz'}",
        "--freeze=encoder,content_head",
    )
    assert process.returncode == 0, process.stderr
    assert "16 observations of 4 groups" in process.stdout
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Of an optimizer that does not fit.
        before, after = model_of(source), model_of(tmp_path / "run")
    for name, frozen in (
        ("encoder", True),
        ("content_head", True),
        ("decoder", False),
        ("style_head", False),
    ):
        pairs = zip(
            getattr(before, name).get_weights(),
            getattr(after, name).get_weights(),
            strict=True,
        )
        same = all(np.array_equal(old, new) for old, new in pairs)
        assert same == frozen, name
        assert getattr(after, name).trainable == (not frozen)
    old, new = (m.flow.variables_to_fit[0].numpy() for m in (before, after))
    assert not np.array_equal(old, new)  # Fitted anew.


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--content_dim=4", "same networks and observations"),
        ("--style_flow=0", "same networks"),
        ("--freeze=content", "encoder, decoder, content_head, style_head"),
        ("--workdir={source}", "must be another run than --workdir"),
        ("--init_from=/nowhere", "holds no run"),
    ],
)
def test_what_cannot_be_started_from(source, tmp_path, flag, words):
    flag = flag.format(source=source)
    flags = [flag] + ["--overwrite"] * flag.startswith("--workdir")
    before = (source / "model.keras").read_bytes()
    assert_fails(start(source, tmp_path / "run", *flags), words)
    assert not (tmp_path / "run" / "config.json").exists()
    assert (source / "model.keras").read_bytes() == before
