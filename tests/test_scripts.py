"""The scripts as a user runs them: in a process of their own."""

import gc
import json
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import sklearn.datasets
import sklearn.preprocessing
from PIL import Image
from scripts import (
    ROOT,
    SMALL,
    assert_fails,
    command,
    environment,
    new_script,
    script,
    weights,
)

from mlvae_tf.runs import command_line
from mlvae_tf.runs.presets import PRESETS
from mlvae_tf.runs.workdir import load_model


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(dataset, tmp_path, sent):
    arguments = f"--workdir={tmp_path / 'run'}", f"--dataset={dataset}"
    endless = "--epochs=100000", "--checkpoint_seconds=1"
    process = subprocess.Popen(
        command("train.py", *arguments, *endless),
        stderr=subprocess.PIPE,
        text=True,
        # A shell has it ignored by what it starts in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # Not sooner: Python may lose an interrupt while TensorFlow compiles.
    while not (tmp_path / "run/checkpoints/checkpoint").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(sent)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in printed.splitlines()[-1]
    assert "Traceback" not in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "evaluate_epochs"),
    [("product", 2), ("average", 3)],  # With validation, and without.
)
def test_chunks_change_nothing_but_rounding(
    rule, evaluate_epochs, tmp_path, generator
):
    path = tmp_path / "data.npz"
    np.savez(
        path,
        observations=generator.integers(0, 256, (60, 4, 4, 1), np.uint8),
        group_ids=np.arange(60) % 3,
    )
    results = []
    for name, flags in (("whole", []), ("chunks", ["--chunk_size=8"])):
        trained = script(
            "train.py",
            f"--workdir={tmp_path / name}",
            f"--dataset=npz:{path}",
            "--epochs=2",
            "--groups_per_batch=2",
            "--observations_per_group=20",
            f"--evaluate_epochs={evaluate_epochs}",
            f"--accumulation={rule}",
            *SMALL,
            *flags,
        )
        assert trained.returncode == 0, trained.stderr
        results.append(weights(tmp_path / name))
    for whole, chunks in zip(*results):
        np.testing.assert_allclose(whole, chunks, rtol=1e-3, atol=1e-5)


def test_what_chunks_cannot_do(tmp_path):
    arguments = f"--workdir={tmp_path / 'run'}", "--chunk_size=8"
    refused = script("train.py", *arguments, "--augment_groups=0.5")
    assert_fails(refused, "--chunk_size has parts only")


