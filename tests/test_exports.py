"""The versions of a run's SavedModel, which a server may be watching."""

import numpy as np
import pytest
from scripts import SMALL, script

from mlvae_tf import files, serving
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.runs import exports, workdir


@pytest.fixture
def export(monkeypatch):
    """Stands for the writing of a SavedModel: its content is `model`."""

    def write(model, folder, groups=None, pictures=False):
        with files.whole(folder) as partial:
            partial.mkdir()
            (partial / "saved_model.pb").write_text(model)
            if model == "too large":
                raise OSError(28, "No space left on device")

    monkeypatch.setattr(serving, "export", write)


def versions(folder):
    return {
        path.name: (path / "saved_model.pb").read_text()
        for path in (folder / "export").iterdir()
        if (path / "saved_model.pb").exists()
    }


def test_versions_count_up_and_old_ones_go(export, tmp_path):
    assert exports.write(tmp_path, "a", keep=2).name == "1"
    assert exports.newest(tmp_path).name == "1"
    exports.write(tmp_path, "b", keep=2)
    assert versions(tmp_path) == {"1": "a", "2": "b"}
    exports.write(tmp_path, "c", keep=2)
    assert versions(tmp_path) == {"2": "b", "3": "c"}
    exports.write(tmp_path, "d", keep=1)
    assert versions(tmp_path) == {"4": "d"}
    for model in "efghijk":
        exports.write(tmp_path, model, keep=9)
    # Numbers, not names, are compared.
    assert exports.newest(tmp_path).name == "11"
    assert len(versions(tmp_path)) == 8


@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("levels", [1, 2])
def test_what_the_data_tells(kind, levels, monkeypatch, tmp_path):
    """Its groups, by level if there are several, and if it is of pixels."""
    told = []
    monkeypatch.setattr(serving, "export", lambda *given: told.append(given))
    ids = {"person": np.array(list("bab")), "light": np.array([0, 1, 1])}
    images = np.zeros((3, 4, 4, 1), kind)
    some = ids["person"] if levels == 1 else ids
    exports.write(tmp_path, "model", 2, GroupedData.of(images, some))
    ((_, folder, groups, pictures),) = told
    assert folder == tmp_path / "export" / "1"
    assert pictures == (kind == "uint8")
    found = {"person": groups} if levels == 1 else groups
    assert set(found) == set(list(ids)[:levels])
    for name, of in found.items():
        assert set(of) == set(ids[name])


def test_what_fails_leaves_all_as_it_was(export, tmp_path):
    exports.write(tmp_path, "a", keep=1)
    with pytest.raises(OSError, match="No space"):
        exports.write(tmp_path, "too large", keep=1)
    assert versions(tmp_path) == {"1": "a"}
    assert exports.newest(tmp_path).name == "1"


def test_what_is_no_version_is_left_alone(export, tmp_path):
    folder = tmp_path / "export"
    for name in ("canary", "007", "-1", "2.5", ".partial-9"):
        (folder / name).mkdir(parents=True)
    (folder / "5").mkdir()  # Not whole: a copy under way, for one.
    (folder / "notes.txt").touch()
    with pytest.raises(InputError, match=r"holds no model.*--resume"):
        exports.newest(tmp_path)
    assert exports.write(tmp_path, "a", keep=1).name == "6"
    (folder / "7").mkdir()
    assert exports.newest(tmp_path).name == "6"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("canary", "007", "-1", "2.5", ".partial-9", "notes.txt"),
        *("6", "7"),
    }


def test_a_run_that_has_left_none(tmp_path):
    with pytest.raises(InputError, match="has not come to its end"):
        exports.newest(tmp_path)


def test_clearing_a_run_leaves_what_is_served(export, tmp_path):
    (tmp_path / "model.keras").touch()
    exports.write(tmp_path, "a", keep=2)
    workdir.clear(tmp_path)
    assert not (tmp_path / "model.keras").exists()
    assert versions(tmp_path) == {"1": "a"}
    with pytest.raises(InputError, match="holds a run already"):
        workdir.prepare(tmp_path, resume=False, overwrite=False)


@pytest.mark.slow
def test_trained_anew(dataset, tmp_path):
    """By the script; the version that is served never changes."""
    arguments = (
        f"--workdir={tmp_path}",
        f"--dataset={dataset}",
        "--epochs=1",
        *SMALL,
    )

    def train(*flags):
        process = script("train.py", *arguments, *flags)
        assert process.returncode == 0, process.stderr
        found = (tmp_path / "export").iterdir()
        return {path.name: contents(path) for path in found}

    first = train()
    assert set(first) == {"1"}
    description = serving.description(tmp_path / "export" / "1")
    assert description["levels"][0]["groups"] == ["left", "mid", "right"]
    second = train("--overwrite", "--seed=1")
    assert set(second) == {"1", "2"}
    assert second["1"] == first["1"]
    assert second["2"] != first["1"]
    third = train("--resume", "--seed=1", "--keep_versions=1")
    assert set(third) == {"3"}
    # The same model once more; of float32, its pictures are no files.
    described = serving.description(tmp_path / "export" / "3")["signatures"]
    assert set(described) == set(serving.NAMES) - {"encode_images"}
    fourth = train("--overwrite", "--mirror_groups")
    assert set(fourth) == {"3", "4"}
    description = serving.description(tmp_path / "export" / "4")
    assert description["levels"][0]["groups"] == ["left", "mid", "right"]


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
