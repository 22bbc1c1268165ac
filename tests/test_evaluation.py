import json

import numpy as np
import pytest

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import tables
from mlvae_tf.runs import config, evaluation


def test_what_is_measured_lies_in_the_folder(make_run):
    folder = make_run(["ann", "bob", "cy"])
    table = evaluation.evaluate(folder, (1, None), importance_samples=2)
    output = folder / "evaluation"
    results = json.loads((output / "metrics.json").read_text())
    assert table == tables.one(results)
    assert list(results["content_accuracy"]) == ["1", "all"]
    assert results["importance_samples"] == 2
    assert results["groups"] == {"held_out": 3, "asked": 3}
    assert any("content is named by" in note for note in results["notes"])
    page = (output / "report.html").read_text()
    for note in results["notes"]:
        assert note in page.replace("&#39;", "'")
    assert f"python train.py --workdir={folder}" in page
    assert "--evidence_counts=1,all --importance_samples=2" in page
    pictures = {path.stem for path in output.glob("*.png")}
    assert {"accuracy", "calibration", "confusion", "map", "swap"} <= pictures
    assert len(list(output.iterdir())) == len(pictures) + 2
    for path in output.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_held_out_observations_of_one_group_are_not_measured(generator):
    def some(*ids):
        observations = generator.uniform(size=(len(ids), 2))
        return GroupedData.of(observations.astype(np.float32), np.array(ids))

    train, one, others = some(0, 0, 1, 1), some(0, 0), some(2, 2, 3, 3)
    splits, said = evaluation._measurable(Splits(train, one, None, others), "d")
    assert splits.evaluation is None
    (note,) = said
    assert note.startswith("held-out observations are of one group, 0")
    both = Splits(train, some(0, 1), None, None)
    assert evaluation._measurable(both, "d") == (both, [])
    with pytest.raises(ValueError, match="no held-out observations of two"):
        evaluation._measurable(Splits(train, one, None, None), "d")


def test_what_was_trained_on_is_not_scored(make_run):
    folder = make_run(["ann", "bob"])
    settings = {"holdout_observations": 0.5}
    with pytest.raises(ValueError, match="--holdout_observations is the run"):
        evaluation.evaluate(folder, settings=settings)
    settings["dataset"] = f"npz:{folder}/../{folder.name}/data.npz"
    settings["holdout_observations"] = 0.0
    with pytest.raises(ValueError, match="no held-out observations"):
        evaluation.evaluate(folder, settings=settings)


def test_commands_have_what_is_no_default(tmp_path):
    made = {"epochs": 3, "steps": 60}  # Both are refused.
    run = config.Config().replace({**made, "hidden_units": (5, 4)})
    lines = evaluation.commands(tmp_path, run, {"seeds": 2}).splitlines()
    assert lines == [
        f"python train.py --workdir={tmp_path} --hidden_units=5,4 --epochs=3",
        f"python evaluate.py --workdir={tmp_path} --seeds=2",
    ]
