"""Trainings that are made to fail, each in its own way, say so."""

import numpy as np
import pytest

from mlvae_tf import style_flow
from mlvae_tf.runs import evaluation, training, workdir
from mlvae_tf.runs.config import Config

BASE = {
    "steps": 150,
    "content_dim": 4,
    "style_dim": 3,
    "hidden_units": (32,),
    "likelihood": "normal",
    "observation_scale": 0.2,
    "keep": "last",
    "style_kl_start": 1.0,
    "style_flow": 0,
}
PLAIN = {"content_contrast": 0.0, "style_given_content": False}
FAILING = {
    "content": {
        **PLAIN,
        "content_kl_weight": 1e5,
        "content_kl_start": 1e5,
        "steps": 400,
    },
    "style": {"style_kl_weight": 1000.0, "style_kl_start": 1000.0},
    "told": {**PLAIN, "content_kl_weight": 50.0, "content_kl_start": 50.0},
    "content_ignored": {**PLAIN, "observation_scale": 100.0},
    "style_ignored": {"observation_scale": 100.0},
    "overfit": {"hidden_units": (500,), "steps": 400},
    "length": {"steps": 20, "evaluate_epochs": 1, "kl_warmup": 0.0},
    "groups": {},
}


def some(generator, kind):
    """Five groups of 30 that differ, and observations that do."""
    ids = np.arange(150) % 5
    content = generator.normal(size=(5, 3))[ids] @ generator.normal(size=(3, 8))
    style = generator.normal(size=(150, 2)) @ generator.normal(size=(2, 8))
    noise = generator.normal(size=(150, 8))
    values = noise if kind == "overfit" else content + style + 0.1 * noise
    if kind == "groups":
        ids = np.where(np.arange(150) < 120, np.arange(150) + 9, ids)
    return {"observations": values.astype(np.float32), "group_ids": ids}


def run(tmp_path, generator, kind, settings):
    np.savez(tmp_path / "some.npz", **some(generator, kind))
    spec = {"dataset": f"npz:{tmp_path / 'some.npz'}"}
    config = Config().replace({**BASE, **settings, **spec})
    training.train(config, tmp_path / "run", resume=False)
    return [doubt.kind for doubt in workdir.doubts_of(tmp_path / "run")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAILING)
def test_a_failing_training_is_named(tmp_path, generator, kind, capsys):
    found = run(tmp_path, generator, kind, FAILING[kind])
    assert kind in found
    assert capsys.readouterr().out.count("doubt, at the end: ") == len(found)


@pytest.mark.slow
def test_a_flow_that_learned_by_heart_is_named(
    tmp_path, generator, monkeypatch
):
    monkeypatch.setattr(style_flow, "STEPS", (1000, 6000))
    settings = {"steps": 1000, "style_flow": 10, "style_dim": 8}
    assert "style_far" in run(tmp_path, generator, "overfit", settings)


@pytest.mark.slow
def test_a_good_one_is_not_doubted_and_its_table_says_so(
    tmp_path, generator, capsys
):
    settings = {"steps": 600, "style_flow": 4, "evaluate_epochs": 20}
    assert not run(tmp_path, generator, "good", settings)
    said = capsys.readouterr().out
    assert "at the end" not in said
    evaluation.evaluate(tmp_path / "run", importance_samples=1)
    assert "doubt" not in capsys.readouterr().out
