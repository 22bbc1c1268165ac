"""What a model fails at, in words, and what to try."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import signs
from mlvae_tf.evaluation.signs import Sample, Signs
from mlvae_tf.model import MLVAE

LOOKED_AT = 2000  # Observations.
LEAST_DRAWN = 0.01  # Of the variance, by a latent that is not ignored.
OVERFIT = 0.25  # Of what is drawn of training observations.
LEAST_EXPLAINED = 0.1  # Of the variance, by a model that has learned any.
LEAST_STEPS = 500  # Of a training.
STILL_GAINING = 0.05  # Of what validations gained in all.
TELLING = 0.1  # Accuracy beyond chance, of a latent that names the group.
STYLE = "style"
CONTENT_COLLAPSED = (
    "--content_kl_weight=1, a larger --content_contrast, more "
    "--observations_per_group, or a smaller --observation_scale"
)
STYLE_COLLAPSED = (
    "--style_kl_weight=1 and --style_kl_start=1, a smaller "
    "--observation_scale, or more --steps"
)
STYLE_TELLS = (
    "--style_flow=6 and --style_given_content, more --steps, or a larger "
    "--content_contrast"
)


class Doubt(NamedTuple):
    """One thing that a model fails at.

    Attributes:
        kind: Which: `"groups"`, `"content"`, `"style"`, `"told"`,
            `"content_ignored"`, `"style_ignored"`, `"overfit"`, `"length"`;
            of several levels with their names in the place of `"content"`.
        finding: In words.
        remedy: What to try, a sentence without its full stop.
    """

    kind: str
    finding: str
    remedy: str

    @property
    def text(self) -> str:
        """Both."""
        return f"{self.finding}. {self.remedy}"


def doubts(model: MLVAE, splits: Splits, seed: int) -> list[Doubt]:
    """What to say of a trained model; nothing where all is well.

    Args:
        model: The model.
        splits: What it was trained on and is measured on.
        seed: Of what is looked at.
    """
    sample = Sample.of(splits, LOOKED_AT, seed)
    return [
        *of_data(splits.train),
        *of_signs(signs.look(model, sample)),
    ]


def of_data(train: GroupedData) -> list[Doubt]:
    """Whether groups have what can be shared, on every level."""
    if not train.others:
        return of_groups(train.group_index)
    return [
        doubt
        for name, index in train.index.items()
        for doubt in of_groups(index, f" by {name}")
    ]


def of_groups(group_index: np.ndarray, which: str = "") -> list[Doubt]:
    """Whether groups have what can be shared."""
    single = float(np.mean(np.bincount(group_index) == 1))
    if single <= 0.5:
        return []
    finding = (
        f"{single:.0%} of the training groups{which} have a single "
        "observation, and share nothing: content is learned from the others "
        "alone"
    )
    remedy = "Check that the ids name what observations share, not the "
    return [Doubt("groups", finding, remedy + "observations")]


def of_signs(seen: Signs) -> list[Doubt]:
    """What the signs tell."""
    return [
        *_of_latents(seen),
        *_of_decoder(seen.drawn),
        *_of_telling(seen.accuracy, seen.chance),
        *_of_fit(seen.explained, seen.explained_held_out),
    ]


def of_length(elbos: list[float], settled: int, steps: int) -> list[Doubt]:
    """Whether a training was too short, or ended while it still gained.

    Of a short one, whose learning rate falls all the while, ELBOs need not
    tell.

    Args:
        elbos: Those of its validations, nats per group.
        settled: How many of the last were with the final weights of the KLs.
        steps: How many it took.
    """
    if steps < LEAST_STEPS:
        finding = f"the training had {steps} steps, which is few"
        remedy = f"Try --steps={2 * LEAST_STEPS} or more"
        return [Doubt("length", finding, remedy)]
    if settled < 5:
        return []
    *_, before, last = np.array_split(elbos[-settled:], 5)
    gained = np.mean(last) - np.mean(before)
    if gained <= STILL_GAINING * (np.max(elbos) - np.min(elbos)):
        return []
    finding = (
        f"the last fifth of the training still gained {gained:.3g} nats per "
        "group"
    )
    return [Doubt("length", finding, "Try twice the --steps")]


def _of_latents(seen: Signs) -> list[Doubt]:
    """Whether all latents say anything."""
    return [
        Doubt(
            name,
            f"{name} has collapsed (KL {kl.sum():.2g} nats per "
            f"{'observation' if name == STYLE else 'group'}, none of "
            f"{len(kl)} dimensions says anything)",
            "Try " + (STYLE_COLLAPSED if name == STYLE else CONTENT_COLLAPSED),
        )
        for name, kl in seen.kl.items()
        if not seen.active[name]
    ]


def _of_decoder(drawn: dict[str, float]) -> list[Doubt]:
    """Whether the decoder draws both latents."""
    return [
        Doubt(
            f"{name}_ignored",
            f"the decoder ignores the {name}: with that of another "
            f"observation, {share:.1%} of the variance changes",
            "Try a smaller --observation_scale, or more --steps",
        )
        for name, share in drawn.items()
        if share < LEAST_DRAWN
    ]


def _of_telling(
    accuracy: dict[str, dict[str, float]], chance: dict[str, float]
) -> list[Doubt]:
    """Whether a quick probe tells a level's groups from other latents."""
    found = []
    for level, by_latent in accuracy.items():
        told = by_latent.get(STYLE, 0.0)
        if told > chance[level] + TELLING:
            group = "group" if len(accuracy) == 1 else level
            finding = (
                f"style still names the {group}: a linear probe is right in "
                f"{told:.0%} of cases (chance {chance[level]:.0%})"
            )
            found.append(Doubt("told", finding, f"Try {STYLE_TELLS}"))
        for other, share in by_latent.items():
            if other in (level, STYLE) or share <= chance[level] + TELLING:
                continue
            finding = (
                f"the content of {other} names the {level} of {share:.0%} "
                f"(chance {chance[level]:.0%})"
            )
            remedy = (
                "Try a larger --content_contrast, or fewer dimensions, "
                f"--level_dims={other}:8"
            )
            found.append(Doubt(f"{other}_tells_{level}", finding, remedy))
    return found


def _of_fit(train: float, held_out: float | None) -> list[Doubt]:
    """Whether the model draws what it was trained on much better than others.

    Args:
        train: The share of the variance of training observations drawn.
        held_out: Of others.
    """
    if held_out is None or train < LEAST_EXPLAINED:
        return []
    if train - held_out <= OVERFIT * train:
        return []
    finding = (
        "the model has learned the training observations by heart: it draws "
        f"{train:.0%} of what differs between them, and {held_out:.0%} of "
        "others"
    )
    remedy = (
        "Try fewer --steps, smaller --hidden_units, a larger "
        "--observation_scale, or more data"
    )
    return [Doubt("overfit", finding, remedy)]
