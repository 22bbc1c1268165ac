"""What a model fails at is named."""

import dataclasses

import numpy as np
import pytest

import mlvae_tf
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import doubts
from mlvae_tf.evaluation.signs import Signs
from mlvae_tf.runs.config import Config

SETTINGS = Config().flat()

GOOD = Signs(
    kl={"content": np.array([3.0, 2.0, 0.001]), "style": np.array([1.0, 2.0])},
    mean_share={"content": np.array([0.9, 0.04]), "style": np.array([0.6])},
    drawn={"content": 0.5, "style": 0.2},
    accuracy={"content": {"content": 0.9, "style": 0.25}},
    chance={"content": 0.2},
    explained=0.8,
    explained_held_out=0.65,
    reach=1.2,
)


def kinds(found):
    return [doubt.kind for doubt in found]


def test_groups_of_one():
    assert not doubts.of_groups(np.array([0, 0, 1, 2, 2]))
    (said,) = doubts.of_groups(np.array([0, 0, 1, 2, 3]))
    assert said.text.startswith("75% of the training groups have a single")


def test_of_a_good_training_nothing_is_said():
    assert not doubts.of_signs(GOOD, SETTINGS)
    nowhere = dataclasses.replace(GOOD, accuracy={}, explained_held_out=None)
    assert not doubts.of_signs(nowhere, SETTINGS)
    nowhere = dataclasses.replace(GOOD, reach=None)
    assert not doubts.of_signs(nowhere, SETTINGS)
    without_a_flow = {**SETTINGS, "style_flow": 0}
    far = dataclasses.replace(GOOD, reach=9.0)
    assert not doubts.of_signs(far, without_a_flow)
    learned_nothing = dataclasses.replace(
        GOOD, explained=0.0, explained_held_out=-0.1
    )
    assert not doubts.of_signs(learned_nothing, SETTINGS)


def test_one_doubt_advises_nothing_against_another():
    bad = dataclasses.replace(
        GOOD,
        accuracy={"content": {"content": 0.9, "style": 0.6}},
        drawn={"content": 0.5, "style": 0.0},
        explained_held_out=-0.1,
    )
    found = doubts.of_signs(bad, SETTINGS)
    assert kinds(found) == ["style_ignored", "told", "overfit"]
    *others, overfit = found
    assert "--epochs" in overfit.remedy
    assert not [one for one in others if "--epochs" in one.remedy]


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        (
            {
                "mean_share": {
                    **GOOD.mean_share,
                    "content": np.array([0.04, 0.0]),
                }
            },
            "content",
            "KL 5 nats per group, none of 3 dimensions says anything",
        ),
        (
            {"mean_share": {**GOOD.mean_share, "style": np.array([0.01])}},
            "style",
            "KL 3 nats per observation, none of 2 dimensions",
        ),
        (
            {"accuracy": {"content": {"style": 0.35}}},
            "told",
            "still names the group: a linear probe is right in 35% of",
        ),
        (
            {"drawn": {"content": 0.004, "style": 0.2}},
            "content_ignored",
            "ignores the content: with that of another observation, 0.4%",
        ),
        (
            {"drawn": {"content": 0.5, "style": 0.0}},
            "style_ignored",
            "ignores the style",
        ),
        (
            {"explained_held_out": 0.4},
            "overfit",
            "80% of what differs between them, and 40% of others",
        ),
        ({"reach": 5.5}, "style_far", "others lie 5.5 times as far out"),
    ],
)
def test_each_failure_is_named_alone(changed, kind, words):
    (said,) = doubts.of_signs(dataclasses.replace(GOOD, **changed), SETTINGS)
    assert said.kind == kind
    assert words in said.text
    assert "Try" in said.text


def test_a_training_that_ends_too_early():
    assert not doubts.of_length([-9, -5, -4, -3.9, -3.9], 5, 1000, SETTINGS)
    assert not doubts.of_length([-9, -5, -3, -4, -5], 5, 1000, SETTINGS)
    assert not doubts.of_length([-9, -7, -5, -3, -2], 4, 1000, SETTINGS)
    assert not doubts.of_length([-90, -9, -7, -5, -3, -2], 5, 1000, SETTINGS)
    (said,) = doubts.of_length([-9, -7, -5, -3, -2], 5, 1000, SETTINGS)
    assert "gained 1 nats" in said.text
    (said,) = doubts.of_length([-9, -5, -4, -3.9, -3.9], 5, 30, SETTINGS)
    assert "had 30 steps, which is few" in said.text


@pytest.fixture
def splits(generator):
    images = generator.uniform(size=(60, 4, 4, 1)).astype(np.float32)
    data = GroupedData.of(images, np.arange(60) % 6)
    rows = np.arange(60) % 10 < 8
    return Splits(data[rows], data[~rows], None, None)


def test_a_decoder_that_ignores_the_content(splits):
    model = mlvae_tf.MLVAE((4, 4, 1), 3, 2, hidden_units=8)
    kernel = model.decoder.layers[0].kernel
    kernel.assign(np.concatenate([np.zeros((3, 8)), 9 * np.ones((2, 8))]))
    images = splits.train.values()
    mean = np.mean(model.infer_style(images).loc, axis=0)
    model.style_head.bias.assign_sub(np.append(mean, [0, 0]))
    last = model.decoder.layers[1].kernel
    last.assign(0 * last + 1)
    found = kinds(doubts.doubts(model, splits, 0, SETTINGS))
    assert found.count("content_ignored") == 1
    assert "style_ignored" not in found


def test_a_new_model_has_learned_nothing(splits):
    model = mlvae_tf.MLVAE((4, 4, 1), 3, 2, hidden_units=8)
    for head in model.codec.heads.values():
        head.kernel.assign(0 * head.kernel)
    found = kinds(doubts.doubts(model, splits, 0, SETTINGS))
    assert {"style", "content_ignored"} <= set(found)


def test_of_several_levels_which_one_is_named():
    seen = dataclasses.replace(
        GOOD,
        kl={"font": np.ones(3), "letter": np.ones(2)},
        mean_share={"font": np.zeros(3), "letter": np.ones(2)},
        drawn={"font": 0.0, "letter": 0.3},
        accuracy={
            "font": {"font": 0.7, "letter": 0.12},
            "letter": {"font": 0.5, "letter": 0.8},
        },
        chance={"font": 0.05, "letter": 0.1},
    )
    found = {
        doubt.kind: doubt.text for doubt in doubts.of_signs(seen, SETTINGS)
    }
    assert set(found) == {"font", "font_ignored", "font_tells_letter"}
    assert found["font"].startswith("font has collapsed (KL 3 nats per group")
    said = "the content of font names the letter of 50% (chance 10%)"
    assert found["font_tells_letter"].startswith(said)
    ids = {"font": np.arange(6), "letter": np.arange(6) % 2}
    data = GroupedData.of(np.zeros((6, 2), np.float32), ids)
    (said,) = doubts.of_data(data)
    assert "100% of the training groups by font have a single" in said.text
