"""What a model fails at, in words, and what to try."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import remedies, signs
from mlvae_tf.evaluation.remedies import Settings
from mlvae_tf.evaluation.signs import Sample, Signs
from mlvae_tf.model import MLVAE

LOOKED_AT = 2000  # Observations.
LEAST_DRAWN = 0.01  # Of the variance, by a latent that is not ignored.
OVERFIT = 0.25  # Of what is drawn of training observations.
LEAST_EXPLAINED = 0.1  # Of the variance, by a model that has learned any.
LEAST_STEPS = 500  # Of a training.
STILL_GAINING = 0.05  # Of what validations gained in all.
FAR = 2.0  # Times as far as those it learned from, of styles by a flow.
TELLING = 0.1  # Accuracy beyond chance, of a latent that names the group.
STYLE = "style"


class Doubt(NamedTuple):
    """One thing that a model fails at.

    Attributes:
        kind: Which: `"groups"`, `"content"`, `"style"`, `"told"`,
            `"content_ignored"`, `"style_ignored"`, `"style_far"`, `"overfit"`,
            `"length"`; of several levels with their names in the place of
            `"content"`.
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


def doubts(
    model: MLVAE, splits: Splits, seed: int, settings: Settings
) -> list[Doubt]:
    """What to say of a trained model; nothing where all is well.

    Args:
        model: The model.
        splits: What it was trained on and is measured on.
        seed: Of what is looked at.
        settings: It was trained with.
    """
    sample = Sample.of(splits, LOOKED_AT, seed)
    return [
        *of_data(splits.train),
        *of_signs(signs.look(model, sample), settings),
    ]


def of_data(train: GroupedData) -> list[Doubt]:
    """Whether groups have what can be shared, on every level."""
    if not train.others:
        return of_groups(train.group_index)
    return [
        doubt
        for name, index in train.group_indices.items()
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


def of_signs(seen: Signs, settings: Settings) -> list[Doubt]:
    """What the signs of a model tell that was trained with these settings."""
    of_fit = _of_fit(seen, settings)
    by_heart = bool(of_fit)
    return [
        *_of_latents(seen, settings, by_heart),
        *_of_decoder(seen.drawn, settings, by_heart),
        *_of_style(seen, settings, by_heart),
        *_of_flow(seen, settings),
        *_of_contents(seen, settings),
        *of_fit,
    ]


def of_length(
    elbos: list[float], settled: int, steps: int, settings: Settings
) -> list[Doubt]:
    """Whether a training was too short, or ended while it still gained.

    Of a short one, whose learning rate falls all the while, ELBOs need not
    tell.

    Args:
        elbos: Those of its validations, nats per group.
        settled: How many of the last were with the final weights of the KLs.
        steps: How many it took.
        settings: Those of the run.
    """
    if steps < LEAST_STEPS:
        finding = f"the training had {steps} steps, which is few"
        longer = remedies.short(settings, steps, 2 * LEAST_STEPS)
        return [Doubt("length", finding, f"Try {longer}")]
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
    remedy = f"Try {remedies.still_gaining(settings)}"
    return [Doubt("length", finding, remedy)]


def _of_latents(seen: Signs, settings: Settings, by_heart: bool) -> list[Doubt]:
    """Whether all latents say anything."""
    remedy_of = {STYLE: partial(remedies.style_collapsed, by_heart=by_heart)}
    return [
        Doubt(
            name,
            f"{name} has collapsed (KL {kl.sum():.2g} nats per "
            f"{'observation' if name == STYLE else 'group'}, none of "
            f"{len(kl)} dimensions says anything)",
            f"Try {remedy_of.get(name, remedies.content_collapsed)(settings)}",
        )
        for name, kl in seen.kl.items()
        if not seen.active[name]
    ]


def _of_decoder(
    drawn: dict[str, float], settings: Settings, by_heart: bool
) -> list[Doubt]:
    """Whether the decoder draws both latents."""
    return [
        Doubt(
            f"{name}_ignored",
            f"the decoder ignores the {name}: with that of another "
            f"observation, {share:.1%} of the variance changes",
            f"Try {remedies.ignored(settings, by_heart)}",
        )
        for name, share in drawn.items()
        if share < LEAST_DRAWN
    ]


def _of_style(seen: Signs, settings: Settings, by_heart: bool) -> list[Doubt]:
    """Whether a quick probe names a level's groups by the style."""
    found = []
    for level, by_latent in seen.accuracy.items():
        told, chance = by_latent.get(STYLE, 0.0), seen.chance[level]
        if told <= chance + TELLING:
            continue
        group = "group" if len(seen.accuracy) == 1 else level
        finding = (
            f"style still names the {group}: a linear probe is right in "
            f"{told:.0%} of cases (chance {chance:.0%})"
        )
        remedy = f"Try {remedies.style_tells(settings, by_heart)}"
        found.append(Doubt("told", finding, remedy))
    return found


def _of_flow(seen: Signs, settings: Settings) -> list[Doubt]:
    """Whether the flow of the style fits what it did not learn from."""
    if not settings["style_flow"] or not seen.reach or seen.reach <= FAR:
        return []
    finding = (
        "the flow has learned the training styles by heart: those of others "
        f"lie {seen.reach:.1f} times as far out, and in a swap may draw nothing"
    )
    return [Doubt("style_far", finding, f"Try {remedies.far(settings)}")]


def _of_contents(seen: Signs, settings: Settings) -> list[Doubt]:
    """Whether a quick probe names a level's groups by another's content."""
    return [
        Doubt(
            f"{other}_tells_{level}",
            f"the content of {other} names the {level} of {share:.0%} "
            f"(chance {seen.chance[level]:.0%})",
            f"Try {remedies.content_tells(settings, other)}",
        )
        for level, by_latent in seen.accuracy.items()
        for other, share in by_latent.items()
        if other not in (level, STYLE) and share > seen.chance[level] + TELLING
    ]


def _of_fit(seen: Signs, settings: Settings) -> list[Doubt]:
    """Whether training observations are drawn much better than others."""
    train, held_out = seen.explained, seen.explained_held_out
    if held_out is None or train < LEAST_EXPLAINED:
        return []
    if train - held_out <= OVERFIT * train:
        return []
    finding = (
        "the model has learned the training observations by heart: it draws "
        f"{train:.0%} of what differs between them, and {held_out:.0%} of "
        "others"
    )
    return [Doubt("overfit", finding, f"Try {remedies.overfit(settings)}")]
