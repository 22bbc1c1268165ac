"""Which dataset, and what is kept out of training; no TensorFlow."""

from __future__ import annotations

import dataclasses
import pathlib

from mlvae_tf import options
from mlvae_tf.options import option


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
        options.check(self)


def resolve(spec: str) -> str:
    """The SPEC with its path made absolute, as `config.json` keeps it."""
    kind, _, argument = spec.partition(":")
    if argument and kind in ("folder", "npz", "idx"):
        path = pathlib.Path(argument).expanduser().absolute()
        return f"{kind}:{path}"
    return spec
