import dataclasses
import json

import pytest

from mlvae_tf.errors import InputError
from mlvae_tf.runs import config, presets
from mlvae_tf.runs.config import Config


def test_json_round_trip():
    settings = Config().replace({"hidden_units": (20, 10), "epochs": 3})
    text = json.dumps(settings.to_json())
    assert Config.from_json(json.loads(text)) == settings


def test_replace_finds_the_section():
    replaced = Config().replace({"dataset": "npz:x", "style_dim": 3})
    assert replaced.data.dataset == "npz:x"
    assert replaced.model.style_dim == 3
    assert replaced.training == Config().training


def test_field_names_are_unique():
    names = [
        field.name
        for section in dataclasses.fields(Config)
        for field in dataclasses.fields(section.default)
    ]
    assert len(names) == len(set(names)) == len(Config().flat())


@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets_name_fields(name):
    values = presets.preset(name)
    assert Config().replace(values).flat().items() >= values.items()


def test_the_papers_setting():
    paper = Config().replace(presets.preset("mnist_paper")).flat()
    expected = {
        "trunk": "mlp",
        "hidden_units": (500,),
        "activation": "tanh",
        "content_dim": 10,
        "style_dim": 10,
        "likelihood": "normal_learned_scale",
        "batch_size": 256,
        "epochs": 2000,
        "content_kl_start": 1.0,
        # Not the paper's, which has 1e-3, no average and no annealing.
        "learning_rate": 2e-3,
        "weight_averaging": 0.1,
        "style_kl_start": 2.0,
    }
    assert {name: paper[name] for name in expected} == expected
    assert round(60_000 * paper["holdout_observations"]) == 10_000


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": float("nan")},
        {"style_kl_start": float("inf")},
        {"seed": -1},
        {"hidden_units": (5, 0)},
        {"epochs": "x"},
        {"epochs": True},
        {"activation": "x"},
    ],
)
def test_bad_values(values):
    with pytest.raises(ValueError, match=f"--{next(iter(values))} must be"):
        Config().replace(values)


def test_a_run_of_the_version_before_is_refused(tmp_path):
    """It held other observations out, which would be scored as unseen."""
    path = tmp_path / "config.json"
    values = {**Config().to_json(), "versions": {"mlvae_tf": "0.1.0"}}
    path.write_text(json.dumps(values))
    said = r"0\.1\.0, which held other .* Train it again, or install"
    with pytest.raises(InputError, match=said):
        config.load(path)
    values["versions"]["mlvae_tf"] = "0.2.0"
    path.write_text(json.dumps(values))
    assert config.load(path) == Config()


def test_missing_fields(tmp_path):
    values = Config().to_json()
    del values["model"]["trunk"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="trunk missing"):
        config.load(tmp_path / "config.json")


def test_unknown_preset():
    with pytest.raises(ValueError, match=r"one of mnist_5k, .*: got 'x'"):
        presets.preset("x")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"data": 1}', "\x00"])
def test_damaged_configuration(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="is not a run's configuration"):
        config.load(tmp_path / "config.json")


def test_missing_configuration(tmp_path):
    with pytest.raises(ValueError, match=r"holds no run: config\.json is miss"):
        config.load(tmp_path / "config.json")


def test_a_run_of_before_the_levels_is_read():
    values = json.loads(json.dumps(Config().to_json()))
    for name in ("groups", "parents", "missing_groups"):
        del values["data"][name]
    assert Config.from_json(values) == Config()
    values["data"]["group_feature"] = "who"
    assert Config.from_json(values).data.groups == ("who",)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"groups": ("a", "a")}, "--groups must be different names"),
        ({"groups": ("a", "")}, "--groups must be different names"),
        ({"parents": ("visit",)}, "pairs INNER:OUTER, such as visit:patient"),
        ({"parents": ("visit:",)}, "pairs INNER:OUTER, such as visit:patient"),
        (
            {"missing_groups": "x"},
            "--missing_groups must be one of refuse, own",
        ),
    ],
)
def test_levels_that_are_none(settings, said):
    with pytest.raises(InputError, match=said):
        Config().replace(settings)


def test_parents_by_level():
    data = Config().replace({"parents": ("visit:patient", "hour:visit")}).data
    assert data.parent_of == {"visit": "patient", "hour": "visit"}
