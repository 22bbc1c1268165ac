"""What is chosen from the data where no flag says it, and why."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from mlvae_tf.data.augmentation import check_images
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation.remedies import CONTRAST
from mlvae_tf.likelihoods import Normal
from mlvae_tf.runs import scaling
from mlvae_tf.runs.config import Config, ModelConfig, TrainingConfig

CONTENT_DIM, STYLE_DIM = 32, 10
STEPS, MAX_STEPS = 3000, 10_000
EPOCHS = 30, 400  # At least, of large data; at most, of small.
LEAST_STEPS = 500
BATCH_SIZE = 256  # Observations.
LEAST_BATCHES = 8  # Of an epoch, as far as ...
LEAST_GROUPS = 16  # ... they have so many groups.
VALIDATIONS = 20
FEW_IMAGES = 1000  # Fewer are augmented, if other groups are asked for.
AUGMENTED = 0.7  # Of the groups of a batch.
_SCALING = {f"observation_{name}": name for name in ("scale", "center", "unit")}
BLENDED = {"bernoulli", "normal", "normal_learned_scale"}


@dataclasses.dataclass(frozen=True)
class Choice:
    """Settings, and why they are these.

    Attributes:
        settings: Fields of the configuration.
        reason: One line.
    """

    settings: dict[str, Any]
    reason: str = ""


def values(model: ModelConfig, data: GroupedData) -> Choice:
    """The likelihood of observations, by some of them as they are stored.

    Args:
        model: The settings; nothing is chosen where they have a likelihood.
        data: Observations.

    Raises:
        InputError: If the settings say how observations are to be scaled, and
            the likelihood has no scale or these do not fit; or if no value is
            known.
    """
    if model.likelihood is not None:
        _check_scaled(model, model.likelihood)
        return Choice({})
    if data.observations.dtype == np.uint8:
        return _bernoulli(model, "of 8-bit images")
    given = {
        name: getattr(model, field)
        for field, name in _SCALING.items()
        if getattr(model, field) is not None
    }
    Normal(**given).parameter_shape(data.observations.shape[1:])
    sample = scaling.Sample.of(data)
    known = sample.values[~np.isnan(sample.values)]
    if not known.size:
        raise InputError("no value of the observations is known: got NaN only.")
    between = f"of values from {known.min():.3g} to {known.max():.3g}"
    if known.min() >= 0 and known.max() <= 1:
        return _bernoulli(model, between)
    found = scaling.scaling(sample, given.get("unit"))._asdict()
    chosen = {field: found[name] for field, name in _SCALING.items()}
    if "unit" not in given:
        between += f", in units of the deviations of {len(found['unit'])} "
        between += "channels" if len(found["unit"]) > 1 else "channel"
    return Choice(
        {"likelihood": "normal", **_not_given(model, chosen)}, between
    )


def _bernoulli(model: ModelConfig, reason: str) -> Choice:
    _check_scaled(model, "bernoulli", f", as was chosen {reason}")
    return Choice({"likelihood": "bernoulli"}, reason)


def _check_scaled(model: ModelConfig, likelihood: str, why: str = "") -> None:
    """Raise `InputError` where what is given has no effect.

    Runs of before had Normal's defaults, whatever their likelihood.
    """
    if likelihood == "normal":
        return
    for field, name in _SCALING.items():
        value = getattr(model, field)
        if value is not None and value != getattr(Normal(), name):
            raise InputError(
                f"--{field} is of --likelihood=normal, and has no effect on "
                f"{likelihood}{why}. Pass --likelihood=normal, or drop it."
            )


def _not_given(model: ModelConfig, chosen: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in chosen.items() if getattr(model, k) is None}


def sizes(model: ModelConfig, train: GroupedData) -> Choice:
    """The dimensions of content and style."""
    count = math.prod(train.observations.shape[1:])
    chosen = {
        "content_dim": min(CONTENT_DIM, count),
        "style_dim": min(STYLE_DIM, count),
    }
    chosen = _not_given(model, chosen)
    if model.content_contrast is None:
        averages = model.accumulation == "average"
        chosen["content_contrast"] = 0.0 if averages else CONTRAST
    if model.style_dim == 0 and model.style_flow:
        chosen["style_flow"] = 0
    return Choice(chosen, f"of {count} values per observation")


def augmentation(config: Config, splits: Splits) -> Choice:
    """Whether groups of images are turned into others.

    They are where images are few, and groups were held out to be asked for.

    Args:
        config: The settings.
        splits: The data.
    """
    training, train = config.training, splits.train
    if training.augment_groups is not None or training.chunk_size:
        return Choice({})
    images = len(train.observations.shape) == 4 and not train.others
    few = images and len(train) < FEW_IMAGES and _blends(config.model)
    if not few or splits.unseen is None:
        return Choice({})
    reason = (
        f"of {len(train)} images, to tell {len(splits.unseen.groups)} others"
    )
    return Choice({"augment_groups": AUGMENTED}, reason)


def _blends(model: ModelConfig) -> bool:
    """Whether what lies between two values is a value."""
    return model.likelihood in BLENDED and not model.missing_values


def check_augmented(config: Config, shape: tuple[int, ...]) -> None:
    """Raise `InputError` where groups cannot be turned into others.

    Args:
        config: The settings.
        shape: Of an observation.
    """
    if not config.training.augment_groups:
        return
    check_images("--augment_groups", shape)
    if not _blends(config.model):
        what = config.model.likelihood
        raise InputError(
            "--augment_groups blends images, and can't blend "
            + ("gaps" if config.model.missing_values else f"values of {what}")
            + ". Pass --augment_groups=0."
        )
    if config.training.chunk_size:
        raise InputError(
            "--augment_groups blends the groups of a batch, of which "
            "--chunk_size has parts only. Drop one of the two."
        )


def group_sizes(train: GroupedData) -> np.ndarray:
    """Observations of each group that batches are dealt from, `[G]`.

    Of several levels, tiles of a batch are cut from all of them together.
    """
    if train.others:
        return np.array([len(train)])
    return np.bincount(train.group_index)


def batching(training: TrainingConfig, group_sizes: np.ndarray) -> Choice:
    """How many groups a batch has.

    Args:
        training: The settings.
        group_sizes: Observations of each group, `[G]`.
    """
    if training.groups_per_batch is not None or training.batch_size:
        return Choice({})
    pieces = -(-group_sizes // training.observations_per_group)
    per_piece = group_sizes.sum() / pieces.sum()
    count = min(BATCH_SIZE / per_piece, pieces.sum() / LEAST_BATCHES)
    return Choice(
        {"groups_per_batch": max(round(count), LEAST_GROUPS)},
        f"of {per_piece:.3g} observations each, at the mean",
    )


def length(training: TrainingConfig, per_epoch: int) -> Choice:
    """How long to train, and how often to validate.

    Args:
        training: The settings.
        per_epoch: Steps of an epoch.
    """
    chosen: dict[str, Any] = {}
    epochs = training.epochs
    if epochs is None:
        steps = training.steps
        if steps is None:
            least, most = (count * per_epoch for count in EPOCHS)
            steps = min(max(STEPS, least), MAX_STEPS, max(most, LEAST_STEPS))
        epochs = chosen["epochs"] = -(-steps // per_epoch)
    if training.evaluate_epochs is None:
        chosen["evaluate_epochs"] = max(1, epochs // VALIDATIONS)
    return Choice(chosen, f"of {per_epoch} steps each")


def apply(config: Config, choice: Choice) -> Config:
    """The settings with those of a choice, which is printed."""
    if not choice.settings:
        return config
    said = ", ".join(
        f"{name} {_text(value)}" for name, value in choice.settings.items()
    )
    print(f"chosen: {said} ({choice.reason})", flush=True)
    return config.replace(choice.settings)


def _text(value: Any) -> str:
    if not isinstance(value, tuple):
        return str(value)
    parts = [f"{number:.3g}" for number in value[:4]]
    return ",".join(parts + ["..."] * (len(value) > 4))
