"""What was learned, for someone who did not train the model.

One or two sentences, and a short table of what is good and what chance is, made
from the figures.
"""

from __future__ import annotations

from typing import Any

from mlvae_tf.evaluation import remedies
from mlvae_tf.evaluation.doubts import TELLING
from mlvae_tf.evaluation.remedies import Settings
from mlvae_tf.evaluation.tables import Table

SAYS = 0.75  # Of the way from chance to always right.
HEADER = ["what", "value", "good is", "chance"]


def sentences(
    results: dict[str, Any], settings: Settings, by_heart: bool = False
) -> list[str]:
    """The verdict: two sentences of one level, one each of several.

    Args:
        results: What `metrics.json` holds.
        settings: What the model was trained with.
        by_heart: Whether it has learned observations by heart.
    """
    found = []
    if "content_accuracy" in results:
        found = [_content(results), _style(results, settings, by_heart)]
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


def _style(results: dict[str, Any], settings: Settings, by_heart: bool) -> str:
    share, chance = results["style_accuracy"], _style_chance(results)
    told = share > chance + TELLING
    text = "Style still names" if told else "Style hardly names"
    text += f" the group, in {of_100(share)} cases"
    text += f" (chance: {_hundredths(chance)})"
    if not told:
        return f"{text}."
    return f"{text}: try {remedies.style_tells(settings, by_heart)}."


def _style_chance(results: dict[str, Any]) -> float:
    """What the largest of as many probes would say of any styles."""
    return results.get("style_chance", results["chance_accuracy"])


def _others(of_level: dict[str, Any]) -> dict[str, float]:
    """How often a level's groups are named by latents that should not."""
    told = of_level.get("told_by", {})
    by = {f"the content of {other}": share for other, share in told.items()}
    if "style_accuracy" in of_level:
        by["style"] = of_level["style_accuracy"]
    return by


def _level(name: str, of_level: dict[str, Any]) -> str:
    """Of one of several levels."""
    chance = _hundredths(of_level["chance_accuracy"])
    by = [f"{_hundredths(v)} from {k}" for k, v in _others(of_level).items()]
    if "content_accuracy" in of_level:
        count, share = next(iter(of_level["content_accuracy"].items()))
        by.insert(0, f"{of_100(share)} from its content of {_evidence(count)}")
    return (
        f"Of {name}, a probe names the group right in {', in '.join(by)} "
        f"(chance: {chance})."
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
    elbo = f"{results['group_elbo']:.1f}"
    good = "higher, among models of the same data"
    return [HEADER, *rows, ["Group ELBO, nats per group", elbo, good, ""]]


def _named(what: str, share: float, chance: float, good: str = "") -> list[str]:
    """A row of how often what it is of is named right."""
    return [what, of_100(share), good or "near 100", of_100(chance)]


def _of_groups(results: dict[str, Any]) -> Table:
    chance = results["chance_accuracy"]
    rows = [
        _named(f"Content of {_evidence(k)} names the group", share, chance)
        for k, share in _ends(results["content_accuracy"])
    ]
    share = results["style_accuracy"]
    text = "Style of one names the group"
    rows.append(_named(text, share, _style_chance(results), "near chance"))
    text = "Swapped observations are taken for the content's group"
    rows += _swapped(results["swap"], text, chance)
    return rows + _calibrated(results, "contents")


def _swapped(swap: dict[str, Any], text: str, chance: float) -> Table:
    """Whether swaps of as many as there are bear the content's group."""
    real = _hundredths(swap["judge_accuracy"])
    return [
        _named(text, share, chance, f"near {real}, as of real ones")
        for _, share in _ends(swap["content_group"])[-1:]
    ]


def _of_level(name: str, of_level: dict[str, Any]) -> Table:
    chance = of_level.get("chance_accuracy", 0)
    rows = [
        _named(f"{name} named by its content of {_evidence(k)}", share, chance)
        for k, share in _ends(of_level.get("content_accuracy", {}))
    ] + [
        _named(f"{name} named by {latent}", share, chance, "near chance")
        for latent, share in _others(of_level).items()
    ]
    swap = of_level.get("swap", {})
    if swap:
        text = f"Swaps of {name} are taken for the content's {name}"
        rows += _swapped(swap, text, chance)
    rows += [
        [f"Swaps of {name} keep the {other}", of_100(share), "near 100", ""]
        for other, share in swap.get("kept", {}).items()
    ]
    return rows + _calibrated(of_level, f"contents of {name}")


def _calibrated(results: dict[str, Any], what: str) -> Table:
    """Whether scales say how far off contents are, of as few as there are."""
    text = f"Error of {what} beside what their scales say"
    return [
        [text, f"{ratio:.2f}", "near 1; above is too sure", ""]
        for _, ratio in _ends(results.get("calibration", {}))[:1]
    ]


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
        _named(
            f"Groups never seen are identified from {k} of each",
            share,
            unseen["chance_accuracy"][k],
        )
        for k, share in _ends(shares)
    ]
    area = unseen.get("verification_auc", {}).get("content")
    if area is not None:
        text = "Pairs of one group never seen told from pairs of two (AUC)"
        rows.append([text, f"{area:.2f}", "near 1", "0.5"])
    return rows


def _ends(by_count: dict[str, Any]) -> list[tuple[str, Any]]:
    """The first and the last."""
    items = list(by_count.items())
    return items[:1] + items[1:][-1:]
