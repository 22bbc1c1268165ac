"""Configuration: frozen dataclasses and JSON.

Every field is also a command line flag of the same name (`command_line.py`).
TensorFlow is not imported here, so that `--help` is quick.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from mlvae_tf import options
from mlvae_tf.data.config import DataConfig
from mlvae_tf.errors import InputError
from mlvae_tf.options import option


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Arguments of `mlvae_tf.MLVAE`."""

    content_dim: int | None = option(
        None,
        "Dimensions of the content; with several levels, of each. Default: "
        "32, or as many as an observation has values.",
        minimum=1,
    )
    level_dims: tuple[str, ...] = option(
        (),
        "With several levels, the dimensions of those that differ, "
        "comma-separated, such as character:16,font:24.",
    )
    style_dim: int | None = option(
        None,
        "Dimensions of the style; 0 for none, with several levels. Default: "
        "10, or as many as an observation has values.",
        minimum=0,
    )
    trunk: str = option(
        "mlp",
        "The networks: fully connected, convolutions over images or series, or "
        "one linear map each, which start at principal components where the "
        "likelihood is normal.",
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
    likelihood: str | None = option(
        None,
        "The likelihood p(x | c, s): bernoulli, normal, normal_learned_scale; "
        "poisson or negative_binomial, of counts; categorical, of --classes. "
        "Default: bernoulli of 8-bit images and of values in [0, 1]; else "
        "normal, with center, unit and scale from the data.",
    )
    observation_scale: float | None = option(
        None,
        "Scale of --likelihood=normal, in units of --observation_unit. "
        "Default: from the data, as these, or 1 if --likelihood is given.",
    )
    observation_center: tuple[float, ...] | None = option(
        None,
        "What --likelihood=normal takes for zero: one number, or one for every "
        "channel, comma-separated. Default: from the data, or 0.",
    )
    observation_unit: tuple[float, ...] | None = option(
        None,
        "What --likelihood=normal takes for one, likewise. Default: from the "
        "data, or 1.",
    )
    classes: int | None = option(
        None, "Classes of --likelihood=categorical.", minimum=2
    )
    missing_values: bool = option(
        False,
        "Take NaN in an observation for a value that is not known, and learn "
        "from the others.",
    )
    networks: str | None = option(
        None,
        "module:function, which gives an encoder and a decoder of your own, "
        "Keras layers or models, from (the shape of an observation as the "
        "encoder reads it, dimensions of all latents, the shape of the "
        "decoder's output). Replaces --trunk.",
    )
    accumulation: str = option(
        "product",
        "How a group's observations make its content: the paper's product, "
        "the product with the prior as one more factor, or the GVAE's average.",
        choices=("product", "product_with_prior", "average"),
    )
    evidence_dropout: float = option(
        0.5,
        "Probability of leaving an observation out of its group's content in "
        "a training step; one at least stays.",
        minimum=0.0,
        maximum=1.0,
    )
    style_given_content: bool = option(
        True,
        "Read the style from the observation and its content, so that it need "
        "not say again what the content says.",
    )
    style_flow: int = option(
        10,
        "Coupling layers of a normalizing flow that takes out of the style "
        "what the content tells of it; 0 for none.",
        minimum=0,
    )
    content_contrast: float | None = option(
        None,
        "Weight, for every observation, of the nats that its content lacks to "
        "tell its group from the others of the batch, and with several levels "
        "of those that it tells of another level's groups; 0 for none. "
        "Default: 30, or 0 where --accumulation=average.",
        minimum=0.0,
    )
    content_samples: str = option(
        "group",
        "Sample the content once per group or once per observation.",
        choices=("group", "observation"),
    )
    dtype: str = option(
        "float32",
        "Precision of the networks' layers. Weights, evidence, KLs and "
        "likelihood are float32 in either.",
        choices=("float32", "mixed_bfloat16"),
    )

    def __post_init__(self) -> None:
        options.check(self)
        self.dim_of  # noqa: B018 - What is no pair is refused here.

    @property
    def dim_of(self) -> dict[str, int]:
        """By level, its dimensions where they are not `content_dim`."""
        pairs = [pair.partition(":") for pair in self.level_dims]
        if not all(n and dim.isdecimal() and int(dim) for n, _, dim in pairs):
            raise InputError(
                "--level_dims must be pairs LEVEL:DIM, such as character:16: "
                f"got {','.join(self.level_dims)!r}."
            )
        return {name: int(dim) for name, _, dim in pairs}


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How to train."""

    epochs: int | None = option(
        None,
        "Passes over the training observations. The schedules span them all. "
        "Default: --steps.",
        minimum=1,
    )
    steps: int | None = option(
        None,
        "Steps of the training, up to a whole pass. Default: 3000, more where "
        "that is less than 30 passes, fewer where it is more than 400.",
        minimum=1,
    )
    keep: str = option(
        "best",
        "The weights to keep: the best by the ELBO of held-out observations, "
        "once the KLs have their final weights, or the last. With best, the "
        "training stops once a quarter of it has gained nothing.",
        choices=("best", "last"),
    )
    init_from: str | None = option(
        None,
        "Folder of another run: start from its model and settings, which other "
        "flags override, such as --dataset or --learning_rate.",
    )
    freeze: tuple[str, ...] = option(
        (),
        "Networks that are not trained, comma-separated: encoder, decoder, "
        "content_head, style_head.",
    )
    seed: int = option(
        0, "Seed of the splits, weights, batches and noise.", minimum=0
    )
    learning_rate: float = option(1e-3, "Adam's learning rate.", minimum=0.0)
    learning_rate_decay: bool = option(
        True, "Let the learning rate fall to zero along half a cosine."
    )
    weight_averaging: float = option(
        0.0,
        "Time constant of a moving average of the weights, as a fraction of "
        "the training. At its end the average takes their place; validation on "
        "the way sees the weights themselves. 0 for none.",
        minimum=0.0,
        maximum=0.2,
    )
    groups_per_batch: int | None = option(
        None,
        "Groups in a batch. Default: of 256 observations in all, or fewer "
        "where an epoch would not be 8 batches, but 16 groups at least.",
        minimum=1,
    )
    observations_per_group: int = option(
        4, "Observations of a group in a batch, at most.", minimum=1
    )
    mirror_groups: bool = option(
        False,
        "Train on every group of images once more, mirrored, as if it were "
        "another group: for few groups of what is not symmetric, like faces.",
    )
    augment_groups: float | None = option(
        None,
        "Data augmentation: probability that a group of images of a training "
        "batch is turned into another one, mirrored or not, blended with a "
        "group beside it and bent, all its images alike. Default: 0.7 where "
        "whole groups are held out and fewer than 1,000 images left, else 0.",
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
        "Warm-up: fraction of the training in which the weights of the KLs go "
        "from their start to their end.",
        minimum=0.0,
    )
    evaluate_epochs: int | None = option(
        None,
        "Validate every so many epochs, and draw pictures for TensorBoard "
        "after the 1st, 2nd, 4th, 8th, ... time. Default: 20 times.",
        minimum=1,
    )
    max_bad_steps: int = option(
        10,
        "Pass over so many steps of which the loss or the gradient is not "
        "finite, each with a warning, before the training ends.",
        minimum=0,
    )
    profile: bool = option(
        False,
        "Write a profile of some steps, and their graph, for TensorBoard.",
    )
    checkpoint_seconds: int = option(
        60,
        "Save a checkpoint after the first step after so many seconds, within "
        "an epoch too, and at the end.",
        minimum=0,
    )
    checkpoint_steps: int | None = option(
        None, "Save a checkpoint also after every so many steps.", minimum=1
    )
    keep_checkpoints: int = option(
        2, "Checkpoints to keep, the newest.", minimum=1
    )
    keep_versions: int = option(
        2,
        "Exported versions to keep, the newest among them. Older ones are "
        "removed once it is whole.",
        minimum=1,
    )

    def __post_init__(self) -> None:
        options.check(self)

    @property
    def length(self) -> int:
        """The epochs, once they have been chosen."""
        if self.epochs is None:
            raise ValueError("the epochs have not been chosen")
        return self.epochs


# What runs of before these settings lack; they were as is the default.
_NEW = {
    *("groups", "parents", "missing_groups", "level_dims", "holdout_cells"),
    *("max_bad_steps", "profile", "keep_checkpoints"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    data: DataConfig = dataclasses.field(default=DataConfig())
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
        before = flat.get("group_feature", "label")
        if before != "label":
            flat["groups"] = (before,)
        missing = cls().flat().keys() - flat.keys() - _NEW
        if missing:
            raise InputError(f"{', '.join(sorted(missing))} missing.")
        return cls().replace(flat)


def load(path: pathlib.Path) -> Config:
    """Read the configuration that a run saved.

    Raises:
        InputError: If the file is missing or is no such configuration.
    """
    try:
        values = json.loads(path.read_text())
        version = values.get("versions", {}).get("mlvae_tf", "")
        config = (
            None if version.startswith("0.1.") else Config.from_json(values)
        )
    except FileNotFoundError:
        raise InputError(
            f"{path.parent} holds no run: {path.name} is missing. Train one "
            f"with: python train.py --workdir={path.parent}"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a run's configuration: {error}"
        ) from None
    if config is None:
        raise InputError(
            f"{path.parent} is a run of mlvae_tf {version}, which held other "
            "observations out: what this version took for held out would have "
            f"been trained on. Train it again, or install mlvae-tf=={version}. "
            f"Its model can be loaded: keras.saving.load_model('{path.parent}/"
            "model.keras')."
        )
    return config
