"""What is shown beside the training, and may not end it."""

import io
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from mlvae_tf import whole
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation import drawings
from mlvae_tf.runs import callbacks
from mlvae_tf.runs.callbacks import Beside, Pictures, Progress, TensorBoard


@pytest.fixture
def model(make_model):
    model = make_model(dtype="float32")
    model.compile("adam", jit_compile=False)
    return model


@pytest.fixture
def data(generator):
    images = generator.uniform(size=(8, 4, 4, 1)).astype(np.float32)
    return GroupedData.of(images, np.arange(8) % 2)


def fit(model, data, *shown, epochs=2, steps_per_epoch=2, **kwargs):
    batch = {
        "observations": tf.constant(data.observations[:]),
        "group_ids": tf.constant(data.group_index),
    }
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    return model.fit(
        dataset,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        verbose=0,
        shuffle=False,
        callbacks=list(shown),
        **kwargs,
    )


def events(folder):
    """By tag, the steps and values of the scalars and images written."""
    found = {}
    for path in sorted(folder.rglob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                found.setdefault(value.tag, []).append((event.step, array))
    return found


TERMS = {
    *("loss", "elbo", "elbo_per_observation", "reconstruction"),
    *("content_kl", "style_kl"),
}
HOOKS = {
    *("set_model", "set_params", "on_train_begin", "on_train_end"),
    *("on_epoch_begin", "on_train_batch_begin", "on_train_batch_end"),
    *("on_test_begin", "on_test_batch_end", "on_test_end", "on_epoch_end"),
}


def test_whatever_fails_training_goes_on(model, data):
    class Failing(keras.callbacks.Callback):
        pass

    def failing(hook):
        def fail(*args, **kwargs):
            raise ValueError(f"{hook}\nand more")

        return fail

    for hook in HOOKS:
        setattr(Failing, hook, failing(hook))
    held_out = {"observations": data.observations, "group_ids": [0, 1] * 4}
    with pytest.warns(UserWarning, match="Drawing failed") as said:
        fit(model, data, Beside("Drawing", Failing()), validation_data=held_out)
    assert {str(warning.message) for warning in said} == {
        f"Drawing failed: ValueError: {hook}; training goes on"
        for hook in HOOKS
    }
    assert int(model.optimizer.iterations) == 4


def test_another_callback_is_called_as_it_would_be(model, data):
    seen = []

    class Watching(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            steps = int(self.model.optimizer.iterations)
            seen.append((epoch, steps, self.params["epochs"], sorted(logs)))

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model, data, Beside("watching", Watching()))
    assert [values[:3] for values in seen] == [(0, 2, 2), (1, 4, 2)]
    assert "elbo" in seen[0][3]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_failure(model, data, error):
    class Interrupted(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise error

    with pytest.raises(error):
        fit(model, data, Beside("drawing", Interrupted()))


def test_the_picture_of_the_last_epoch_comes_last(
    model, data, tmp_path, monkeypatch
):
    swap_grid, drawn = drawings.swap_grid, []

    def drawing(*args, **kwargs):
        drawn.append(int(model.optimizer.iterations))
        return swap_grid(*args, **kwargs)

    monkeypatch.setattr(drawings, "swap_grid", drawing)
    pictures = Pictures(tmp_path, data, [2, 4])
    fit(model, data, pictures, epochs=4)
    assert drawn == [4]  # Of steps.
    pictures.draw_last()
    assert drawn == [4, 8]
    found = events(tmp_path)
    for kind in ("swap", "reconstruct"):
        assert [step for step, _ in found[f"pictures/{kind}"]] == [1, 3]
    for kind in ("interpolate", "generate"):
        assert [step for step, _ in found[f"pictures/{kind}"]] == [3]
    Pictures(tmp_path, data, [2, 4]).draw_last()  # Nothing is left to draw.
    assert len(drawn) == 2


def test_pictures_on_the_way_become_rarer(model, data, tmp_path, monkeypatch):
    drawn = []

    def draw():
        drawn.append(int(model.optimizer.iterations))
        return b""

    made = {"swap": draw, "generate": draw}
    monkeypatch.setattr(drawings, "of_control", lambda *args: made)
    monkeypatch.setattr(Pictures, "_write", lambda *args: None)
    epochs = [*range(1, 20)]
    shown = Pictures(tmp_path, data, epochs)
    fit(model, data, shown, epochs=19, steps_per_epoch=1)
    assert drawn == [1, 4, 16]


def test_pictures_that_cannot_be_drawn(model, data, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError("Expected end of text")

    monkeypatch.setattr(drawings, "swap_grid", fail)
    pictures = Pictures(tmp_path, data, [1, 2])
    said = "drawing failed: ValueError: Expected end"
    with pytest.warns(UserWarning, match=said):
        fit(model, data, Beside("drawing", pictures))
    with pytest.warns(UserWarning, match=said), callbacks.going_on("drawing"):
        pictures.draw_last()
    assert int(model.optimizer.iterations) == 4


def test_steps_that_are_not_taken_are_said(model, data, monkeypatch):
    found = whole.loss_and_gradients

    def spoiled(*args):
        loss, terms, gradients = found(*args)
        second = tf.equal(model.optimizer.iterations, 1)
        return loss + tf.where(second, np.nan, 0.0), terms, gradients

    monkeypatch.setattr(whole, "loss_and_gradients", spoiled)
    words = r"not finite in 1 of the steps up to 2, which were not taken \(1 in"
    with pytest.warns(UserWarning, match=words) as said:
        fit(model, data, callbacks.BadSteps(str), max_bad_steps=3)
    (warned,) = [w for w in said if "not taken" in str(w.message)]
    assert str(warned.message).endswith("Of the last one, step 2: 1")


def test_logs_that_cannot_be_written(model, data, tmp_path):
    (tmp_path / "logs").write_text("in the way")
    shown = (
        Beside("writing", TensorBoard(tmp_path / "logs", 8)),
        Beside("drawing", Pictures(tmp_path / "logs", data, [1, 2])),
    )
    with pytest.warns(UserWarning, match="writing failed") as said:
        fit(model, data, *shown)
    messages = {str(warning.message).split(":")[0] for warning in said}
    assert {"writing failed", "drawing failed"} <= messages
    assert int(model.optimizer.iterations) == 4


def test_a_disk_that_fills_up(model, data, tmp_path, monkeypatch):
    """The event files of the second epoch cannot be written, as on a disk."""
    write = tf.summary.experimental.write_raw_pb

    def full(summary, step):
        if step == 1:
            raise tf.errors.ResourceExhaustedError(
                None, None, "{{function_node x}} No space left on device"
            )
        return write(summary, step=step)

    monkeypatch.setattr(tf.summary.experimental, "write_raw_pb", full)
    shown = Beside("writing", TensorBoard(tmp_path, 8))
    with pytest.warns(UserWarning, match="Exhausted.*: No space left"):
        fit(model, data, shown, epochs=3)
    monkeypatch.undo()
    assert [step for step, _ in events(tmp_path)["epoch_elbo"]] == [0, 2]


def test_a_terminal_that_is_gone(model, data, monkeypatch):
    class Gone(io.StringIO):
        def write(self, text=""):
            raise BrokenPipeError(32, "Broken pipe")

        flush = write

    monkeypatch.setattr(sys, "stderr", Gone())
    progress = Progress(2, 0)
    with pytest.warns(UserWarning, match="BrokenPipeError"):
        fit(model, data, Beside("showing", progress))
    progress.close()
    assert int(model.optimizer.iterations) == 4


def skip_to(model, step):
    """As a model is that goes on from there."""
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(step)


def test_the_bar_begins_where_the_training_does(model, data, capsys):
    shown = []

    class Watched(Progress):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            shown.append(self._bar.n)

    skip_to(model, 6)
    progress = Watched(4, 6)
    whole = {"epochs": 2, "initial_epoch": 1, "steps_per_epoch": 4}
    fit(model, data, progress, initial_step=2, **whole)
    progress.close()
    assert shown == [6, 6, 7, 8]
    assert "6/8" in capsys.readouterr().err.split("\r")[1]


def test_throughput_is_that_of_the_steps_taken(
    model, data, tmp_path, monkeypatch
):
    class Clock:
        """A second later, whenever it is looked at."""

        seconds = 0.0

        def perf_counter(self):
            self.seconds += 1
            return self.seconds

    monkeypatch.setattr(callbacks, "time", Clock())
    skip_to(model, 3)
    tensorboard = TensorBoard(tmp_path, 16)
    fit(model, data, tensorboard, epochs=3, initial_epoch=1, initial_step=1)
    found = events(tmp_path)["epoch_observations_per_second"]
    assert [(step, float(value)) for step, value in found] == [(1, 8), (2, 16)]


def test_what_tensorboard_shows_of_an_epoch(model, data, tmp_path):
    held_out = {"observations": data.observations, "group_ids": [0, 1] * 4}
    tensorboard = TensorBoard(tmp_path, 16)
    fit(model, data, tensorboard, validation_data=held_out)
    found = events(tmp_path / "train")
    assert set(found) == {
        *(f"epoch_{name}" for name in TERMS),
        *(f"epoch_{name}_kl_weight" for name in ("content", "style")),
        *("epoch_gradient_norm", "epoch_learning_rate"),
        *("epoch_observations_per_second", "epoch_waiting_for_batches"),
    }
    held_out = events(tmp_path / "validation")
    assert set(held_out) == {f"epoch_{name}" for name in TERMS}  # No tag twice.
    for _, values in (*found.items(), *held_out.items()):
        assert [step for step, _ in values] == [0, 1]
    groups, of_each = (
        float(found[f"epoch_{name}"][0][1])
        for name in ("elbo", "elbo_per_observation")
    )
    assert groups == pytest.approx(4 * of_each)  # Two groups of four.
    assert float(found["epoch_gradient_norm"][0][1]) > 0


def test_a_profile_is_written_where_asked_for(model, data, tmp_path):
    fit(model, data, TensorBoard(tmp_path, 16, profile=True))
    assert list(tmp_path.rglob("*.xplane.pb"))
    assert "batch_3" in events(tmp_path / "train")  # The graph of these steps.
    fit(model, data, TensorBoard(tmp_path / "none", 16))
    assert not list((tmp_path / "none").rglob("*.xplane.pb"))
