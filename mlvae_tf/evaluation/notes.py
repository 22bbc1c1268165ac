"""What the numbers are made of, and what was not measured, in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation.posteriors import Counts
from mlvae_tf.evaluation.probes import MAX_BOOSTED_GROUPS
from mlvae_tf.evaluation.shots import EPISODES, MAX_GROUPS, SHOTS

NAMED_BY = {
    "prototypes": "the nearest of the groups' means",
    "neighbours": "the ten nearest training observations",
    "network": "an MLP with two hidden layers of 256",
    "boosted": "gradient boosting",
}


def sizes(splits: Splits) -> dict[str, dict[str, Any]]:
    """How much there is of each part of the data.

    Returns:
        By part (`train`, `held_out`, `unseen`), where it is there,
        `observations` and, by level, `groups`.
    """
    parts = {
        "train": splits.train,
        "held_out": splits.evaluation,
        "unseen": splits.unseen,
    }
    return {
        name: {
            "observations": len(part),
            "groups": {
                level: len(of.groups) for level, of in part.levels.items()
            },
        }
        for name, part in parts.items()
        if part is not None
    }


def of_copies(splits: Splits) -> list[str]:
    """What becomes of copies of observations that were trained on."""
    copies = splits.copies
    if not copies.any():
        return []
    if copies.all():
        return [
            "every held-out observation is a copy of one trained on: figures "
            "are of what was learned, not of anything new"
        ]
    return [
        f"{np.count_nonzero(copies)} of {len(copies)} held-out observations "
        "are copies of ones trained on, and are not measured"
    ]


def of_groups(train: int, held_out: int, asked: int) -> list[str]:
    """Of how many groups it is asked which one, and of how many not.

    Args:
        train: Groups that were trained on.
        held_out: Those with held-out observations.
        asked: Those of which it is asked.
    """
    found = []
    if held_out < train:
        found.append(
            f"{train - held_out} of {train} groups have no held-out "
            "observation, and are not measured"
        )
    if asked < held_out:
        found.append(
            f"which group it is was asked of {asked} of {held_out} groups, "
            "chosen at random: accuracies, entropies and swaps are among these"
        )
    return found


def of_counts(held_out: GroupedData, counts: Counts) -> list[str]:
    """Which numbers of observations few groups have.

    Args:
        held_out: What contents are accumulated from.
        counts: The numbers; None is all.
    """
    sizes = np.bincount(held_out.group_index)
    able = {k: int(np.sum(sizes >= k)) for k in counts if k is not None}
    lacking = [str(k) for k, groups in able.items() if groups < 2]
    few = [
        f"{groups} at k = {k}"
        for k, groups in able.items()
        if 2 <= groups < len(sizes)
    ]
    found = []
    if few:
        found.append(
            f"of {len(sizes)} groups, those with k held-out observations or "
            f"more are {', '.join(few)}: content is measured of these"
        )
    if lacking:
        found.append(
            f"k = {', '.join(lacking)} is not measured: fewer than two groups "
            "have so many held-out observations"
        )
    return found


def of_probes(results: dict[str, Any], groups: int) -> list[str]:
    """What names the group.

    Args:
        results: What `probes.probe_groups` finds.
        groups: Of how many it is asked.
    """
    said = (
        f"content is named by {NAMED_BY[results['content_named_by']]}, the "
        "simplest that did best on a fifth of the training observations"
    )
    if "style_named_by" in results:
        way, kind = results["style_named_by"].split(", ")
        said += (
            f", and style by {NAMED_BY[kind]}, of {way}: what tells most of "
            f"{len(results['style_given'])} ways"
        )
    found = [said]
    if groups > MAX_BOOSTED_GROUPS:
        found.append(
            f"gradient boosting, whose cost is per group, was left out: "
            f"{groups} groups are more than {MAX_BOOSTED_GROUPS}"
        )
    return found


def of_unseen(unseen: GroupedData) -> list[str]:
    """Which questions about groups never seen are asked of few, or of none."""
    sizes = np.bincount(unseen.group_index)
    if len(sizes) == 1:
        return [
            f"the only group held out whole is {unseen.groups[0]}: which "
            "group its observations are of is no question, and is not measured"
        ]
    able = {shots: int(np.sum(sizes > shots)) for shots in SHOTS}
    lacking = [str(shots) for shots, groups in able.items() if groups < 2]
    found = []
    if lacking:
        found.append(
            f"identification from {', '.join(lacking)} shots is not measured: "
            "fewer than two of the groups held out have an observation more"
        )
    if max(able.values()) > MAX_GROUPS:
        found.append(
            f"groups held out are identified among {MAX_GROUPS} at a time, "
            f"drawn at random for each of {EPISODES} episodes"
        )
    return found
