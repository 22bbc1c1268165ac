"""Training from any step on: what goes on there is what would have been."""

import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from scripts import SMALL, command, script, weights

from mlvae_tf.model import MLVAE
from mlvae_tf.runs import config as config_module
from mlvae_tf.runs import exports, fitting, training
from mlvae_tf.runs.best import Best
from mlvae_tf.runs.callbacks import Pictures, Progress
from mlvae_tf.runs.checkpoints import Folder
from mlvae_tf.runs.config import Config

SETTINGS = {
    "holdout_observations": 0.25,
    "hidden_units": (8,),
    "content_dim": 3,
    "style_dim": 2,
    "epochs": 3,
    "evaluate_epochs": 2,
    "groups_per_batch": 1,
    "observations_per_group": 2,
    "style_flow": 0,
}
ALL_AT_ONCE = {
    "weight_averaging": 0.2,
    "augment_groups": 0.5,
    "evidence_dropout": 0.5,
    "learning_rate_decay": True,
}


@pytest.mark.parametrize(
    ("steps", "at_once"),
    [
        ([1], 1),
        ([9], 9),
        ([47], 1),
        ([235], 5),
        ([90], 10),
        ([90, 0, 0], 10),
        ([90, 6], 6),
        ([90, 13, 0], 1),
        ([90, 0, 25], 5),
        ([12, 8, 6], 2),
    ],
)
def test_steps_at_once(steps, at_once):
    assert fitting.steps_at_once(*steps) == at_once


class Killed(BaseException):
    """As abrupt as an exception can be."""


@pytest.fixture
def train(dataset, tmp_path, monkeypatch):
    """Train or resume a run, without what takes long and matters not.

    It may be killed once the checkpoint of a step has been written.
    """
    write = Folder.write
    monkeypatch.setattr(exports, "write", lambda *_: None)
    monkeypatch.setattr(MLVAE, "_resolve_auto_jit_compile", lambda _: False)
    monkeypatch.setattr(Pictures, "_draw", lambda *_: None)

    def run(name, killed_at=None, **settings):
        def write_and_die(folder, step):
            write(folder, step)
            if step == killed_at:
                raise Killed

        monkeypatch.setattr(Folder, "write", write_and_die)
        folder = tmp_path / name
        resume = (folder / "config.json").exists()
        config = Config().replace({"dataset": dataset, **SETTINGS})
        if resume:
            config = config_module.load(folder / "config.json")
        if killed_at is None:
            return training.train(config.replace(settings), folder, resume)
        with pytest.raises(Killed):
            training.train(config.replace(settings), folder, resume)

    return run


def assert_same_end(straight, resumed, first_epoch):
    """Weights and logs are equal to the bit, the logs from an epoch on."""
    for one, other in zip(straight.get_weights(), resumed.get_weights()):
        np.testing.assert_array_equal(one, other)
    assert resumed.history.epoch == [*range(first_epoch, 3)]
    for name, values in resumed.history.history.items():
        # Validation comes after the second epoch only.
        rest = first_epoch - (name.startswith("val_") and first_epoch)
        assert values == straight.history.history[name][rest:], name
    assert "val_loss" in resumed.history.history or first_epoch == 2


def steps_per_epoch(model):
    return int(model.optimizer.iterations) // 3


@pytest.mark.parametrize(
    "settings",
    [
        ALL_AT_ONCE,
        {"kl_warmup": 0.0},
        pytest.param({"style_flow": 2}, marks=pytest.mark.slow),
    ],
    ids=["all", "best", "flow"],
)
def test_a_run_killed_within_an_epoch_ends_as_if_it_were_not(
    train, capsys, settings
):
    straight = train("straight", **settings)
    per_epoch = steps_per_epoch(straight)
    assert per_epoch > 6
    step = per_epoch + 3
    train("killed", killed_at=step, checkpoint_steps=step, **settings)
    capsys.readouterr()
    resumed = train("killed")
    said = f"resuming at step {step} of {3 * per_epoch}\n"
    assert said in capsys.readouterr().out
    assert_same_end(straight, resumed, 1)


