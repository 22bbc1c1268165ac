"""The results as one HTML file with the pictures inside."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import jinja2
from markupsafe import Markup

from mlvae_tf.evaluation import remedies, tables, verdict
from mlvae_tf.evaluation.captions import caption
from mlvae_tf.evaluation.doubts import Doubt
from mlvae_tf.evaluation.explorer import Explorer
from mlvae_tf.evaluation.measure import Measured
from mlvae_tf.evaluation.remedies import Settings
from mlvae_tf.evaluation.tables import Table

DATA = "The data"
CONTROL = "Control, on held-out observations"
ASKED = "accuracy", "confusion", "calibration"
SEEN = (
    "swap",
    "swap_single",
    "interpolate",
    "generate",
    "reconstruct",
    "map",
)
PARTS = {
    "train": "learned from",
    "held_out": "held out of these groups",
    "unseen": "of groups never seen in training",
}


def _sections(
    pictures: dict[str, bytes], levels: list[str]
) -> dict[str, list[str]]:
    """Names of the pictures by heading; what was not drawn is left out.

    Args:
        pictures: By name.
        levels: Of a model that has several.
    """
    of_unseen = ["unseen_roc", *(f"unseen_{name}" for name in SEEN)]
    sections = {
        DATA: ["sample", *(f"sample_of_{level}" for level in levels)],
        CONTROL: [*SEEN],
        "What content and style say of the group": [*ASKED],
        **{
            f"Level {level}": [f"{name}_of_{level}" for name in SEEN + ASKED]
            for level in levels
        },
        "Combinations never seen in training": ["completed"],
        "Groups never seen in training": ["unseen_completed", *of_unseen],
    }
    drawn = {
        title: [name for name in names if name in pictures]
        for title, names in sections.items()
    }
    return {title: names for title, names in drawn.items() if names}


def _others(measured: Measured) -> list[Doubt]:
    """Doubts beside that of the style, which the verdict has of one level."""
    of_one = "content_accuracy" in measured.results
    return [d for d in measured.doubts if not (of_one and d.kind == "told")]


def _sizes(results: dict[str, Any]) -> list[str]:
    """How much data there was, a line per part."""
    lines = []
    for part, size in results.get("data", {}).items():
        several = len(size["groups"]) > 1
        of = " and ".join(
            f"{count:,} groups{f' by {level}' if several else ''}"
            for level, count in size["groups"].items()
        )
        line = f"{size['observations']:,} observations {PARTS[part]}"
        lines.append(f"{line}: {of}")
    return lines


def _axes(explorer: Explorer | None) -> list[dict[str, Any]]:
    """What the page's script reads of the sliders."""
    return [
        {
            "name": axis.name,
            "labels": axis.labels,
            "steps": axis.steps,
            "positions": axis.positions,
        }
        for axis in (explorer.axes if explorer else [])
    ]


def _with_flags(text: str) -> Markup:
    """A text whose flags are marked as such, and not broken."""
    parts = re.split(f"({remedies.FLAG.pattern})", text)
    marked = [Markup("<code>{}</code>").format(flag) for flag in parts[1::2]]
    parts[1::2] = marked
    return Markup("").join(parts)


def _base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.PackageLoader(__package__, "."),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"base64": _base64, "with_flags": _with_flags}
    return environment.get_template("report.html")


def html(
    measured: Measured,
    record: dict[str, Any],
    settings: Settings,
    commands: str,
    spread: Table | None = None,
) -> str:
    """The report.

    Args:
        measured: Results and pictures.
        record: What `config.json` holds, what was evaluated, and when (`date`).
        settings: What the model was trained with.
        commands: What to type to get the same again.
        spread: The table of several seeds, if there are.

    Returns:
        A whole HTML page.
    """
    results = measured.results
    by_heart = any(doubt.kind == "overfit" for doubt in measured.doubts)
    page = _template().render(
        dataset=record["evaluated on"]["dataset"],
        date=record.get("date"),
        verdict=verdict.sentences(results, settings, by_heart),
        headlines=verdict.headlines(results),
        doubts=_others(measured),
        sizes=_sizes(results),
        table=tables.one(results),
        results=results,
        spread=spread,
        sections=_sections(measured.pictures, list(results.get("levels", {}))),
        pictures=measured.pictures,
        caption=caption,
        explorer=measured.explorer,
        axes=_axes(measured.explorer),
        commands=commands,
        labels=measured.labels.changed(),
        configuration=json.dumps(record, indent=2, ensure_ascii=False),
    )
    # A path that is no UTF-8 has characters that no file can hold.
    return page.encode(errors="backslashreplace").decode()
