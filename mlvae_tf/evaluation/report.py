"""The results as a table, and as one HTML file with the pictures inside."""

from __future__ import annotations

import base64
import importlib.resources
import json
from typing import Any

import jinja2

EXPLANATION = (
    "A probe learns to name the group from the content or style means of "
    "single training observations, and is scored on held-out observations. "
    "Accuracy is the fraction that it names right; cross-entropy is an upper "
    "bound of what is left unknown of the group, in nats. Content accumulates "
    "the evidence of k observations of a group. A style that says nothing of "
    "the group is at chance. Of groups never seen in training, a gallery of "
    "so many shots each is shown, and another observation is to be named."
)


def table(metrics: dict[str, Any]) -> list[list[str]]:
    """Header and rows, as text."""
    rows = [["what", "accuracy", "cross-entropy"]]
    for count, accuracy in metrics["content_accuracy"].items():
        entropy = metrics["content_entropy"][count]
        rows.append(
            [f"content, k = {count}", f"{accuracy:.3f}", f"{entropy:.3f}"]
        )
    rows.append(
        [
            "style",
            f"{metrics['style_accuracy']:.3f}",
            f"{metrics['style_entropy']:.3f}",
        ]
    )
    rows.append(["chance", f"{metrics['chance_accuracy']:.3f}", ""])
    unseen = metrics.get("unseen", {})
    for name, accuracies in unseen.get("identification", {}).items():
        for shots, accuracy in accuracies.items():
            label = f"unseen, {name.replace('_', ' ')}, {shots} shots"
            rows.append([label, f"{accuracy:.3f}", ""])
    return rows


def format_table(rows: list[list[str]]) -> str:
    """A table for a terminal: first column to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        first, *rest = row
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(rest, widths[1:])]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * sum(widths, 2 * (len(widths) - 1)))
    return "\n".join(lines)


def _summary(metrics: dict[str, Any]) -> str:
    few, many = (list(metrics["content_accuracy"].items())[i] for i in (0, -1))
    return (
        "From the content of a single held-out observation the group is named "
        f"right in {few[1]:.1%} of cases, from the accumulated content of "
        f"{many[0]} in {many[1]:.1%}. From the style it is named right in "
        f"{metrics['style_accuracy']:.1%}, where "
        f"{metrics['chance_accuracy']:.1%} is chance. The group ELBO is "
        f"{metrics['group_elbo']:.1f} nats a group."
    )


def html(
    metrics: dict[str, Any],
    record: dict[str, Any],
    pictures: dict[str, bytes],
    commands: str,
) -> str:
    """The report.

    Args:
        metrics: What `metrics.json` holds.
        record: What `config.json` holds.
        pictures: PNG pictures by caption.
        commands: What to type to get the same again.

    Returns:
        A whole HTML page.
    """
    source = importlib.resources.files(__package__) / "report.html"
    template = jinja2.Environment(autoescape=True).from_string(
        source.read_text(encoding="utf-8")
    )
    return template.render(
        dataset=record["evaluated on"]["dataset"],
        summary=_summary(metrics),
        table=table(metrics),
        explanation=EXPLANATION,
        pictures=[
            (caption, base64.b64encode(picture).decode())
            for caption, picture in pictures.items()
        ],
        commands=commands,
        configuration=json.dumps(record, indent=2),
    )
