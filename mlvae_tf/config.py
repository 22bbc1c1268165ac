"""Configuration: frozen dataclasses and JSON.

Every field is also a command line flag of the same name (`command_line.py`).
TensorFlow is not imported here, so that `--help` is quick.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from typing import Any

from mlvae_tf.errors import InputError


def option(
    default: Any,
    help: str,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """A dataclass field with what its command line flag needs."""
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
    }
    return dataclasses.field(default=default, metadata=metadata)


_TYPES = {"int": int, "float": (int, float), "bool": bool, "str": str}


def _check(section: Any) -> None:
    """Raise `InputError` on a value of another type or out of bounds."""
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        kind = field.type.removesuffix(" | None")
        if value is None and kind != field.type:
            continue
        values = value if isinstance(value, tuple) else (value,)
        minimum, maximum = (field.metadata[m] for m in ("minimum", "maximum"))
        expected = _TYPES.get(kind, int)
        for item in values:
            typed = isinstance(item, expected) and (
                kind == "bool" or not isinstance(item, bool)
            )
            if not typed or (
                isinstance(item, float) and not math.isfinite(item)
            ):
                raise InputError(
                    f"--{field.name} must be {kind}, and finite: got {value!r}."
                )
            choices = field.metadata["choices"]
            if choices and item not in choices:
                raise InputError(
                    f"--{field.name} must be one of {', '.join(choices)}: got "
                    f"{value!r}."
                )
            if minimum is not None and item < minimum:
                raise InputError(
                    f"--{field.name} must be at least {minimum}: got {value!r}."
                )
            if maximum is not None and item > maximum:
                raise InputError(
                    f"--{field.name} must be at most {maximum}: got {value!r}."
                )


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which observations, and what is kept out of training."""

    dataset: str = option(
        "mnist_5k",
        "mnist_5k, tfds:NAME, folder:PATH, npz:PATH or idx:PATH.",
    )
    observation_feature: str = option(
        "image", "The feature of a tfds: dataset that is the observation."
    )
    group_feature: str = option(
        "label", "The feature of a tfds: dataset that names the group."
    )
    image_size: int | None = option(
        None,
        "Resize the images of a folder: or tfds: to this height and width.",
        minimum=1,
    )
    colors: str | None = option(
        None,
        "Convert the images of a folder: or tfds: to grey or rgb.",
        choices=("grey", "rgb"),
    )
    memory_gb: float = option(
        2.0,
        "Datasets that decode to more than so many GB are read from the disk "
        "as training needs them. Either way training sees the same batches.",
        minimum=0.0,
    )
    holdout_groups: float = option(
        0.0, "Fraction of the groups that training never sees.", minimum=0.0
    )
    holdout_observations: float | None = option(
        None,
        "Fraction of every group's observations that training never sees. "
        "Default: 0.2 where the dataset has no test split of groups to train "
        "on, else 0.",
    )

    def __post_init__(self) -> None:
        _check(self)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Arguments of `mlvae_tf.MLVAE`."""

    content_dim: int = option(10, "Dimensions of the content.", minimum=1)
    style_dim: int = option(10, "Dimensions of the style.", minimum=1)
    trunk: str = option(
        "mlp",
        "The networks: fully connected, convolutions, or one linear map each, "
        "which start at principal components where the likelihood is normal.",
        choices=("mlp", "conv", "linear"),
    )
    hidden_units: tuple[int, ...] = option(
        (500,),
        "Units of the hidden layers, comma-separated.",
        minimum=1,
    )
    activation: str = option(
        "relu",
        "Activation of the hidden layers.",
        choices=("relu", "tanh", "elu", "gelu", "silu"),
    )
    likelihood: str = option(
        "bernoulli",
        "The likelihood p(x | c, s).",
        choices=("bernoulli", "normal", "normal_learned_scale"),
    )
    observation_scale: float = option(1.0, "Scale of --likelihood=normal.")
    accumulation: str = option(
        "product",
        "How a group's observations make its content: the paper's product, "
        "the product with the prior as one more factor, or the GVAE's average.",
        choices=("product", "product_with_prior", "average"),
    )
    evidence_dropout: float = option(
        0.0,
        "Probability of leaving an observation out of its group's content in "
        "a training step; one at least stays.",
        minimum=0.0,
        maximum=1.0,
    )
    style_flow: int = option(
        0,
        "Coupling layers of a normalizing flow that takes out of the style "
        "what the content tells of it; 0 for none.",
        minimum=0,
    )
    content_samples: str = option(
        "group",
        "Sample the content once a group or once an observation.",
        choices=("group", "observation"),
    )
    dtype: str = option(
        "float32",
        "Precision of the networks' layers. Weights, evidence, KLs and "
        "likelihood are float32 in either.",
        choices=("float32", "mixed_bfloat16"),
    )

    def __post_init__(self) -> None:
        _check(self)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How to train."""

    epochs: int = option(
        100,
        "Passes over the training observations. The schedules span them all.",
        minimum=1,
    )
    seed: int = option(
        0, "Seed of the splits, weights, batches and noise.", minimum=0
    )
    learning_rate: float = option(1e-3, "Adam's learning rate.", minimum=0.0)
    learning_rate_decay: bool = option(
        False, "Let the learning rate fall to zero along half a cosine."
    )
    weight_averaging: float = option(
        0.0,
        "Time constant of a moving average of the weights, as a fraction of "
        "the training. At its end the average takes their place; validation on "
        "the way sees the weights themselves. 0 for none.",
        minimum=0.0,
        maximum=0.2,
    )
    groups_per_batch: int = option(64, "Groups in a batch.", minimum=1)
    observations_per_group: int = option(
        4, "Observations of a group in a batch, at most.", minimum=1
    )
    mirror_groups: bool = option(
        False,
        "Train on every group of images once more, mirrored, as if it were "
        "another group: for few groups of what is not symmetric, like faces.",
    )
    augment_groups: float = option(
        0.0,
        "Probability that a group of images of a training batch is turned into "
        "another one, blended with a group beside it and bent, all its images "
        "alike: for few groups.",
        minimum=0.0,
        maximum=1.0,
    )
    batch_size: int | None = option(
        None,
        "The paper's way: batches of this many shuffled observations, grouped "
        "by what falls in. Replaces the two flags above.",
        minimum=1,
    )
    chunk_size: int | None = option(
        None,
        "Read and compute a batch in chunks of this many observations, in the "
        "memory of one chunk, with the gradient of the whole: for groups "
        "larger than memory. Every observation is then encoded three times.",
        minimum=1,
    )
    content_kl_weight: float = option(
        1.0, "Weight of the content KL.", minimum=0.0
    )
    style_kl_weight: float = option(1.0, "Weight of the style KL.", minimum=0.0)
    content_kl_start: float = option(
        1.0, "Weight of the content KL at first.", minimum=0.0
    )
    style_kl_start: float = option(
        20.0,
        "Weight of the style KL at first. Holding it high puts what a group "
        "shares into content sooner.",
        minimum=0.0,
    )
    kl_warmup: float = option(
        0.5,
        "Fraction of the training in which the weights of the KLs go from "
        "their start to their end.",
        minimum=0.0,
    )
    evaluate_epochs: int = option(
        20,
        "Validate, and draw the swap grid for TensorBoard, every so many "
        "epochs.",
        minimum=1,
    )
    checkpoint_seconds: int = option(
        60, "Save a checkpoint at the first end of an epoch after so long."
    )

    def __post_init__(self) -> None:
        _check(self)


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()

    def replace(self, values: dict[str, Any]) -> Config:
        """A copy with some fields replaced, whichever section they are in."""
        sections = {
            section.name: dataclasses.replace(
                getattr(self, section.name),
                **{
                    field.name: values[field.name]
                    for field in dataclasses.fields(getattr(self, section.name))
                    if field.name in values
                },
            )
            for section in dataclasses.fields(self)
        }
        return Config(**sections)

    def flat(self) -> dict[str, Any]:
        """All fields by name."""
        return {
            name: value
            for section in dataclasses.asdict(self).values()
            for name, value in section.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and lists."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Config:
        """The inverse of `to_json`; other keys are ignored."""
        flat = {
            name: tuple(value) if isinstance(value, list) else value
            for section in dataclasses.fields(cls)
            for name, value in values[section.name].items()
        }
        missing = cls().flat().keys() - flat.keys()
        if missing:
            raise InputError(f"{', '.join(sorted(missing))} missing.")
        return cls().replace(flat)


def load(path: pathlib.Path) -> Config:
    """Read the configuration that a run saved.

    Raises:
        InputError: If the file is missing or is no such configuration.
    """
    try:
        return Config.from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        raise InputError(
            f"{path.parent} holds no run: {path.name} is missing. Train one "
            f"with: python train.py --workdir={path.parent}"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a run's configuration: {error}"
        ) from None
