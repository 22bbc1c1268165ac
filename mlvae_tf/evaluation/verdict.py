"""What was learned, for someone who did not train the model.

One or two sentences, and a short table of what is good and what chance is, made
from the figures.
"""

from __future__ import annotations

from typing import Any

from mlvae_tf.evaluation.doubts import STYLE_TELLS, TELLING
from mlvae_tf.evaluation.tables import Table

SAYS = 0.75  # Of the way from chance to always right.
HEADER = ["what", "value", "good is", "chance"]
HUNDRED = "near 100"


def sentences(results: dict[str, Any]) -> list[str]:
    """The verdict: two sentences of one level, one each of several.

    Args:
        results: What `metrics.json` holds.
    """
    found = []
    if "content_accuracy" in results:
        found = [_content(results), _style(results)]
    for name, of_level in results.get("levels", {}).items():
        if "told_by" in of_level:
            found.append(_level(name, of_level))
    unseen = _identified(results)
    if unseen and found:
        found[0] = f"{found[0].removesuffix('.')}; {unseen}"
    elif unseen:
        found = [unseen[0].upper() + unseen[1:]]
    return found


def of_100(share: float) -> str:
    """A share as so many of a hundred."""
    return f"{_hundredths(share)} of 100"


def _hundredths(share: float) -> str:
    value = 100 * share
    digits = 0 if 1 <= value <= 99 else 1
    return f"{value:.{digits}f}".removesuffix(".0")


def _evidence(count: str) -> str:
    """Of how many held-out observations a content is, in words."""
    if count == "all":
        return "all held-out observations of a group"
    return f"{'one' if count == '1' else count} held-out observation" + (
        "" if count == "1" else "s"
    )


def _content(results: dict[str, Any]) -> str:
    accuracies = list(results["content_accuracy"].items())
    (few, share), (many, most) = accuracies[0], accuracies[-1]
    chance = results["chance_accuracy"]
    if share >= chance + SAYS * (1 - chance):
        says = "Content says which group it is"
    elif max(share, most) > chance + TELLING:
        says = "Content says in part which group it is"
    else:
        says = "Content does not say which group it is"
    text = f"{says}: a probe is right in {of_100(share)} cases from "
    text += _evidence(few)
    if many != few:
        text += f", in {of_100(most)} from {_evidence(many)}"
    return f"{text} (chance: {_hundredths(chance)})."


def _style(results: dict[str, Any]) -> str:
    share, chance = results["style_accuracy"], results["chance_accuracy"]
    told = share > chance + TELLING
    text = "Style still names" if told else "Style hardly names"
    text += f" the group, in {of_100(share)} (chance: {_hundredths(chance)})"
    return f"{text}: try {STYLE_TELLS}." if told else f"{text}."


def _level(name: str, of_level: dict[str, Any]) -> str:
    """Of one of several levels."""
    by = {
        f"the content of {other}": share
        for other, share in of_level["told_by"].items()
    }
    if "style_accuracy" in of_level:
        by["style"] = of_level["style_accuracy"]
    others = " and ".join(f"{_hundredths(v)} from {k}" for k, v in by.items())
    chance = _hundredths(of_level["chance_accuracy"])
    if "content_accuracy" not in of_level:
        return (
            f"Of {name}, a probe names the group in so many of 100 cases: "
            f"{others} (chance: {chance})."
        )
    count, share = next(iter(of_level["content_accuracy"].items()))
    return (
        f"Of {name}, a probe names the group right in {of_100(share)} cases "
        f"from its content of {_evidence(count)}, in {others} (chance: "
        f"{chance})."
    )


def _unseen(results: dict[str, Any]) -> dict[str, Any]:
    """What is measured of groups never seen, on whichever level they are."""
    if "unseen" in results:
        return results["unseen"]
    levels = results.get("levels", {}).values()
    return next((of["unseen"] for of in levels if "unseen" in of), {})


