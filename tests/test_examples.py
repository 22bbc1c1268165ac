"""What the README shows can be typed: the files of `examples/`."""

import csv
import io
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from scripts import ROOT, environment

PEOPLE = "ann", "bob", "eve", "joe"


def example(name, folder, *arguments):
    """Run a file of `examples/` in a folder that is like a clone."""
    for linked in ("examples", *(path.name for path in ROOT.glob("*.py"))):
        if not (folder / linked).exists():
            (folder / linked).symlink_to(ROOT / linked)
    path = f"{sys.prefix}/bin:/usr/bin:/bin"
    process = subprocess.run(
        [
            sys.executable if name.endswith(".py") else "sh",
            f"examples/{name}",
            *arguments,
        ],
        cwd=folder,
        env=environment(PATH=path, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Photographs by person, and the run that photographs.sh leaves."""
    folder = tmp_path_factory.mktemp("clone")
    generator = np.random.default_rng(0)
    faces = generator.uniform(60, 200, (len(PEOPLE), 4, 4)).astype(np.uint8)
    (folder / "new").mkdir()
    for name, face in zip(PEOPLE, faces):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(14):
            large = Image.fromarray(face).resize((40, 40))
            light = generator.uniform(0.6, 1.2)
            noise = generator.normal(0, 8, (40, 40))
            pixels = np.clip(np.asarray(large) * light + noise, 0, 255)
            where = folder / "photos" / name / f"{number}.png"
            if number >= 12:
                where = folder / "new" / f"{name}{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(where)
    return folder, example("photographs.sh", folder)


def whose(path):
    """The person that a new photograph is of."""
    return path.rpartition("/")[2][:3]


@pytest.mark.slow  # They train.
class TestExamples:
    def test_who_is_on_a_new_photograph(self, clone):
        _, printed = clone
        table = printed[printed.index("file,") :]
        rows = list(csv.DictReader(io.StringIO(table)))
        assert len(rows) == 2 * len(PEOPLE)
        right = [row["group"] == whose(row["file"]) for row in rows]
        assert np.mean(right) >= 0.75, rows

    def test_serve_it(self, clone):
        folder, _ = clone
        printed = example("serve.sh", folder)
        assert "signature_def['accumulate']" in printed
        answers = [line.split(": ") for line in printed.splitlines()[-8:]]
        asked = [a for a in answers if whose(a[0]) in ("ann", "bob")]
        assert len(asked) == 4
        assert all(who.startswith(whose(path)) for path, who in asked), asked

    def test_a_sweep(self, dataset, tmp_path):
        flags = f"--dataset={dataset}", "--steps=8", "--style_flow=0"
        example("sweep.sh", tmp_path, *flags)
        found = set()
        for run in (tmp_path / "runs/sweep").iterdir():
            config = json.loads((run / "config.json").read_text())
            dim, seed = (
                config["model"]["content_dim"],
                config["training"]["seed"],
            )
            assert run.name == f"dim{dim}-seed{seed}"
            logs = [p.read_bytes() for p in (run / "logs").glob("events*")]
            assert any(b"_hparams_/session_start" in log for log in logs)
            found.add((dim, seed))
        assert found == {(dim, seed) for dim in (8, 32) for seed in (0, 1)}

    def test_series_with_gaps(self, tmp_path):
        generator = np.random.default_rng(0)
        patients = np.repeat([f"p{number}" for number in range(6)], 10)
        level = np.repeat(generator.normal(size=(6, 1, 2)), 10, axis=0)
        series = level + generator.normal(0, 0.3, (60, 12, 2))
        series[generator.uniform(size=series.shape) < 0.2] = np.nan
        np.savez(
            tmp_path / "series.npz", observations=series, group_ids=patients
        )
        example("series.sh", tmp_path)
        contents = list(csv.DictReader((tmp_path / "contents.csv").open()))
        assert [row["group"] for row in contents] == sorted(set(patients))
        assert np.isfinite([float(row["loc_0"]) for row in contents]).all()
        rows = list(csv.DictReader((tmp_path / "series.csv").open()))
        assert [row["group"] for row in rows] == list(patients)

    def test_own_networks(self, tmp_path):
        example("own_networks.py", tmp_path)
        model = keras.saving.load_model(tmp_path / "own.keras")
        assert model.decode(np.zeros([1, 10]), np.zeros([1, 10])).mean().shape
