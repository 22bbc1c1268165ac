"""A trained run: what it leaves, what it can be asked, what it refuses."""

import html
import json
import re
import shlex
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scripts import ROOT, SMALL, assert_fails, new_script, script, weights


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    """A trained and evaluated run: its folder and what evaluate.py printed."""
    folder = tmp_path_factory.mktemp("run") / "a"
    trained = new_script(
        "train.py",
        f"--workdir={folder}",
        f"--dataset={dataset}",
        "--epochs=60",
        "--holdout_observations=0.5",
        "--evaluate_epochs=30",
        *SMALL,
    )
    assert trained.returncode == 0, trained.stderr
    evaluated = new_script("evaluate.py", f"--workdir={folder}")
    assert evaluated.returncode == 0, evaluated.stderr
    return folder, trained, evaluated


def test_the_run_leaves_what_it_should(run):
    folder, trained, _ = run
    names = {
        "config.json",
        "trained_on.npy",
        "checkpoints",
        "logs",
        "model.keras",
        "identification.npz",
        "doubts.json",
        "export",
        "evaluation",
    }
    assert {path.name for path in folder.iterdir()} == names
    assert "elbo" in trained.stderr  # The progress bar shows the terms.
    config = json.loads((folder / "config.json").read_text())
    assert config["training"]["epochs"] == 60
    assert config["data"]["holdout_observations"] == 0.5
    assert config["versions"]["tensorflow"] == tf.__version__
    model = keras.saving.load_model(folder / "model.keras")
    assert model.observation_shape == (8, 8, 1)
    served = tf.saved_model.load(str(folder / "export" / "1"))
    assert "infer_groups" in served.signatures
    assert not list(folder.rglob(".partial*"))


def test_metrics(run):
    folder, _, evaluated = run
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    counts = ["1", "2", "3", "5", "all"]  # Of six.
    assert list(metrics["content_accuracy"]) == counts
    assert metrics["content_accuracy"]["5"] == 1
    assert list(metrics["swap"]["content_group"]) == counts
    assert metrics["swap"]["judge_accuracy"] == 1
    assert metrics["importance_weighted_bound"] > metrics["group_elbo"]
    assert list(metrics["calibration"]) == ["1", "2", "3"]
    assert (
        metrics["content_entropy"].keys() == metrics["content_accuracy"].keys()
    )
    assert metrics["chance_accuracy"] == pytest.approx(1 / 3)
    for name in ("style_accuracy", "style_entropy", "group_elbo"):
        assert np.isfinite(metrics[name])
    assert re.search(r"content accuracy, k = 5 +1\.000", evaluated.stdout)
    assert evaluated.stderr == ""
    assert "report.html" in evaluated.stdout


