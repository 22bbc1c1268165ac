"""Checkpoints: which is found when some are not whole, what is written."""

import pathlib
import shutil
import warnings

import keras
import pytest
import tensorflow as tf

from mlvae_tf.errors import InputError
from mlvae_tf.runs import checkpoints
from mlvae_tf.runs.checkpoints import Checkpoints, Folder


class Run:
    """A training of one variable, which is its step."""

    def __init__(self, path):
        self.path = path
        self.steps = tf.Variable(0, dtype=tf.int64)
        self.much = tf.Variable(tf.random.normal([99]))
        self.folder = Folder(
            path, tf.train.Checkpoint(steps=self.steps, much=self.much)
        )

    def save(self, *steps):
        for step in steps:
            self.steps.assign(step)
            self.folder.write(step)

    def restored(self):
        self.folder.restore()
        return int(self.steps)


@pytest.fixture
def path(tmp_path):
    """A folder with the checkpoints of steps 9 and 10."""
    Run(tmp_path / "checkpoints").save(8, 9, 10)
    return tmp_path / "checkpoints"


def contents(path):
    return {
        p.relative_to(path): p.read_bytes()
        for p in path.rglob("*")
        if p.is_file()
    }


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 16
    path.write_bytes(content)


INDEX, DATA = "ckpt-10.index", "ckpt-10.data-00000-of-00001"
DAMAGES = {
    "data truncated": lambda path: (path / DATA).write_bytes(
        (path / DATA).read_bytes()[:100]
    ),
    "data emptied": lambda path: (path / DATA).write_bytes(b""),
    "data flipped": lambda path: flip(path / DATA, 200),
    "data missing": lambda path: (path / DATA).unlink(),
    "index missing": lambda path: (path / INDEX).unlink(),
    "index emptied": lambda path: (path / INDEX).write_bytes(b""),
    "index flipped": lambda path: flip(path / INDEX, 60),
    "index of another": lambda path: shutil.copy(
        path / "ckpt-9.index", path / INDEX
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_newest_whole_one_is_taken(path, damage):
    damage(path)
    before = contents(path)
    with pytest.warns(UserWarning, match="^ckpt-10 is damaged .*passed over"):
        assert Run(path).restored() == 9
    assert contents(path) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.rename(state.with_name("checkpoint.old")),
        lambda state: state.write_bytes(b""),
        lambda state: state.write_text('model_checkpoint_path: "ckpt-9"'),
    ],
)
def test_what_is_found_does_not_depend_on_the_state_file(path, change):
    change(path / "checkpoint")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Run(path).restored() == 10


def test_what_a_killed_write_leaves_is_no_checkpoint(path):
    (path / "ckpt-11_temp").mkdir()
    (path / "ckpt-11_temp/part-00000-of-00001.index").write_bytes(b"?")
    (path / "ckpt-11.data-00000-of-00001.tempstate7").write_bytes(b"?")
    (path / ".partial").mkdir()
    (path / ".partial/ckpt-12.index").write_bytes(b"?")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = Run(path)
        assert run.restored() == 10
    run.save(12)
    assert not (path / ".partial").exists()
    assert Run(path).restored() == 12


def test_none_is_whole(path):
    for file in path.glob("ckpt-*.data*"):
        file.write_bytes(file.read_bytes()[:100])
    before = contents(path)
    run = Run(path)
    said = r"no checkpoint in .*ckpt-10 is damaged \(.*ckpt-9 is damaged \(.*"
    with pytest.raises(InputError, match=f"{said}--overwrite"):
        run.restored()
    assert contents(path) == before
    assert int(run.steps) == 0


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_there_is_none(tmp_path, folder):
    if folder == "empty":
        (tmp_path / "checkpoints").mkdir()
    assert Run(tmp_path / "checkpoints").restored() == 0


