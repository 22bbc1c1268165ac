import pytest

from mlvae_tf.runs import workdir


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
