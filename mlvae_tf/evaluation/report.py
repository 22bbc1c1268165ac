"""The results as one HTML file with the pictures inside."""

from __future__ import annotations

import base64
import importlib.resources
import json
from typing import Any

import jinja2

from mlvae_tf.evaluation import tables
from mlvae_tf.evaluation.measure import Measured
from mlvae_tf.evaluation.tables import Table

# Name of a picture: what it shows.
CAPTIONS = {
    "accuracy": "How often the probe names the group. Shaded: 95% bootstrap "
    "intervals.",
    "confusion": "From the content of one held-out observation: the true group "
    "in rows, the group that the probe names in columns.",
    "calibration": "A point is one dimension of the content. Two contents of "
    "one group, each of k other observations, differ by as much as their "
    "scales say where the point is on the line; above it, the posterior is "
    "too sure of itself, below it, too modest; dimensions far below it carry "
    "nothing.",
    "map": "Contents and styles of single held-out observations, the first two "
    "principal components, coloured by group.",
    "swap": "Each column shares the content of a group, accumulated over up to "
    "ten held-out observations of which the uppermost is one. Each row shares "
    "the style of the held-out observation on its left.",
    "swap_single": "The same with the content of the uppermost observation "
    "alone.",
    "interpolate": "From one held-out observation to another. Along a row the "
    "content moves from one to the other, down a column the style.",
    "generate": "Each row has the content of a group, of which one held-out "
    "observation is on the left, or a content drawn from the prior; each "
    "column has a style drawn from the prior.",
    "reconstruct": "Held-out observations above; below, what is decoded from "
    "their own style with the content accumulated over up to ten of their "
    "group, and with the content of the observation alone.",
    "completed": "Combinations of groups. Framed are originals; the others "
    "were held out, and are drawn from the contents that other observations of "
    "their groups show, with no style. Below each row is the truth.",
    "unseen_completed": "Groups never seen in training: from the framed "
    "observations, how others are drawn. Below each row is the truth.",
    "unseen_roc": "Are two observations of the same group? The share of pairs "
    "of one group that is found against the share of pairs of two groups that "
    "is taken for one.",
}

# Where there are several levels, of one of them.
OF_LEVEL = {
    "swap": "Each column shares this level's content of a group, accumulated "
    "over up to ten held-out observations of which the uppermost is one. Each "
    "row shares all else, as the held-out observation on its left shows it.",
}

ASKED = "accuracy", "confusion", "calibration"
SEEN = (
    "swap",
    "swap_single",
    "interpolate",
    "generate",
    "reconstruct",
    "map",
)


def summary(metrics: dict[str, Any]) -> list[str]:
    """What was learned, in three sentences at most."""
    sentences = _seen(metrics) if "content_accuracy" in metrics else []
    for name, of_level in metrics.get("levels", {}).items():
        sentences += _of_level(name, of_level)
    identified = metrics.get("unseen", {}).get("identification")
    if identified:
        k, share = list(identified["content"].items())[-1]
        found = (
            f"of groups never seen in training {share:.1%} of queries are "
            f"identified from {k} observations of each."
        )
        if sentences:
            sentences[-1] = f"{sentences[-1].removesuffix('.')}, and {found}"
        else:
            sentences = [found.capitalize()]
    return sentences


def _of_level(name: str, of_level: dict[str, Any]) -> list[str]:
    """What latents say of one of several levels."""
    if "content_accuracy" not in of_level:
        return []
    k, share = next(iter(of_level["content_accuracy"].items()))
    others = {
        f"the content of {other}": accuracy
        for other, accuracy in of_level["told_by"].items()
    }
    if "style_accuracy" in of_level:
        others["the style"] = of_level["style_accuracy"]
    from_others = ", ".join(
        f"{accuracy:.1%} from {latent}" for latent, accuracy in others.items()
    )
    return [
        f"Of {name}, a probe names the group right in {share:.1%} of cases "
        f"from its content of {k} held-out observation"
        f"{'' if k == '1' else 's'}, in {from_others}; always naming the "
        f"most frequent is right in {of_level['chance_accuracy']:.1%}."
    ]


def _seen(metrics: dict[str, Any]) -> list[str]:
    """Of held-out observations of the training groups."""
    accuracies = metrics["content_accuracy"]
    shares = list(accuracies.items())
    few, many = shares[0], shares[-1]
    content = (
        "all held-out observations of a group"
        if many[0] == "all"
        else f"{many[0]} observations"
    )
    swap = metrics["swap"]
    sentences = [
        "Content says which group it is: a probe names it right in "
        f"{few[1]:.1%} of cases from {few[0]} held-out observation"
        f"{'' if few[0] == '1' else 's'}, and in {many[1]:.1%} from {content}.",
        "From the style of one, what tells most of it is right in "
        f"{metrics['style_accuracy']:.1%}, where always naming the most "
        f"frequent group is right in {metrics['chance_accuracy']:.1%}.",
    ]
    if swap["content_group"]:
        k, share = list(swap["content_group"].items())[-1]
        sentences.append(
            f"Of observations made of one group's content (k = {k}) and "
            f"another's style, {share:.1%} are taken for the group of the "
            "content by a judge that is right on "
            f"{swap['judge_accuracy']:.1%} of real ones."
        )
    return sentences


def _figure(pictures: dict[str, bytes], name: str) -> dict[str, str]:
    base, _, level = name.partition("_of_")
    caption = CAPTIONS.get(base) or CAPTIONS[base.removeprefix("unseen_")]
    if level:
        caption = OF_LEVEL.get(base, caption)
    data = base64.b64encode(pictures[name]).decode()
    return {"name": name, "caption": caption, "data": data}


def _sections(
    pictures: dict[str, bytes], levels: list[str]
) -> list[dict[str, Any]]:
    """Headings, each with its figures; what was not drawn is left out.

    Args:
        pictures: By name.
        levels: Of a model that has several.
    """
    of_unseen = ["unseen_roc", *(f"unseen_{name}" for name in SEEN)]
    sections: list[tuple[str, list[str]]] = [
        ("What content and style say of the group", [*ASKED]),
        ("Control, on held-out observations", [*SEEN]),
        *(
            (f"Level {level}", [f"{name}_of_{level}" for name in ASKED + SEEN])
            for level in levels
        ),
        ("Combinations never seen in training", ["completed"]),
        ("Groups never seen in training", ["unseen_completed", *of_unseen]),
    ]
    return [
        {
            "title": title,
            "figures": [_figure(pictures, n) for n in names if n in pictures],
        }
        for title, names in sections
        if any(name in pictures for name in names)
    ]


def html(
    measured: Measured,
    record: dict[str, Any],
    commands: str,
    spread: Table | None = None,
) -> str:
    """The report.

    Args:
        measured: Results and pictures.
        record: What `config.json` holds, and what was evaluated.
        commands: What to type to get the same again.
        spread: The table of several seeds, if there are.

    Returns:
        A whole HTML page.
    """
    source = importlib.resources.files(__package__) / "report.html"
    template = jinja2.Environment(autoescape=True).from_string(
        source.read_text(encoding="utf-8")
    )
    page = template.render(
        dataset=record["evaluated on"]["dataset"],
        summary=summary(measured.results),
        table=tables.one(measured.results),
        results=measured.results,
        spread=spread,
        sections=_sections(
            measured.pictures, list(measured.results.get("levels", {}))
        ),
        commands=commands,
        labels=measured.labels.changed(),
        configuration=json.dumps(record, indent=2, ensure_ascii=False),
    )
    # A path that is no UTF-8 has characters that no file can hold.
    return page.encode(errors="backslashreplace").decode()
