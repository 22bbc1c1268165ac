"""The scripts as a user runs them: in a process of their own."""

import gc
import html
import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import sklearn.datasets
import sklearn.preprocessing
import tensorflow as tf
from PIL import Image

from mlvae_tf import command_line
from mlvae_tf.workdir import load_model

ROOT = pathlib.Path(__file__).parent.parent
SMALL = ["--hidden_units=16,12", "--content_dim=3", "--style_dim=2"]


def script(name, *arguments, **kwargs):
    return subprocess.run(
        [sys.executable, str(ROOT / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **kwargs,
    )


def assert_fails(process, *words):
    """One line on stderr with these words, status 2."""
    assert process.returncode == 2, process.stderr
    lines = process.stderr.strip().splitlines()
    assert len(lines) == 1, process.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three groups of twelve 8x8 images that differ in where they are dark."""
    path = tmp_path_factory.mktemp("data") / "data.npz"
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 0.2, size=(36, 8, 8, 1))
    ids = np.repeat(["left", "mid", "right"], 12)
    for group, column in (("left", 0), ("mid", 3), ("right", 6)):
        images[ids == group, :, column : column + 2] += 0.7
    np.savez(path, observations=images, group_ids=ids)
    return f"npz:{path}"


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    """A trained and evaluated run: its folder and what evaluate.py printed."""
    folder = tmp_path_factory.mktemp("run") / "a"
    trained = script(
        "train.py",
        f"--workdir={folder}",
        f"--dataset={dataset}",
        "--epochs=60",
        "--holdout_observations=0.5",
        "--evaluate_epochs=30",
        *SMALL,
    )
    assert trained.returncode == 0, trained.stderr
    evaluated = script("evaluate.py", f"--workdir={folder}")
    assert evaluated.returncode == 0, evaluated.stderr
    return folder, trained, evaluated


def test_the_run_leaves_what_it_should(run):
    folder, trained, _ = run
    names = {
        "config.json",
        "checkpoints",
        "logs",
        "model.keras",
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
        *("accuracy", "confusion", "calibration", "map"),
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
        "import runpy, sys; sys.argv = ['train.py', *sys.argv[1:]]\n"
        "script = runpy.run_path('train.py')\n"
        "from absl import flags; flags.FLAGS(sys.argv)\n"
        "from mlvae_tf import command_line, config\n"
        "given = command_line.given_flags(*script['SECTIONS'])\n"
        "import json; print(json.dumps(config.Config().replace(given).flat()))"
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
    assert tags["images"] == ["swap", "swap"]


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


def test_a_damaged_checkpoint(run, tmp_path):
    folder, _, _ = run
    shutil.copytree(folder, tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").glob("*.data*"):
        path.write_bytes(path.read_bytes()[:100])
    arguments = f"--workdir={tmp_path / 'run'}", "--resume", "--epochs=61"
    assert_fails(
        script("train.py", *arguments), "ckpt-60 cannot be read", "--overwrite"
    )
    assert (tmp_path / "run" / "model.keras").exists()


def test_resuming_to_fewer_epochs(run):
    folder, _, _ = run
    process = script(
        "train.py", f"--workdir={folder}", "--resume", "--epochs=9"
    )
    assert_fails(process, "--epochs=9 is less than the 60 epochs")
    config = json.loads((folder / "config.json").read_text())
    assert config["training"]["epochs"] == 60


def test_an_interrupted_run_says_how_to_go_on(dataset, tmp_path):
    arguments = f"--workdir={tmp_path / 'run'}", f"--dataset={dataset}"
    endless = "--epochs=100000", "--checkpoint_seconds=1"
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", *arguments, *endless],
        stderr=subprocess.PIPE,
        text=True,
        # A shell has it ignored by what it starts in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # Not sooner: Python may lose an interrupt while TensorFlow compiles.
    while not (tmp_path / "run/checkpoints/checkpoint").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in printed.splitlines()[-1]
    assert "Traceback" not in printed


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


def weights(folder):
    return keras.saving.load_model(folder / "model.keras").get_weights()


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


@pytest.mark.slow
def test_chunks_change_nothing_but_rounding(tmp_path, generator):
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
            "--evaluate_epochs=2",
            *SMALL,
            *flags,
        )
        assert trained.returncode == 0, trained.stderr
        results.append(weights(tmp_path / name))
    for whole, chunks in zip(*results):
        np.testing.assert_allclose(whole, chunks, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--accumulation=average", "--chunk_size needs evidence"),
        ("--augment_groups=0.5", "--chunk_size has parts only"),
    ],
)
def test_what_chunks_cannot_do(flag, said, tmp_path):
    folder = tmp_path / "run"
    refused = script("train.py", f"--workdir={folder}", "--chunk_size=8", flag)
    assert_fails(refused, said)


def test_an_image_damaged_in_the_middle(tmp_path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    for name in ("1.png", "2.png"):
        path = tmp_path / "data" / "a" / name
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
        .startswith(f"train.py: {path} cannot be decoded: ")
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
        [sys.executable, str(ROOT / "train.py"), *arguments("killed")],
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
        (["--holdout_groups=2"], ["--holdout_groups", "[0, 1)", "2"]),
    ],
)
def test_mistakes_of_train(arguments, words, tmp_path):
    given = [f"--workdir={tmp_path / 'run'}", *arguments] if arguments else []
    assert_fails(script("train.py", *given), *words)
    assert not list(tmp_path.rglob("*.json"))


def test_values_that_the_likelihood_does_not_take(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, observations=np.full((9, 4), 7.0), group_ids=np.arange(9))
    process = script(
        "train.py", f"--workdir={tmp_path / 'run'}", f"--dataset=npz:{path}"
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
    assert "<p>Of groups never seen in training" in page
    assert "each shows a gallery" in page
    assert "A probe" not in page
    # Nothing held out at all leaves nothing to say.
    everything = tmp_path / "everything"
    trained = script("train.py", f"--workdir={everything}", *arguments)
    assert trained.returncode == 0, trained.stderr
    evaluated = script("evaluate.py", f"--workdir={everything}")
    assert_fails(evaluated, "no held-out observations", "--holdout")


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
        ("--trunk=conv", ["divisible by 4", "observation_shape=(4,)"]),
        ("--mirror_groups", ["--mirror_groups needs images", "(4,)"]),
        ("--augment_groups=1", ["--augment_groups needs images", "(4,)"]),
    ],
)
def test_what_takes_images_only(flag, said, dataset, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, observations=np.zeros((9, 4)), group_ids=np.arange(9))
    process = script(
        "train.py",
        f"--workdir={tmp_path / 'run'}",
        f"--dataset=npz:{path}",
        flag,
    )
    assert_fails(process, *said)


def test_a_full_disk(dataset, tmp_path):
    def limit_file_size():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    process = script(
        "train.py",
        f"--workdir={tmp_path / 'run'}",
        f"--dataset={dataset}",
        "--epochs=1",
        "--hidden_units=200",
        preexec_fn=limit_file_size,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
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


def test_evaluate_wants_observations_of_the_models_shape(run, tmp_path):
    folder, _, _ = run
    path = tmp_path / "data.npz"
    np.savez(path, observations=np.zeros((9, 4)), group_ids=np.arange(9))
    process = script(
        "evaluate.py", f"--workdir={folder}", f"--dataset=npz:{path}"
    )
    assert_fails(process, "[N, 8, 8, 1]", "(9, 4)")
