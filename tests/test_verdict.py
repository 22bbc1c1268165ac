"""What is said of figures, and to what they are compared."""

import pytest

from mlvae_tf.evaluation import verdict
from mlvae_tf.runs.config import Config

SETTINGS = Config().flat()

ONE = {
    "content_accuracy": {"1": 0.9, "10": 1.0},
    "style_accuracy": 0.43,
    "chance_accuracy": 0.1,
    "swap": {"judge_accuracy": 0.96, "content_group": {"1": 0.9, "10": 0.997}},
    "calibration": {"1": 0.66, "10": 0.7},
    "group_elbo": -639.94,
}
UNSEEN = {
    "identification": {"content": {"1": 0.5, "5": 0.855}},
    "verification_auc": {"content": 0.971},
    "chance_accuracy": {"1": 0.02, "5": 0.025},
}
LIGHT = {
    "content_accuracy": {"1": 0.71},
    "told_by": {"person": 0.12},
    "style_accuracy": 0.2,
    "chance_accuracy": 0.125,
}


def test_of_one_level_in_two_sentences():
    content, style = verdict.sentences(ONE, SETTINGS)
    assert content == (
        "Content says which group it is: a probe is right in 90 of 100 cases "
        "from one held-out observation, in 100 of 100 from 10 held-out "
        "observations (chance: 10)."
    )
    assert style.startswith(
        "Style still names the group, in 43 of 100 cases (chance: 10): try --"
    )
    assert "--style_flow" not in style  # As it has one.
    plain = {**SETTINGS, "style_flow": 0}
    assert "try --style_flow=10, " in verdict.sentences(ONE, plain)[1]
    content, _ = verdict.sentences({**ONE, "unseen": UNSEEN}, SETTINGS)
    assert content.endswith(
        "(chance: 10); groups never seen in training are identified in 86 of "
        "100 cases from 5 observations of each (chance: 2)."
    )


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [
        # Three quarters of the way from 0.1 to 1 is 0.775.
        ({"1": 0.78}, "Content says which group it is: "),
        ({"1": 0.77}, "Content says in part which group it is: "),
        ({"1": 0.15, "all": 0.4}, "Content says in part which group it is: "),
        ({"1": 0.15, "all": 0.19}, "Content does not say which group it is: "),
    ],
)
def test_what_content_says(accuracy, said):
    content, _ = verdict.sentences(
        {**ONE, "content_accuracy": accuracy}, SETTINGS
    )
    assert content.startswith(said)
    if "all" not in accuracy:
        assert content.endswith("from one held-out observation (chance: 10).")


def test_the_largest_of_many_probes_has_a_chance_of_its_own():
    found = {**ONE, "style_accuracy": 0.25}
    assert "try " in verdict.sentences(found, SETTINGS)[1]
    found["style_chance"] = 0.18
    style = verdict.sentences(found, SETTINGS)[1]
    assert style.startswith("Style hardly names the group, in 25 of 100")
    assert style.endswith("(chance: 18).")
    rows = {row[0]: row[3] for row in verdict.headlines(found)}
    assert rows["Style of one names the group"] == "18 of 100"


def test_style_at_chance_needs_no_advice():
    _, style = verdict.sentences({**ONE, "style_accuracy": 0.2}, SETTINGS)
    assert (
        style
        == "Style hardly names the group, in 20 of 100 cases (chance: 10)."
    )


def test_of_several_levels_a_sentence_each():
    levels = {"light": LIGHT, "room": {"told_by": {"light": 0.3}, **LIGHT}}
    del levels["room"]["content_accuracy"]
    light, room = verdict.sentences({"levels": levels}, SETTINGS)
    assert light == (
        "Of light, a probe names the group right in 71 of 100 from its content "
        "of one held-out observation, in 12 from the content of person, in 20 "
        "from style (chance: 12)."
    )
    assert room.startswith("Of room, a probe names the group right in 12 from")
    # What nothing could be asked of has nothing said of it.
    assert (
        verdict.sentences({"levels": {"light": {"unseen": {}}}}, SETTINGS) == []
    )


def test_groups_never_seen_alone():
    (said,) = verdict.sentences(
        {"levels": {"light": {"unseen": UNSEEN}}}, SETTINGS
    )
    assert said.startswith("Groups never seen in training are identified in 86")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.5, "50"), (0.004, "0.4"), (0.0, "0"), (0.998, "99.8"), (1.0, "100")],
)
def test_shares_near_none_and_all_keep_a_digit(share, text):
    assert verdict.of_100(share) == f"{text} of 100"


def test_headlines_say_what_is_good_and_what_chance_is():
    header, *rows = verdict.headlines({**ONE, "unseen": UNSEEN})
    assert header == ["what", "value", "good is", "chance"]
    assert {len(row) for row in rows} == {4}
    by_name = {name: rest for name, *rest in rows}
    assert by_name["Content of one held-out observation names the group"] == [
        "90 of 100",
        "near 100",
        "10 of 100",
    ]
    assert by_name["Style of one names the group"][1] == "near chance"
    swapped = "Swapped observations are taken for the content's group"
    real = "near 96, as of real ones"
    assert by_name[swapped] == ["99.7 of 100", real, "10 of 100"]
    of_five = by_name["Groups never seen are identified from 5 of each"]
    assert of_five == ["86 of 100", "near 100", "2 of 100"]
    assert by_name["Group ELBO, nats per group"][0] == "-639.9"


def test_headlines_of_several_levels_and_combinations():
    guesses = {"decoded": 0.15, "additive": 0.2, "mean of the light": 0.3}
    swap = {
        "judge_accuracy": 0.9,
        "content_group": {"1": 0.6, "all": 0.8},
        "kept": {"person": 0.7},
    }
    rows = verdict.headlines(
        {
            "levels": {"light": {**LIGHT, "swap": swap}},
            "combinations": {"held_out": guesses},
            "group_elbo": -1.0,
        }
    )
    goods = {row[0]: row[2] for row in rows}
    assert goods["light named by the content of person"] == "near chance"
    assert goods["light named by style"] == "near chance"
    values = {row[0]: row[1] for row in rows}
    swapped = "Swaps of light are taken for the content's light"
    assert values[swapped] == "80 of 100"
    assert goods[swapped] == "near 90, as of real ones"
    assert values["Swaps of light keep the person"] == "70 of 100"
    good = "below 0.200, the best guess without a model"
    assert goods["Error of combinations never seen"] == good
