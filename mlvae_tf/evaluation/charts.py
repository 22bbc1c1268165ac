"""Charts of the results, as PNG."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from sklearn.decomposition import PCA

from mlvae_tf import noise
from mlvae_tf.evaluation.calibration import Calibration
from mlvae_tf.evaluation.grid import png
from mlvae_tf.evaluation.names import Labels
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.evaluation.verification import Verification

CONTENT, STYLE, BASELINE = "#1b6ca8", "#d1571b", "#888888"
MAX_POINTS = 3000
MAX_COLORS = 20


def _axes(width: float = 4.6, height: float = 3.4) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def accuracy_curve(results: dict[str, Any]) -> bytes:
    """Accuracy against the number of accumulated observations.

    Args:
        results: From `probes.probe_groups`.
    """
    figure, axes = _axes()
    bounds = results["intervals"]
    for values, limits, label, color, line in (
        (
            results["content_accuracy"],
            bounds["content_accuracy"],
            "content, accumulated",
            CONTENT,
            "o-",
        ),
        (
            results["unaccumulated"]["content_accuracy"],
            bounds["unaccumulated"]["content_accuracy"],
            "content, not accumulated",
            CONTENT,
            "o:",
        ),
    ):
        x = np.arange(len(values))
        axes.plot(x, list(values.values()), line, color=color, label=label)
        low, high = np.array(list(limits.values())).T
        axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0)
    if "style_accuracy" in results:
        axes.axhline(results["style_accuracy"], color=STYLE, label="style")
        axes.axhspan(*bounds["style_accuracy"], color=STYLE, alpha=0.15, lw=0)
    axes.axhline(
        results["chance_accuracy"], color=BASELINE, ls="--", label="chance"
    )
    axes.set_xticks(x, list(results["content_accuracy"]))
    axes.set(
        xlabel="observations of the group, k",
        ylabel="how often the group is named",
        ylim=(0, 1.03),
    )
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    return png(figure)


def confusion(
    counts: np.ndarray, groups: list[str], labels: Labels | None = None
) -> bytes:
    """Which groups are taken for which, from the content of one observation.

    Args:
        counts: `[G, G]`, rows the true groups.
        groups: Their names.
        labels: What is drawn for these; by default this chart's own.
    """
    labels = Labels() if labels is None else labels
    drawn = [labels[group] for group in groups] if len(groups) <= 30 else []
    longest = max(map(len, drawn), default=0)
    size = min(max(3.4, 0.42 * len(groups)), 12) + 0.07 * longest
    figure, axes = _axes(size + 0.6, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the row", shrink=0.8)
    if drawn:
        axes.set_xticks(np.arange(len(groups)), drawn)
        axes.set_yticks(np.arange(len(groups)), drawn)
        axes.tick_params("x", rotation=90 if longest > 2 else 0)
    for (row, column), count in np.ndenumerate(counts):
        if count and len(groups) <= 15:
            axes.text(
                column,
                row,
                count,
                ha="center",
                va="center",
                fontsize=7,
                color="white" if shares[row, column] > 0.5 else "#333",
            )
    axes.spines[:].set_visible(False)
    axes.set(xlabel="group named by the probe", ylabel="group")
    return png(figure)


def calibration(measured: dict[str, Calibration]) -> bytes:
    """Predicted against actual error of contents, a point per dimension.

    Args:
        measured: From `calibration.measure`.
    """
    figure, axes = _axes()
    colors = np.linspace(1, 0.35, len(measured))[::-1]
    drawn = []
    for shade, (count, value) in zip(colors, measured.items()):
        predicted, actual = (np.sqrt(part.mean(axis=0)) for part in value)
        axes.scatter(
            predicted,
            actual,
            s=22,
            label=f"k = {count}",
            color=_shade(shade),
        )
        drawn += [predicted, actual]
    values = np.concatenate(drawn)
    limits = values.min() * 0.8, values.max() * 1.25
    axes.plot(limits, limits, "--", color=BASELINE, label="calibrated")
    axes.set(
        xscale="log",
        yscale="log",
        xlim=limits,
        ylim=limits,
        xlabel="error that the scales predict",
        ylabel="error",
    )
    for axis in axes.xaxis, axes.yaxis:
        axis.set_major_formatter(_Decimal())
        axis.set_minor_formatter(_Decimal())
    axes.legend(frameon=False, fontsize=8)
    return png(figure)


class _Decimal(LogFormatter):
    """Labels such as 0.1, where Matplotlib's are mathematics."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def _shade(amount: float) -> tuple[float, float, float]:
    """From a light to the full colour of content."""
    full = np.array([0x1B, 0x6C, 0xA8]) / 255
    return tuple(1 - amount * (1 - full))


