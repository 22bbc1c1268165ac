"""What the pictures of an evaluation show."""

from __future__ import annotations

from typing import NamedTuple


class Caption(NamedTuple):
    """What is said of a picture.

    Attributes:
        title: What it is, in the place of it where it is not seen.
        text: How to read it.
    """

    title: str
    text: str


CAPTIONS = {
    "sample": Caption(
        "Training observations, a row per group",
        "Some of what the model learned from, as it is.",
    ),
    "accuracy": Caption(
        "Accuracy of the probes by number of observations",
        "How often a probe names the group. Content should be near 1 and "
        "style near chance. Shaded: 95% bootstrap intervals.",
    ),
    "confusion": Caption(
        "Which groups are taken for which",
        "From the content of one held-out observation: the true group in rows, "
        "the group that the probe names in columns. All on the diagonal would "
        "be right.",
    ),
    "calibration": Caption(
        "Predicted against actual error of contents",
        "A point is one dimension of the content. Two contents of one group, "
        "each of k other observations, differ by as much as their scales say "
        "where the point is on the line; above it, the posterior is too sure "
        "of itself, below it, too modest; dimensions far below it carry "
        "nothing.",
    ),
    "map": Caption(
        "Map of contents and of styles",
        "Contents and styles of single held-out observations, the first two "
        "principal components, coloured by group. Contents should form a "
        "cluster per group, styles should mix.",
    ),
    "swap": Caption(
        "Swaps: a content per column, a style per row",
        "Each column shares the content of a group, accumulated over up to ten "
        "held-out observations of which the uppermost is one. Each row shares "
        "the style of the held-out observation on its left.",
    ),
    "swap_single": Caption(
        "Swaps with the content of a single observation",
        "The same with the content of the uppermost observation alone.",
    ),
    "interpolate": Caption(
        "From one observation to another",
        "From one held-out observation to another. Along a row the content "
        "moves from one to the other, down a column the style.",
    ),
    "generate": Caption(
        "New observations: a content per row, drawn styles",
        "Each row has the content of a group, of which one held-out "
        "observation is on the left, or a content drawn from the prior; each "
        "column has a style drawn from the prior.",
    ),
    "reconstruct": Caption(
        "Originals and their reconstructions",
        "Held-out observations above; below, what is decoded from their own "
        "style with the content accumulated over up to ten of their group, and "
        "with the content of the observation alone.",
    ),
    "completed": Caption(
        "Combinations of groups, completed, above the truth",
        "Combinations of groups. Framed are originals; the others were held "
        "out, and are drawn from the contents that other observations of their "
        "groups show, with no style. Below each row is the truth.",
    ),
    "unseen_completed": Caption(
        "Groups never seen, completed, above the truth",
        "Groups never seen in training: from the framed observations, how "
        "others are drawn. Below each row is the truth.",
    ),
    "unseen_roc": Caption(
        "ROC curves of telling pairs of one group from pairs of two",
        "Are two observations of the same group? The share of pairs of one "
        "group that is found against the share of pairs of two groups that is "
        "taken for one. Further up and to the left is better.",
    ),
}

# Where there are several levels, of one of them.
OF_LEVEL = {
    "sample": Caption(
        "Training observations, a row per group",
        "Some of what the model learned from, a group of this level in each "
        "row.",
    ),
    "swap": Caption(
        "Swaps: this level's content per column, all else per row",
        "Each column shares this level's content of a group, accumulated over "
        "up to ten held-out observations of which the uppermost is one. Each "
        "row shares all else, as the held-out observation on its left shows "
        "it.",
    ),
}


def caption(name: str) -> Caption:
    """Of a picture, given its name.

    Args:
        name: Of a kind; of groups never seen with `unseen_` before it, of one
            of several levels with `_of_` and the level's name behind it.
    """
    base, _, level = name.partition("_of_")
    if base in CAPTIONS:
        found, of = CAPTIONS[base], level
    else:
        found, of = CAPTIONS[base.removeprefix("unseen_")], "groups never seen"
    if level:
        found = OF_LEVEL.get(base, found)
    return Caption(f"{found.title}, of {of}", found.text) if of else found
