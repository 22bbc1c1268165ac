"""`folder:PATH`: PATH/GROUP/* pictures, or PATH/SPLIT/GROUP/*.

With several levels, `--groups=A,B`, PATH/A/B/* in the place of PATH/GROUP/*.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from mlvae_tf.data import identity, images
from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.images import Look
from mlvae_tf.data.listing import Listed, others, reaches, subfolders
from mlvae_tf.data.observations import (
    DamagedError,
    Encoded,
    UnreadableError,
    slices,
)
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError
from mlvae_tf.files import shown

_SPLITS = {"train", "test"}
_LIKE_SPLITS = _SPLITS | {
    *("training", "testing", "val", "valid", "validation", "dev", "eval"),
    *("holdout", "heldout", "held_out"),
}


class _Images(Encoded):
    """The pictures of group folders.

    Args:
        listed: Which ones.
        config: How to decode them.

    Raises:
        InputError: If they differ in size, or none can be read.
    """

    def __init__(self, listed: Listed, config: DataConfig) -> None:
        self._listed = listed
        self.shape = (len(listed),)
        self.dtype = np.dtype(np.uint8)
        self.keys = np.zeros(len(listed), np.uint64)
        looks, damaged = self._look()
        self._has_damage = bool(damaged)
        if not looks:
            raise UnreadableError(damaged, len(listed))
        size, colors = config.size, config.colors
        if not size:
            self._check_sizes(looks)
        if not colors:
            colors = "grey" if all(v.grey for v in looks.values()) else "rgb"
        first = next(iter(looks.values()))
        height, width = size or first[:2]
        self.shape = len(listed), height, width, 1 if colors == "grey" else 3
        self.colors = colors
        self._settings = size, colors, self._find_depth(looks)
        self.notes = self._describe(looks, config, colors)

    def _look(self) -> tuple[dict[int, Look], dict[int, str]]:
        """By row, what the headers tell, or what is wrong with them."""
        looks: dict[int, Look] = {}
        damaged: dict[int, str] = {}

        def keep(place: int, row: int) -> None:
            path = self._listed.path(row)
            looks[row] = images.look(path)
            self.keys[row] = identity.of_file(path, self._listed.group(row))

        for rows in slices(len(self), "looking at headers"):
            numbers = np.arange(rows.start, rows.stop)
            damaged |= self.in_parallel(keep, numbers)
        return dict(sorted(looks.items())), damaged

    def _check_sizes(self, looks: dict[int, Look]) -> None:
        first = next(iter(looks))
        for row, look in looks.items():
            if look[:2] != looks[first][:2]:
                raise self._differ(first, looks[first][:2], row, look[:2])

    def _differ(
        self,
        first: int,
        size: tuple[int, ...],
        row: int,
        other: tuple[int, ...],
    ) -> InputError:
        return InputError(
            f"all images must have one size: {self.name(first)} is {size[0]} "
            f"pixels high and {size[1]} wide, {self.name(row)} {other[0]} and "
            f"{other[1]}. Pass --image_size, such as 64."
        )

    def _find_depth(self, looks: dict[int, Look]) -> int:
        """The bits that pixels of more than eight hold."""
        deep = np.array([row for row, v in looks.items() if v.deep], np.int64)
        found = np.zeros(len(deep), np.int64)

        def measure(place: int, row: int) -> None:
            found[place] = images.largest(self._listed.path(row))

        self.in_parallel(measure, deep)
        largest = int(found.max(initial=0)) if len(deep) else 2**16 - 1
        return images.depth_of(largest)

    def _describe(
        self, looks: dict[int, Look], config: DataConfig, colors: str
    ) -> list[str]:
        notes = []
        grey = sum(look.grey for look in looks.values())
        deep = sum(look.deep for look in looks.values())
        several = sum(look.several for look in looks.values())
        if not config.colors and 0 < grey < len(looks):
            notes.append(
                f"{grey} of {len(looks)} images are grey: all are read as RGB "
                "(--colors=grey for the other way)"
            )
        if deep:
            depth = self._settings[2]
            notes.append(
                f"{deep} of {len(looks)} images have more than 8 bits per "
                f"pixel; they hold {depth}, of which 8 are kept"
            )
        if several:
            notes.append(
                f"{several} of {len(looks)} files hold several pictures: the "
                "first is read"
            )
        return notes

    def name(self, row: int) -> str:
        return shown(self._listed.path(row))

    def decode(self, row: int) -> np.ndarray:
        return images.decode(self._listed.path(row), *self._settings)

    def mismatch(self, row: int, shape: tuple[int, ...]) -> InputError:
        return DamagedError(
            f"{self.name(row)} has changed: it was {self.shape[1:]}, it is "
            f"{shape}"
        )

    def check(self) -> None:
        if self._has_damage:
            raise UnreadableError(self.unreadable(), len(self))


def load(path: str, config: DataConfig) -> Source:
    """Each folder of pictures is a group; its name is the group's id.

    With several levels, it is in a group of each, by the names on its path.

    Folders named `train` and `test` hold the splits, in which the groups may
    differ.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise InputError(f"folder:{shown(path)}: there is no such folder.")
    names = subfolders(folder)
    if not names:
        raise InputError(
            f"folder:{shown(path)} has no group folders: expected "
            f"{shown(path)}/GROUP/* with pictures, or {shown(path)}/train/"
            f"GROUP/* and {shown(path)}/test/GROUP/*."
        )
    levels = config.groups or ("group",)
    places, passed = {"train": folder}, []
    if _holds_splits(folder, names, len(levels)):
        # That of training comes first: the other is read as it is.
        splits = sorted(names, reverse=True)
        places = {split: folder / split for split in splits}
        passed = others(folder, names)
    parts: dict[str, GroupedData] = {}
    notes: list[str] = []
    for split, place in places.items():
        listed = Listed(place, levels)
        pictures = _Images(listed, config)
        config = dataclasses.replace(config, colors=pictures.colors)
        parts[split] = GroupedData.of_levels(
            pictures, listed.groupings(config.parent_of), pictures.keys
        )
        notes += pictures.notes
        passed += listed.passed
    found = f"{sum(map(len, parts.values()))} images in {_counted(parts)}"
    if passed:
        found += f"; {len(passed)} files passed over (first: {passed[0]})"
    return Source.of(parts, (found, *notes))


def _counted(parts: dict[str, GroupedData]) -> str:
    """How many groups there are, in words."""
    found: dict[str, set[str]] = {}
    for part in parts.values():
        for name, level in part.levels.items():
            found.setdefault(name, set()).update(level.groups.tolist())
    if len(found) == 1:
        return f"{len(*found.values())} groups"
    return ", ".join(
        f"{len(of)} groups of {name}" for name, of in found.items()
    )


def _holds_splits(folder: pathlib.Path, names: list[str], depth: int) -> bool:
    """Whether the folders are splits rather than groups.

    Args:
        folder: Where they are.
        names: Their names.
        depth: How many levels of groups there are.

    Raises:
        InputError: If they seem to be, under other names.
    """
    alike = {name.lower() for name in names} <= _LIKE_SPLITS
    if not alike or not all(reaches(folder / v, depth) for v in names):
        return False
    if "train" in names and set(names) <= _SPLITS:
        return True
    raise InputError(
        f"{shown(folder)} has the folders {', '.join(names)}, which hold "
        "folders: expected train, and test if there is one. Rename them, such "
        "as val to test, or move what is neither elsewhere."
    )
