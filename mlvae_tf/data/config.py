"""Which dataset, and what is kept out of training; no TensorFlow."""

from __future__ import annotations

import dataclasses
import pathlib

from mlvae_tf import options
from mlvae_tf.errors import InputError
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
    groups: tuple[str, ...] | None = option(
        None,
        "What names the group: an array of an npz:, a feature of a tfds:. "
        "Several, comma-separated, are as many levels of groups at once, in a "
        "folder: one within the other, PATH/A/B/* for A,B. Default: group_ids, "
        "label.",
    )
    parents: tuple[str, ...] = option(
        (),
        "Levels whose groups are within those of another, comma-separated, "
        "such as visit:patient. Their ids count within the other's group.",
    )
    missing_groups: str = option(
        "refuse",
        "What becomes of an observation whose id on one of several levels is "
        "not known, an empty string or a negative number: refuse it, or make "
        "it a group of its own there.",
        choices=("refuse", "own"),
    )
    kind: str | None = option(
        None,
        "What an npz: of shape [N, A, B] holds: grey images, or series of A "
        "steps and B channels. Default: images where it has 8 bits.",
        choices=("images", "series"),
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
    skip_bad: bool = option(
        False,
        "Go on without the files that cannot be read; config.json lists them. "
        "All are looked at before.",
    )
    holdout_groups: float | None = option(
        None,
        "Fraction of the groups that training never sees. Default: 0, or 0.2 "
        "where most groups are too small to spare an observation.",
        minimum=0.0,
    )
    holdout_observations: float | None = option(
        None,
        "Fraction of every group's observations that training never sees. "
        "Default: 0.2 where the dataset has no test split of groups to train "
        "on, else 0.",
    )
    holdout_cells: float = option(
        0.0,
        "Fraction of the combinations of several levels' groups, such as a "
        "person under a light, that training never sees. Each group keeps one.",
        minimum=0.0,
    )

    def __post_init__(self) -> None:
        options.check(self)
        if self.groups is not None:
            _check_names(self.groups)
        self.parent_of  # noqa: B018 - What is no pair is refused here.

    @property
    def parent_of(self) -> dict[str, str]:
        """By inner level, the one that its groups are in."""
        pairs = [pair.split(":") for pair in self.parents]
        if not all(len(pair) == 2 and all(pair) for pair in pairs):
            raise InputError(
                "--parents must be pairs INNER:OUTER, such as visit:patient: "
                f"got {','.join(self.parents)!r}."
            )
        return {inner: outer for inner, outer in pairs}

    @property
    def size(self) -> tuple[int, int] | None:
        """`(height, width)` that images are resized to, if they are."""
        return (self.image_size, self.image_size) if self.image_size else None


def _check_names(names: tuple[str, ...]) -> None:
    """Raise `InputError` unless they are different, and some."""
    if not names or not all(names) or len(set(names)) < len(names):
        raise InputError(
            "--groups must be different names, comma-separated: got "
            f"{','.join(names)!r}."
        )


def resolve(spec: str) -> str:
    """The SPEC with its path made absolute, as `config.json` keeps it."""
    kind, _, argument = spec.partition(":")
    if argument and kind in ("folder", "npz", "idx"):
        path = pathlib.Path(argument).expanduser().absolute()
        return f"{kind}:{path}"
    return spec
