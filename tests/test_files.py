import json
import math

import pytest

from mlvae_tf import files


def test_whole_files_replace_what_was_there(tmp_path):
    path = tmp_path / "new" / "file.txt"
    for text in ("one", "two"):
        with files.whole(path) as partial:
            assert partial.parent == path.parent
            assert partial.suffix == path.suffix
            partial.write_text(text)
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_whole_folders_replace_what_was_there(tmp_path):
    path = tmp_path / "1"
    for name in ("old", "new"):
        with files.whole(path) as partial:
            partial.mkdir()
            (partial / name).touch()
    assert [p.name for p in path.iterdir()] == ["new"]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail():
        with files.whole(path) as partial:
            partial.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_no_nan(tmp_path):
    files.write_json(tmp_path / "a.json", {"x": 1.5})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1.5}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "b.json", {"x": math.nan})
    assert not (tmp_path / "b.json").exists()


def test_prepare_names_a_file_that_can_be_written(tmp_path):
    path = tmp_path / "new" / "a.txt"
    files.prepare(path, overwrite=False)
    assert list(path.parent.iterdir()) == []
    path.write_text("old")
    with pytest.raises(ValueError, match=r"exists already\. Pass --overwrite"):
        files.prepare(path, overwrite=False)
    files.prepare(path, overwrite=True)
    assert path.read_text() == "old"  # Until there is another.
    with pytest.raises(ValueError, match=r"is a folder\. Name a file in it"):
        files.prepare(path.parent, overwrite=True)
    with pytest.raises(ValueError, match="cannot be written to: File exists"):
        files.prepare(path / "b.txt", overwrite=False)