def test_damaged_files_are_kept(path):
    flip(path / DATA, 200)
    damaged = contents(path)
    run = Run(path)
    with pytest.warns(UserWarning, match="passed over"):
        run.restored()
    run.save(10)  # Once more.
    (aside,) = path.glob("damaged-ckpt-10-*")
    for name in (INDEX, DATA):
        assert (aside / name).read_bytes() == damaged[pathlib.Path(name)]
    assert Run(path).restored() == 10
    # An old one that cannot be read stays, a whole one does not.
    flip(path / "ckpt-9.index", 60)
    Run(path).save(11, 12)
    steps = {p.stem for p in path.glob("ckpt-*.index")}
    assert steps == {"ckpt-9", "ckpt-11", "ckpt-12"}


def test_the_last_two_are_kept(path):
    names = {"ckpt-9", "ckpt-10"}
    assert {p.stem for p in path.glob("ckpt-*.index")} == names
    assert tf.train.latest_checkpoint(path) == str(path / "ckpt-10")
    Run(path).save(11)
    assert {p.name.split(".")[0] for p in path.glob("ckpt-*")} == {
        "ckpt-10",
        "ckpt-11",
    }
    moved = path.rename(path.with_name("moved"))
    state = tf.train.get_checkpoint_state(str(moved))
    assert state.all_model_checkpoint_paths == [
        str(moved / "ckpt-10"),
        str(moved / "ckpt-11"),
    ]


def test_as_many_as_asked_for_are_kept(tmp_path):
    folder = Folder(tmp_path, tf.train.Checkpoint(v=tf.Variable(0)), keep=3)
    for step in range(5):
        folder.write(step)
    assert {p.stem for p in tmp_path.glob("*.index")} == {
        f"ckpt-{step}" for step in (2, 3, 4)
    }


@pytest.mark.parametrize("fault", ["cannot be written", "is not what it was"])
def test_a_write_that_fails_costs_nothing(path, monkeypatch, fault):
    run, before = Run(path), contents(path)

    def full(self, prefix):
        pathlib.Path(prefix).parent.mkdir()
        pathlib.Path(f"{prefix}.data-00000-of-00001").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left")

    def half(self, prefix):
        write(self, prefix)
        flip(pathlib.Path(f"{prefix}.index"), 60)

    write = tf.train.Checkpoint.write
    failing = full if fault == "cannot be written" else half
    monkeypatch.setattr(tf.train.Checkpoint, "write", failing)
    with pytest.raises(InputError, match=r"step 11 cannot be written .*: .*--"):
        run.save(11)
    monkeypatch.undo()
    assert contents(path) == before
    assert not (path / ".partial").exists()


def test_of_another_layout(path):
    """They are whole, so that passing them over would be wrong."""
    other = tf.train.Checkpoint(steps=tf.Variable(12, dtype=tf.int64))
    other.write(str(path / "ckpt-12"))
    before = contents(path)
    with pytest.raises(InputError, match=r"ckpt-12 does not fit .*another ver"):
        Run(path).restored()
    assert contents(path) == before


def test_of_another_shape(path):
    run = Run(path)
    run.much = tf.Variable(tf.zeros([9]))
    checkpoint = tf.train.Checkpoint(steps=run.steps, much=run.much)
    run.folder = Folder(path, checkpoint)
    with pytest.raises(InputError, match=r"ckpt-10 does not fit .*networks"):
        run.restored()


class Clock:
    """Time that passes as told."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds


@pytest.mark.parametrize(
    ("seconds", "steps", "expected"),
    [
        (60, None, [6]),
        (0, None, [1, 2, 3, 4, 5, 6]),
        (25, None, [3, 6]),  # A step takes ten.
        (60, 2, [2, 4, 6]),
        (40, 5, [4, 5, 6]),
    ],
)
def test_when_they_are_written(
    make_model, tmp_path, monkeypatch, seconds, steps, expected
):
    clock, written = Clock(), []
    monkeypatch.setattr(checkpoints, "time", clock)
    monkeypatch.setattr(Folder, "write", lambda _, step: written.append(step))
    model = make_model()
    model.compile("adam")
    callback = Checkpoints(tmp_path, model, seconds, steps)
    keras.callbacks.CallbackList([callback], model=model, steps=3, epochs=2)
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        for batch in range(3):
            clock.seconds += 10
            callback.on_train_batch_end(batch)
        callback.on_epoch_end(epoch)
    assert written == expected