def roc(curves: dict[str, Verification]) -> bytes:
    """Verification of unseen groups, by representation."""
    figure, axes = _axes(3.9, 3.6)
    colors = {"content": CONTENT, "style": STYLE}
    lines = {"means": "--", "discriminants": "-."}
    for name, (false, true, area) in curves.items():
        kind, _, how = name.partition("_")
        axes.plot(
            false,
            true,
            color=colors.get(kind, BASELINE),
            ls=":" if kind == "pixels" else lines.get(how, "-"),
            label=f"{name.replace('_', ' ')}, AUC {area.value:.3f}",
        )
    axes.plot([0, 1], [0, 1], "--", color=BASELINE, lw=0.8)
    axes.set(
        xlabel="different, taken for the same",
        ylabel="same, taken for the same",
        aspect="equal",
    )
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return png(figure)


def latent_map(posteriors: Posteriors, labels: Labels | None = None) -> bytes:
    """Contents and styles of single observations in two dimensions.

    The two first principal components, coloured by group: the twenty most
    frequent, the others in grey.

    Args:
        posteriors: Of any observations.
        labels: What is drawn for the groups' names; by default this map's own.
    """
    groups, sizes = np.unique(posteriors.group_ids, return_counts=True)
    shown = groups[np.argsort(-sizes, kind="stable")][:MAX_COLORS]
    keep = noise.generator(0, noise.Stream.SAMPLE).permutation(
        len(posteriors.group_ids)
    )
    keep = keep[:MAX_POINTS]
    ids = posteriors.group_ids[keep]
    latents = {"content": posteriors.content, "style": posteriors.style}
    drawn = {k: of.loc.numpy() for k, of in latents.items() if of.loc.shape[1]}
    figure = Figure(figsize=(4.2 * len(drawn), 4), layout="constrained")
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axes, (name, points) in zip(panels, drawn.items()):
        points = points[keep]
        if points.shape[1] > 2:
            points = PCA(2, random_state=0).fit_transform(points)
        points = np.pad(points, [(0, 0), (0, 2 - points.shape[1])])
        rest = ~np.isin(ids, shown)
        axes.scatter(*points[rest].T, s=5, color="#cccccc")
        for index, group in enumerate(np.sort(shown)):
            axes.scatter(
                *points[ids == group].T,
                s=6,
                alpha=0.7,
                color=_palette(index, len(shown)),
                label=f"group {index}",  # `_legend` writes its name there.
            )
        axes.set(title=name, xticks=[], yticks=[])
        axes.spines[:].set_color("#cccccc")
    if len(groups) <= MAX_COLORS:
        labels = Labels() if labels is None else labels
        _legend(figure, axes, [labels[str(group)] for group in groups])
    return png(figure)


def _legend(figure: Figure, axes: Axes, labels: list[str]) -> None:
    """Beside the axes, with a label for each of what has one there."""
    legend = figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside right center",
        frameon=False,
        fontsize=8,
        markerscale=2,
    )
    # Matplotlib itself leaves out labels that begin with "_".
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)


def _palette(index: int, count: int) -> Any:
    return colormaps["tab10" if count <= 10 else "tab20"](index)