def test_an_image_damaged_in_the_middle(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("b/1.png", "b/2.png", "a/1.png", "a/2.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = generator.integers(0, 255, (64, 64), np.uint8)
        Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    process = script(
        "train.py",
        f"--workdir={tmp_path / 'run'}",
        f"--dataset=folder:{tmp_path / 'data'}",
        "--memory_gb=0",
        "--holdout_observations=0",
        *SMALL,
    )
    assert process.returncode == 2, process.stderr
    assert (
        process.stderr.strip()
        .splitlines()[-1]
        .startswith(
            "train.py: 1 of 4 observations cannot be read: "
            f"{path} cannot be decoded: "
        )
    )
    assert "Traceback" not in process.stderr


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(dataset, tmp_path):
    def arguments(name):
        return [
            f"--workdir={tmp_path / name}",
            f"--dataset={dataset}",
            "--epochs=60",
            "--checkpoint_seconds=0",
            "--evaluate_epochs=60",
            "--weight_averaging=0.1",
            "--groups_per_batch=2",
            "--augment_groups=0.5",
            "--trunk=linear",
            "--likelihood=normal",
            *SMALL,
        ]

    process = subprocess.Popen(
        command("train.py", *arguments("killed")),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    checkpoints = tmp_path / "killed" / "checkpoints"
    while len(list(checkpoints.glob("*.index"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "model.keras").exists()
    resumed = script("train.py", f"--workdir={tmp_path / 'killed'}", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    straight = script("train.py", *arguments("straight"))
    assert straight.returncode == 0, straight.stderr
    for a, b in zip(
        weights(tmp_path / "killed"), weights(tmp_path / "straight")
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["train.py", "evaluate.py", "encode.py"])
def test_help_does_not_import_tensorflow(name):
    code = (
        "import atexit, runpy, sys\n"
        f"sys.argv = [{name!r}, '--help']\n"
        "atexit.register(lambda: print('loaded:', 'tensorflow' in sys.modules))"
        f"\nrunpy.run_path({name!r}, run_name='__main__')"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert "--workdir" in process.stdout
    assert "--holdout_groups" in process.stdout
    assert "loaded: False" in process.stdout


def test_garbage_is_collected_once_tensorflow_is_imported():
    command_line.import_tensorflow()
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--workdir=DIR is required"]),
        (["--epochs=0"], ["--epochs", "positive"]),
        (["--no_such_flag=1"], ["no_such_flag"]),
        (["stray"], ["unexpected argument 'stray'"]),
        (["--trunk=rnn"], ["--trunk", "mlp"]),
        (["--hidden_units=5,x"], ["--hidden_units", "5,x"]),
        (["--workdir=/proc/no/run"], ["/proc/no/run cannot be written to"]),
        (["--preset=x"], ["--preset", "mnist_5k"]),
        (["--dataset=x"], ["--dataset", "folder:PATH"]),
        (["--dataset=folder:/no"], ["folder:/no", "no such folder"]),
        (["--likelihood=x"], ["likelihood", "'bernoulli', 'normal'", "'x'"]),
        (["--holdout_groups=2"], ["--holdout_groups", "[0, 1)", "2"]),
    ],
)
def test_mistakes_of_train(arguments, words, tmp_path):
    given = [f"--workdir={tmp_path / 'run'}", *arguments] if arguments else []
    assert_fails(script("train.py", *given), *words)
    assert not list(tmp_path.rglob("*.json"))


def test_the_import_of_tensorflow_leaves_nothing_on_stderr(tmp_path):
    arguments = f"--workdir={tmp_path / 'run'}", "--dataset=folder:/no"
    process = new_script("train.py", *arguments)
    assert_fails(process, "folder:/no", "no such folder")


def test_values_that_the_likelihood_does_not_take(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, observations=np.full((9, 4), 7.0), group_ids=np.arange(9))
    process = script(
        "train.py",
        f"--workdir={tmp_path / 'run'}",
        f"--dataset=npz:{path}",
        "--likelihood=bernoulli",
    )
    assert_fails(process, "[0, 1]", "Bernoulli", "7")


@pytest.mark.slow
def test_vectors_of_wine(tmp_path):
    """Three cultivars, 178 wines, 13 measurements: no images at all."""
    wine = sklearn.datasets.load_wine()
    values = sklearn.preprocessing.scale(wine.data)
    path, folder = tmp_path / "wine.npz", tmp_path / "run"
    np.savez(
        path,
        observations=values.astype(np.float32),
        group_ids=wine.target_names[wine.target],
    )
    trained = script(
        "train.py",
        f"--workdir={folder}",
        f"--dataset=npz:{path}",
        "--likelihood=normal",
        "--holdout_observations=0.4",
        "--epochs=300",
        "--learning_rate=0.003",
        "--groups_per_batch=16",
        "--hidden_units=64",
        "--content_dim=3",
        "--evidence_dropout=0.5",
        "--style_flow=2",
    )
    assert trained.returncode == 0, trained.stderr
    evaluated = script("evaluate.py", f"--workdir={folder}")
    assert evaluated.returncode == 0, evaluated.stderr
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert metrics["content_accuracy"]["1"] > 0.85
    assert metrics["content_accuracy"]["10"] == 1
    assert metrics["swap"]["judge_accuracy"] > 0.9
    assert metrics["style_accuracy"] < metrics["content_accuracy"]["1"]
    pictures = {path.stem for path in (folder / "evaluation").glob("*.png")}
    assert {"swap", "interpolate", "generate", "map"} <= pictures


@pytest.mark.slow
def test_unseen_groups_alone_are_evaluated(dataset, tmp_path):
    folder = tmp_path / "run"
    arguments = [
        f"--dataset={dataset}",
        "--epochs=3",
        "--holdout_observations=0",
        *SMALL,
    ]
    trained = script(
        "train.py", f"--workdir={folder}", "--holdout_groups=0.67", *arguments
    )
    assert trained.returncode == 0, trained.stderr
    evaluated = script("evaluate.py", f"--workdir={folder}")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "unseen accuracy, content, 1 shots" in evaluated.stdout
    assert "content accuracy, k" not in evaluated.stdout
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert metrics["group_elbo"] < 0
    assert metrics["unseen"]["verification_auc"]["content"] > 0
    pictures = {path.stem for path in (folder / "evaluation").glob("*.png")}
    assert {"unseen_swap", "unseen_swap_single", "unseen_map"} <= pictures
    assert "unseen_roc" in pictures
    assert not {"swap", "accuracy"} & pictures
    page = (folder / "evaluation" / "report.html").read_text()
    assert "<p>Groups never seen in training are" in page
    assert "each shows a gallery" in page
    assert "A probe" not in page
    # Nothing held out at all leaves nothing to say.
    everything = tmp_path / "everything"
    trained = script("train.py", f"--workdir={everything}", *arguments)
    assert trained.returncode == 0, trained.stderr
    evaluated = script("evaluate.py", f"--workdir={everything}")
    assert_fails(evaluated, "no held-out observations", "--holdout")


@pytest.mark.slow
def test_bfloat16_from_training_to_metrics(dataset, tmp_path):
    folder = tmp_path / "run"
    precise = [*SMALL, "--dtype=mixed_bfloat16", "--holdout_observations=0.5"]
    for name, *arguments in (
        ["train.py", f"--dataset={dataset}", "--epochs=30", *precise],
        ["evaluate.py"],
    ):
        process = script(name, f"--workdir={folder}", *arguments)
        assert process.returncode == 0, process.stderr
    assert load_model(folder).compute_dtype == "bfloat16"
    metrics = json.loads((folder / "evaluation/metrics.json").read_text())
    assert metrics["content_accuracy"]["5"] == 1
    assert (folder / "export/1/saved_model.pb").exists()


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--trunk=conv", ["images [height", "observation_shape=(4,)"]),
        ("--mirror_groups", ["--mirror_groups needs images", "(4,)"]),
        ("--augment_groups=1", ["--augment_groups needs images", "(4,)"]),
    ],
)
def test_what_takes_images_only(flag, said, dataset, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, observations=np.zeros((9, 4)), group_ids=np.arange(9) // 3)
    process = script(
        "train.py",
        f"--workdir={tmp_path / 'run'}",
        f"--dataset=npz:{path}",
        flag,
    )
    assert_fails(process, *said)


@pytest.mark.slow
def test_a_full_disk(dataset, tmp_path):
    def limit_file_size():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    process = new_script(
        "train.py",
        f"--workdir={tmp_path / 'run'}",
        f"--dataset={dataset}",
        "--epochs=1",
        "--hidden_units=200",
        preexec_fn=limit_file_size,
        env=environment(PYTHONWARNINGS="ignore"),
    )
    assert process.returncode == 2
    message = process.stderr.strip().splitlines()[-1]
    assert message.startswith("train.py: ")
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "run" / "model.keras").exists()
    assert not (tmp_path / "run" / "export").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--workdir=DIR is required"]),
        (["--workdir=/no/run"], ["/no/run holds no run"]),
        (["--workdir=/no/run", "--evidence_counts=a"], ["--evidence_counts"]),
    ],
)
def test_mistakes_of_evaluate(arguments, words):
    assert_fails(script("evaluate.py", *arguments), *words)


def test_a_dry_run_says_what_would_be_trained_and_writes_nothing(
    dataset, tmp_path
):
    process = script(
        "train.py",
        "--dry_run",
        f"--dataset={dataset}",
        f"--workdir={tmp_path / 'run'}",
        "--hidden_units=16",
        "--steps=100",
        "--groups_per_batch=2",
    )
    assert process.returncode == 0, process.stderr
    assert list(tmp_path.iterdir()) == []
    said = {
        line[:35].strip(): line[35:].strip()
        for line in process.stdout.splitlines()
        if not line.startswith("chosen")
    }
    assert said["likelihood"] == "Bernoulli"
    assert said["content, dimensions"] == "32"
    # 3 groups of 10 (two held out) in pieces of up to 4: 9 in batches of 2.
    assert said["steps"] == "20 epochs of 5: 100"
    assert said["batches"] == "of up to 8 observations"
    assert said["parameters, encoder"] == f"{64 * 16 + 16:,}"
    assert "chosen: epochs 20, evaluate_epochs 1" in process.stdout


def test_presets_are_listed_with_their_flags():
    process = script("train.py", "--list_presets")
    assert process.returncode == 0, process.stderr
    said = process.stdout.split("--preset=")
    assert {part.splitlines()[0] for part in said[1:]} == set(PRESETS)
    assert "    --augment_groups=0.7\n" in process.stdout
    assert "    --level_dims=font:32,character:32\n" in process.stdout
