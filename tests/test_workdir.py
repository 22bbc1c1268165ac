import keras
import pytest
import tensorflow as tf

from mlvae_tf import files
from mlvae_tf.errors import InputError
from mlvae_tf.runs import workdir
from mlvae_tf.runs.config import Config


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.json").touch()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    return tmp_path


def test_prepare_makes_the_folder(tmp_path):
    assert not workdir.prepare(tmp_path / "a" / "b", False, False)
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_prepare_refuses_a_run(run):
    with pytest.raises(
        ValueError, match=r"holds a run already\. Pass --resume"
    ):
        workdir.prepare(run, resume=False, overwrite=False)


def test_prepare_resumes_or_overwrites_as_asked(run):
    assert workdir.prepare(run, resume=True, overwrite=False)
    assert not workdir.prepare(run, resume=False, overwrite=True)
    assert (run / "config.json").exists()  # Until `clear`.
    with pytest.raises(ValueError, match="not both"):
        workdir.prepare(run, resume=True, overwrite=True)


def test_prepare_does_not_resume_without_a_configuration(run):
    (run / "config.json").unlink()
    with pytest.raises(ValueError, match=r"without its config\.json"):
        workdir.prepare(run, resume=True, overwrite=False)


def test_clear_removes_the_run_alone(run):
    workdir.clear(run)
    assert [path.name for path in run.iterdir()] == ["notes.txt"]


def test_prepare_refuses_what_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written to: Not a dir"):
        workdir.prepare(tmp_path / "file" / "run", False, False)


def test_prepare_refuses_a_full_disk(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(ValueError, match="No space left on device"):
        workdir.prepare(tmp_path, False, False)
    assert list(tmp_path.iterdir()) == []


def _saved_program(folder):
    """A SavedModel that leaves a mark beside itself whenever it is called."""

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 1])])
    def serve(images):
        tf.io.write_file(f"{folder}.ran", "yes")
        return tf.reshape(images, [-1, 16])

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, folder)
    return keras.layers.TFSMLayer(folder, call_endpoint="serve")


def _code(folder):
    """Python that leaves the mark."""
    return keras.layers.Lambda(
        lambda images, mark=f"{folder}.ran": (
            tf.io.write_file(mark, "yes") and None,
            tf.reshape(images, [-1, 16]),
        )[1]
    )


@pytest.mark.parametrize("make", [_code, _saved_program])
def test_a_model_file_runs_no_code(tmp_path, make_model, make):
    files.write_json(tmp_path / "config.json", Config().to_json())
    layer = make(str(tmp_path / "program"))
    network = keras.Sequential([keras.Input((4, 4, 1)), layer])
    model = make_model(encoder=network, dtype="float32")
    model.save(tmp_path / "model.keras")
    (tmp_path / "program.ran").unlink()
    with pytest.raises(InputError, match="deserialization of a"):
        workdir.load_model(tmp_path)
    assert not (tmp_path / "program.ran").exists()