def _identified(results: dict[str, Any]) -> str:
    """Whether groups never seen are told apart; empty where none are."""
    unseen = _unseen(results)
    if not unseen.get("identification", {}).get("content"):
        return ""
    count, share = list(unseen["identification"]["content"].items())[-1]
    plural = "" if count == "1" else "s"
    return (
        f"groups never seen in training are identified in {of_100(share)} "
        f"cases from {count} observation{plural} of each (chance: "
        f"{_hundredths(unseen['chance_accuracy'][count])})."
    )


def headlines(results: dict[str, Any]) -> Table:
    """The figures to look at first: value, what is good, what chance is.

    Args:
        results: What `metrics.json` holds.
    """
    rows = _of_groups(results) if "content_accuracy" in results else []
    for name, of_level in results.get("levels", {}).items():
        rows += _of_level(name, of_level)
    rows += _of_combinations(results.get("combinations", {}))
    rows += _of_unseen(_unseen(results))
    elbo = results["group_elbo"]
    comparison = "higher, among models of the same data"
    rows.append(["Group ELBO, nats per group", f"{elbo:.1f}", comparison, ""])
    return [HEADER, *rows]


def _of_groups(results: dict[str, Any]) -> Table:
    chance = of_100(results["chance_accuracy"])
    rows = [
        [f"Content of {_evidence(k)} names the group", of_100(share), HUNDRED,
         chance]
        for k, share in _ends(results["content_accuracy"])
    ]  # fmt: skip
    share = results["style_accuracy"]
    rows.append(
        ["Style of one names the group", of_100(share), "near chance", chance]
    )
    swap = results["swap"]
    rows += [
        ["Swapped observations are taken for the content's group",
         of_100(share), f"near {_hundredths(swap['judge_accuracy'])}, as of "
         "real ones", chance]
        for _, share in _ends(swap["content_group"])[-1:]
    ]  # fmt: skip
    return rows + _calibrated(results, "contents")


def _of_level(name: str, of_level: dict[str, Any]) -> Table:
    chance = of_100(of_level.get("chance_accuracy", 0))
    rows = [
        [f"{name}, named by its content of {_evidence(k)}", of_100(share),
         HUNDRED, chance]
        for k, share in _ends(of_level.get("content_accuracy", {}))
    ]  # fmt: skip
    others = {
        f"the content of {other}": share
        for other, share in of_level.get("told_by", {}).items()
    }
    if "style_accuracy" in of_level:
        others["style"] = of_level["style_accuracy"]
    rows += [
        [f"{name}, named by {other}", of_100(share), "near chance", chance]
        for other, share in others.items()
    ]
    return rows + _calibrated(of_level, f"contents of {name}")


def _calibrated(results: dict[str, Any], what: str) -> Table:
    """Whether scales say how far off contents are, of as few as there are."""
    return [
        [f"Error of {what} beside what their scales say", f"{ratio:.2f}",
         "near 1; above is too sure", ""]
        for _, ratio in _ends(results.get("calibration", {}))[:1]
    ]  # fmt: skip


def _of_combinations(results: dict[str, Any]) -> Table:
    guesses = dict(results.get("held_out", {}))
    if "decoded" not in guesses:
        return []
    error, least = guesses.pop("decoded"), min(guesses.values())
    good = f"below {least:.3f}, the best guess without a model"
    return [["Error of combinations never seen", f"{error:.3f}", good, ""]]


def _of_unseen(unseen: dict[str, Any]) -> Table:
    shares = unseen.get("identification", {}).get("content", {})
    rows = [
        [f"Groups never seen, identified from {k} each", of_100(share), HUNDRED,
         of_100(unseen["chance_accuracy"][k])]
        for k, share in _ends(shares)
    ]  # fmt: skip
    area = unseen.get("verification_auc", {}).get("content")
    if area is not None:
        what = "Pairs of one group never seen told from pairs of two (AUC)"
        rows.append([what, f"{area:.2f}", "near 1", "0.5"])
    return rows


def _ends(by_count: dict[str, Any]) -> list[tuple[str, Any]]:
    """The first and the last."""
    items = list(by_count.items())
    return items[:1] + items[1:][-1:]