def test_report(run):
    folder, _, _ = run
    names = {path.stem for path in (folder / "evaluation").glob("*.png")}
    assert names == {
        *("sample", "accuracy", "confusion", "calibration", "map"),
        *("swap", "swap_single", "interpolate", "generate", "reconstruct"),
    }
    for name in names:
        with Image.open(folder / "evaluation" / f"{name}.png") as picture:
            assert min(picture.size) > 200
    page = (folder / "evaluation" / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page.split("</style>")[1]  # One file, all inside.
    assert "--holdout_observations=0.5" in page
    assert tf.__version__ in page


def test_the_commands_of_a_report_give_its_configuration_back(run):
    folder, _, _ = run
    page = html.unescape((folder / "evaluation" / "report.html").read_text())
    train = next(x for x in page.splitlines() if "python train.py" in x)
    arguments = shlex.split(train.split("python train.py")[1])
    # The flags are parsed as the script does, in a process of their own.
    code = (
        "__flags_first__ = True\n"
        "import json, sys\n"
        "from absl import flags\n"
        "from mlvae_tf.commands import train\n"
        "from mlvae_tf.runs import config\n"
        "train._define_flags()\n"
        "flags.FLAGS(['train.py', *sys.argv[1:]])\n"
        "print(json.dumps(config.Config().replace(train._settings()).flat()))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    config = json.loads((folder / "config.json").read_text())
    sections = config["data"] | config["model"] | config["training"]
    assert json.loads(process.stdout) == sections
    assert "evaluate.py" in page
    assert "--evidence_counts=1,2,3,5,10,all" in page


def test_tensorboard(run):
    folder, _, _ = run
    tags = {}
    for path in (folder / "logs").rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                tags.setdefault(path.parent.name, []).append(value.tag)
    for term in ("loss", "elbo", "reconstruction", "content_kl", "style_kl"):
        assert tags["train"].count(f"epoch_{term}") == 60
        assert tags["validation"].count(f"epoch_{term}") == 2
    for extra in (
        "learning_rate",
        "observations_per_second",
        "content_kl_weight",
        "style_kl_weight",
    ):
        assert tags["train"].count(f"epoch_{extra}") == 60
    some, rest = ["swap", "reconstruct"], ["generate", "interpolate"]
    drawn = [f"pictures/{kind}" for kind in (*some, *some, *rest)]
    assert sorted(tags["images"]) == sorted(drawn)


@pytest.mark.slow
def test_several_seeds(run, tmp_path):
    folder, _, _ = run
    shutil.copytree(folder, tmp_path / "run")
    arguments = f"--workdir={tmp_path / 'run'}", "--seeds=2"
    process = script("evaluate.py", *arguments, "--evidence_counts=1,5")
    assert process.returncode == 0, process.stderr
    first, second = (
        json.loads((path / "evaluation" / "metrics.json").read_text())
        for path in (tmp_path / "run", tmp_path / "run" / "seeds" / "1")
    )
    values = [metrics["group_elbo"] for metrics in (first, second)]
    assert values[0] != values[1]
    cells = np.mean(values), min(values), max(values)
    line = " +".join(f"{value:.1f}" for value in cells)
    assert re.search(f"group elbo +{line}", process.stdout)
    page = (tmp_path / "run" / "evaluation" / "report.html").read_text()
    assert "Several seeds" in page
    assert "--seeds=2" in page
    other = json.loads((tmp_path / "run/seeds/1/config.json").read_text())
    assert other["training"]["seed"] == 1
    # What is trained is not trained again.
    model = tmp_path / "run" / "seeds" / "1" / "model.keras"
    before = model.stat().st_mtime_ns
    again = script("evaluate.py", *arguments, "--evidence_counts=1")
    assert again.returncode == 0, again.stderr
    assert model.stat().st_mtime_ns == before


@pytest.mark.slow
def test_another_dataset_can_be_evaluated(run, dataset):
    folder, _, _ = run
    before = (folder / "config.json").read_bytes()
    arguments = f"--workdir={folder}", "--evidence_counts=3"
    again = script("evaluate.py", *arguments, f"--dataset={dataset}")
    assert again.returncode == 0, again.stderr
    assert "content accuracy, k = 3" in again.stdout
    assert (folder / "config.json").read_bytes() == before


def test_a_run_is_not_overwritten(run, dataset):
    folder, _, _ = run
    process = script("train.py", f"--workdir={folder}", f"--dataset={dataset}")
    assert_fails(process, "holds a run already", "--resume", "--overwrite")


@pytest.mark.parametrize(
    ("flag", "word"),
    [
        ("--holdout_observations=0.9", "the run's own"),
        ("--evidence_counts=0", "positive integers"),
        ("--evidence_counts=50", "at most 6"),
    ],
)
def test_evaluations_that_make_no_sense(run, flag, word):
    folder, _, _ = run
    assert_fails(script("evaluate.py", f"--workdir={folder}", flag), word)


@pytest.fixture
def copied(run, tmp_path):
    """A run to be damaged: its folder and the path of its last checkpoint."""
    shutil.copytree(run[0], tmp_path / "run")
    folder = tmp_path / "run/checkpoints"
    (index,) = folder.glob("ckpt-*.index")  # In less than a minute.
    return tmp_path / "run", index.with_suffix("")


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_no_checkpoint_that_can_be_read(copied):
    folder, last = copied
    data = last.with_suffix(".data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:100])
    before = contents(folder)
    arguments = f"--workdir={folder}", "--resume", "--epochs=61"
    assert_fails(
        script("train.py", *arguments),
        f"no checkpoint in {folder / 'checkpoints'} can be read",
        f"{last.name} is damaged",
        "start over with --overwrite",
    )
    assert contents(folder) == before


def test_the_last_whole_checkpoint_is_found_without_being_named(copied):
    folder, last = copied
    step = int(last.name.removeprefix("ckpt-"))
    (folder / "checkpoints/checkpoint").rename(folder / "checkpoints/old")
    (folder / f"checkpoints/ckpt-{step + 1}.index").write_bytes(b"")
    process = script("train.py", f"--workdir={folder}", "--resume")
    assert process.returncode == 0, process.stderr
    said = process.stderr.splitlines()[0]
    assert said.startswith(f"train.py: warning: ckpt-{step + 1} is damaged (")
    assert said.endswith("passed over")
    assert f"resuming at step {step} of {step}\n" in process.stdout


def test_a_trained_run_without_its_checkpoints(copied):
    folder, _ = copied
    shutil.rmtree(folder / "checkpoints")
    before = contents(folder)
    process = script("train.py", f"--workdir={folder}", "--resume")
    assert_fails(process, "a trained model but no checkpoint", "--overwrite")
    assert contents(folder) == before


def test_resuming_to_fewer_epochs(run):
    folder, _, _ = run
    process = script(
        "train.py", f"--workdir={folder}", "--resume", "--epochs=9"
    )
    assert_fails(process, "--epochs=9 ends at step ", "Pass --epochs=60 or")
    config = json.loads((folder / "config.json").read_text())
    assert config["training"]["epochs"] == 60


def test_a_damaged_model(run, tmp_path):
    folder, _, _ = run
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "model.keras").write_bytes(b"PK")
    process = script("evaluate.py", f"--workdir={tmp_path / 'run'}")
    assert_fails(process, "model.keras is damaged", "--resume")


def test_a_bad_flag_does_not_cost_the_old_run(run):
    folder, _, _ = run
    process = script(
        "train.py", f"--workdir={folder}", "--overwrite", "--dataset=npz:/no"
    )
    assert_fails(process, "npz:/no: there is no such file")
    arguments = f"--workdir={folder}", "--overwrite", "--learning_rate=nan"
    assert_fails(script("train.py", *arguments), "--learning_rate", "finite")
    assert (folder / "model.keras").exists()


def test_resume_refuses_other_settings(run):
    folder, _, _ = run
    process = script(
        "train.py", f"--workdir={folder}", "--resume", "--style_dim=5"
    )
    assert_fails(process, "--style_dim=5 (was 2)", "--overwrite")


@pytest.mark.slow
def test_reading_from_the_disk_changes_nothing(run, dataset, tmp_path):
    folder, _, kept = run
    streamed = tmp_path / "run"
    trained = script(
        "train.py",
        f"--workdir={streamed}",
        f"--dataset={dataset}",
        "--epochs=60",
        "--holdout_observations=0.5",
        "--evaluate_epochs=30",
        "--memory_gb=0",
        *SMALL,
    )
    assert trained.returncode == 0, trained.stderr
    for a, b in zip(weights(folder), weights(streamed)):
        np.testing.assert_array_equal(a, b)
    again = script(
        "train.py", f"--workdir={streamed}", "--resume", "--memory_gb=1"
    )
    assert again.returncode == 0, again.stderr
    evaluated = script("evaluate.py", f"--workdir={streamed}", "--memory_gb=0")
    assert evaluated.returncode == 0, evaluated.stderr
    found, expected = (
        process.stdout.split("Report:")[0] for process in (evaluated, kept)
    )
    assert "content accuracy" in found
    assert found == expected


def test_evaluate_wants_observations_of_the_models_shape(run, tmp_path):
    folder, _, _ = run
    path = tmp_path / "data.npz"
    np.savez(path, observations=np.zeros((9, 4)), group_ids=np.arange(9))
    process = script(
        "evaluate.py", f"--workdir={folder}", f"--dataset=npz:{path}"
    )
    assert_fails(process, "[N, 8, 8, 1]", "(9, 4)")
