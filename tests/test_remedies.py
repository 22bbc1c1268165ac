"""What is advised is a change of the run's own settings, and has an effect."""

import ast
import itertools

import pytest

from mlvae_tf.evaluation import remedies
from mlvae_tf.runs.config import Config

RESOLVED = {
    "content_dim": 32,
    "style_dim": 10,
    "content_contrast": 30.0,
    "likelihood": "bernoulli",
    "epochs": 50,
}
ALL = {
    "content_collapsed": remedies.content_collapsed,
    "style_collapsed": remedies.style_collapsed,
    "ignored": remedies.ignored,
    "style_tells": remedies.style_tells,
    "content_tells": lambda of: remedies.content_tells(of, "font"),
    "far": remedies.far,
    "overfit": remedies.overfit,
    "short": lambda of: remedies.short(of, 20, 1000),
    "still_gaining": remedies.still_gaining,
}
VARIED = {
    "style_flow": (0, 6),
    "style_given_content": (False, True),
    "content_contrast": (0.0, 0.5, 30.0),
    "accumulation": ("product", "average"),
    "likelihood": ("bernoulli", "normal"),
    "level_dims": ((), ("font:16", "character:24")),
    "batch_size": (None, 256),
    "style_kl_start": (1.0, 20.0),
    "trunk": ("mlp", "linear"),
}
VARIANTS = [
    dict(zip(VARIED, values)) for values in itertools.product(*VARIED.values())
]


def settings(**changed):
    return Config().replace({**RESOLVED, **changed}).flat()


def advised(text, of):
    """The values that flags in a text give to settings, by name."""
    found = {}
    for flag in remedies.FLAG.findall(text):
        name, _, value = flag.removeprefix("--").partition("=")
        if isinstance(of[name], tuple):
            parts = value.split(",")
            found[name] = tuple(int(p) if p.isdecimal() else p for p in parts)
        else:
            found[name] = ast.literal_eval(value) if value else True
    return found


@pytest.mark.parametrize("kind", ALL)
def test_no_advice_is_what_the_run_has_already(kind):
    for variant in VARIANTS:
        of = settings(**variant)
        text = ALL[kind](of)
        for name, value in advised(text, of).items():
            assert value != of[name], (text, variant)
            Config().replace({**RESOLVED, **variant, name: value})


@pytest.mark.parametrize(
    ("kind", "changed", "text"),
    [
        (
            "style_tells",
            {},
            "--content_contrast=90, --epochs=100 or --style_dim=5",
        ),
        (
            "style_tells",
            {"style_flow": 0, "style_dim": 1, "content_contrast": 0.0},
            "--style_flow=10, --content_contrast=30 or --epochs=100",
        ),
        (
            "style_tells",
            {
                "style_flow": 0,
                "style_given_content": False,
                "accumulation": "average",
            },
            "--style_flow=10 and --style_given_content, --epochs=100 or "
            "--style_dim=5",
        ),
        (
            "content_collapsed",
            {"content_kl_weight": 4.0, "likelihood": "normal"},
            "--content_kl_weight=1, --content_contrast=90, "
            "--observations_per_group=8 or --observation_scale=0.5",
        ),
        ("style_collapsed", {}, "--style_kl_start=1 or --epochs=100"),
        ("ignored", {}, "--epochs=100"),
        (
            "content_tells",
            {"level_dims": ("character:24",), "content_contrast": 30.0},
            "--content_contrast=90, --level_dims=character:24,font:16 or "
            "data of more combinations",
        ),
        ("far", {}, "--style_flow=5, --style_dim=5 or more data"),
        ("overfit", {}, "--epochs=25, --hidden_units=250 or more data"),
        ("overfit", {"trunk": "linear"}, "--epochs=25 or more data"),
        ("short", {}, "--epochs=2500 or more"),
        ("still_gaining", {}, "--epochs=100"),
    ],
)
def test_advice_in_words(kind, changed, text):
    assert ALL[kind](settings(**changed)) == text


@pytest.mark.parametrize("kind", ["style_tells", "style_collapsed", "ignored"])
def test_nothing_is_advised_against_learning_by_heart_and_for_it(kind):
    for variant in VARIANTS:
        of = settings(**variant)
        against = advised(remedies.overfit(of), of)
        both = advised(getattr(remedies, kind)(of, by_heart=True), of)
        assert not set(against) & set(both)
        assert set(against) & set(advised(ALL[kind](of), of))


def test_a_flag_ends_before_what_follows_it():
    text = "Try --a_b=font:16,c:8, --d=0.5, --e or --f=7."
    found = remedies.FLAG.findall(text)
    assert found == ["--a_b=font:16,c:8", "--d=0.5", "--e", "--f=7"]


def test_layers_are_the_default():
    assert Config().flat()["style_flow"] == remedies.LAYERS
