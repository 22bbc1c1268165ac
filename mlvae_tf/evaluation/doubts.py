"""What a trained model fails at, in words, and what to try."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from mlvae_tf import objective
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.model import MLVAE

LOOKED_AT = 2000  # Observations.
LEAST_KL = 0.1  # Nats, of a latent that says anything.
LEAST_SHARE = 0.01  # Of the variance of observations, that a latent draws.
OVERFIT = 0.25  # Of what is drawn of training observations.
STILL_GAINING = 0.05  # Of what validations gained in all.
TELLING = 0.1  # Accuracy beyond chance, of a style that names the group.

Array = np.ndarray


def doubts(model: MLVAE, splits: Splits, seed: int) -> list[str]:
    """What to say of a trained model, a line each; none where all is well.

    Args:
        model: The model.
        splits: What it was trained on and is measured on.
        seed: Of what is looked at.
    """
    train = splits.train.sample(LOOKED_AT, seed)
    posteriors = Posteriors.of(model, train)
    found = [
        *of_groups(splits.train.group_index),
        *of_latents(*_kls(posteriors)),
        *_of_decoder(model, train, posteriors),
    ]
    held_out = splits.evaluation
    if held_out is not None:
        asked = held_out.sample(LOOKED_AT, seed)
        others = Posteriors.of(model, asked)
        found += of_style(
            (posteriors.style.loc.numpy(), posteriors.group_ids),
            (others.style.loc.numpy(), others.group_ids),
        )
        found += of_fit(
            _error(model, train, posteriors),
            _error(model, asked, others),
            _of_mean(train.values()),
        )
    return found


def of_groups(group_index: Array) -> list[str]:
    """Whether groups have what can be shared."""
    single = float(np.mean(np.bincount(group_index) == 1))
    if single <= 0.5:
        return []
    return [
        f"{single:.0%} of the training groups have a single observation, and "
        "share nothing: content is learned from the others alone"
    ]


def of_latents(content: float, style: float) -> list[str]:
    """Whether both latents say anything, by their mean KLs in nats."""
    found = []
    if content < LEAST_KL:
        found.append(
            f"content has collapsed (KL {content:.2g} nats a group): it says "
            "nothing. Try a larger --content_contrast, more "
            "--observations_per_group, or a smaller --observation_scale"
        )
    if style < LEAST_KL:
        found.append(
            f"style has collapsed (KL {style:.2g} nats an observation): it "
            "says nothing. Try --style_kl_start=1, a smaller "
            "--observation_scale, or more --steps"
        )
    return found


def of_style(
    train: tuple[Array, Array], test: tuple[Array, Array]
) -> list[str]:
    """Whether a quick probe tells the group from styles.

    Args:
        train: Styles `[N, dim]` and group ids `[N]`.
        test: The same of held-out observations.
    """
    groups, counts = np.unique(train[1], return_counts=True)
    known = np.isin(test[1], groups[counts > 1])
    spread = np.ptp(train[0], axis=0).max()
    if not 2 <= len(groups) < len(train[1]) or not known.any() or not spread:
        return []
    probe = LinearDiscriminantAnalysis().fit(*train)
    accuracy = float(np.mean(probe.predict(test[0][known]) == test[1][known]))
    chance = float(np.unique(test[1][known], return_counts=True)[1].max())
    chance /= np.count_nonzero(known)
    if accuracy <= chance + TELLING:
        return []
    return [
        f"style still names the group of {accuracy:.0%} (chance {chance:.0%}). "
        "Try --style_flow=6 and --style_given_content, more --steps, or a "
        "larger --content_contrast"
    ]


def of_fit(train: float, held_out: float, mean: float) -> list[str]:
    """Whether the model draws what it was trained on much better than others.

    Args:
        train: Mean square error of training observations.
        held_out: Of others.
        mean: Of the mean observation, drawn for all.
    """
    drawn = mean - train
    if drawn <= 0 or (held_out - train) <= OVERFIT * drawn:
        return []
    return [
        f"the model has learned the training observations by heart: it draws "
        f"{drawn / mean:.0%} of what differs between them, and "
        f"{(mean - held_out) / mean:.0%} of others. Try fewer --steps, smaller "
        "--hidden_units, a larger --observation_scale, or more data"
    ]


def of_length(losses: list[float]) -> list[str]:
    """Whether a training ended while it still gained.

    Args:
        losses: Those of its validations, with the final weights of the KLs.
    """
    recent = max(1, len(losses) // 5)
    if len(losses) < 5 or min(losses) < losses[-1]:
        return []
    gained = losses[-1 - recent] - losses[-1]
    if gained <= STILL_GAINING * (losses[0] - losses[-1]):
        return []
    return [
        f"the last fifth of the training still gained {gained:.3g} nats a "
        "group: try twice the --steps"
    ]


def _kls(posteriors: Posteriors) -> tuple[float, float]:
    """Mean KL of groups and of styles, nats."""
    _, sets = np.unique(posteriors.group_ids, return_inverse=True)
    content = posteriors.accumulate(np.arange(len(sets)), sets)
    return tuple(  # type: ignore[return-value]
        float(tf.reduce_mean(objective.standard_normal_kl(q.loc, q.scale)))
        for q in (content, posteriors.style)
    )


def _of_mean(values: Array) -> float:
    return float(np.nanmean(np.square(values - np.nanmean(values, axis=0))))


def _drawn(
    model: MLVAE, posteriors: Posteriors, shuffled: str | None = None
) -> Array:
    """What is drawn of observations, a latent perhaps being another's."""
    latents = {
        "content": posteriors.content.loc.numpy(),
        "style": posteriors.style.loc.numpy(),
    }
    if shuffled:
        by_group = np.argsort(posteriors.group_ids, kind="stable")
        others = np.roll(by_group, len(by_group) // 2)
        latents[shuffled][by_group] = latents[shuffled][others]
    return model.decode(**latents).mean().numpy()


def _error(model: MLVAE, data: GroupedData, posteriors: Posteriors) -> float:
    """Mean square error of what is drawn."""
    square = np.square(_drawn(model, posteriors) - data.values())
    return float(np.nanmean(square))


def _of_decoder(
    model: MLVAE, data: GroupedData, posteriors: Posteriors
) -> list[str]:
    """Whether the decoder draws both latents."""
    own = _drawn(model, posteriors)
    scale = _of_mean(data.values())
    found = []
    for name in ("content", "style"):
        changed = own - _drawn(model, posteriors, name)
        if np.mean(np.square(changed)) < LEAST_SHARE * scale:
            found.append(
                f"the decoder ignores the {name}: with that of another "
                "observation it draws the same. Try a smaller "
                "--observation_scale, or more --steps"
            )
    return found