def test_a_run_interrupted_within_an_epoch_loses_no_step(
    train, capsys, monkeypatch
):
    straight = train("straight")
    per_epoch = steps_per_epoch(straight)
    advance = Progress.on_train_batch_end

    def interrupted(progress, batch, logs=None):
        advance(progress, batch, logs)
        if int(progress.model.optimizer.iterations) >= per_epoch + 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "on_train_batch_end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train("interrupted")
    monkeypatch.setattr(Progress, "on_train_batch_end", advance)
    capsys.readouterr()
    resumed = train("interrupted")
    said = int(capsys.readouterr().out.split("resuming at step ")[1].split()[0])
    assert per_epoch + 3 <= said < 2 * per_epoch
    assert_same_end(straight, resumed, 1)


@pytest.mark.slow
def test_a_run_killed_twice_in_chunks(train, capsys):
    """Where no step is taken together with another; and out of them again."""
    straight = train("straight", chunk_size=2)
    first = steps_per_epoch(straight) + 5
    train("killed", killed_at=first, checkpoint_steps=1, chunk_size=2)
    train("killed", killed_at=first + 2)
    assert_same_end(straight, train("killed"), 1)
    whole = train("other", killed_at=first, checkpoint_steps=1, chunk_size=2)
    whole = train("other", chunk_size=None, checkpoint_steps=None)
    for one, other in zip(straight.get_weights(), whole.get_weights()):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint(train, capsys, tmp_path):
    straight = train("straight", epochs=1)
    train("killed", killed_at=1, checkpoint_steps=1, epochs=1)
    shutil.rmtree(tmp_path / "killed/checkpoints")
    capsys.readouterr()
    resumed = train("killed")
    assert "resuming at step 0 of " in capsys.readouterr().out
    for one, other in zip(straight.get_weights(), resumed.get_weights()):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_more_epochs_go_on_from_the_end(train):
    """With schedules that do not depend on how many there are to be."""
    constant = {
        "style_kl_start": 1.0,
        "learning_rate_decay": False,
        "evaluate_epochs": 3,
        "keep": "last",
    }
    straight = train("straight", **constant)
    train("longer", epochs=2, **constant)
    assert_same_end(straight, train("longer", epochs=3), 2)


def test_a_run_at_its_end_is_left_as_it_is(train, capsys):
    trained = train("run", epochs=1, weight_averaging=0.2)
    again = train("run")
    steps = int(trained.optimizer.iterations)
    assert f"resuming at step {steps} of {steps}" in capsys.readouterr().out
    for one, other in zip(trained.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_a_run_that_stopped_early_is_left_as_it_is(train, monkeypatch):
    def stop(best, epoch, logs=None):
        best._step.assign(int(best.model.optimizer.iterations))
        best._without_gain.assign(99)
        for kept, weight in zip(best._kept, best._current, strict=True):
            kept.assign(weight)
        best.model.stop_training = True

    monkeypatch.setattr(Best, "on_epoch_end", stop)
    trained = train("run", keep="best")
    steps = int(trained.optimizer.iterations)
    per_epoch = trained.history.params["steps"]
    assert steps == per_epoch  # Of three epochs.
    again = train("run")
    assert int(again.optimizer.iterations) == steps
    for one, other in zip(trained.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_process_killed_within_an_epoch(dataset, tmp_path):
    def arguments(name):
        return [
            f"--workdir={tmp_path / name}",
            f"--dataset={dataset}",
            "--epochs=2",
            "--holdout_observations=0",
            "--groups_per_batch=1",
            "--observations_per_group=1",
            "--weight_averaging=0.2",
            *SMALL,
        ]

    def last_step():
        names = (tmp_path / "killed/checkpoints").glob("ckpt-*.index")
        return max((int(p.stem.split("-")[1]) for p in names), default=0)

    process = subprocess.Popen(
        command("train.py", *arguments("killed"), "--checkpoint_steps=1"),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    while last_step() <= 40:  # Of 36 per epoch.
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    step = last_step()
    assert 40 < step < 72
    resumed = script("train.py", f"--workdir={tmp_path / 'killed'}", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert f"resuming at step {step} of 72\n" in resumed.stdout
    straight = script("train.py", *arguments("straight"))
    assert straight.returncode == 0, straight.stderr
    for a, b in zip(
        weights(tmp_path / "killed"), weights(tmp_path / "straight")
    ):
        np.testing.assert_array_equal(a, b)
