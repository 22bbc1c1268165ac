"""`folder:PATH`: PATH/GROUP/* pictures, or PATH/SPLIT/GROUP/*.

With several levels, `--groups=A,B`, PATH/A/B/* in the place of PATH/GROUP/*.
"""

from __future__ import annotations

import array
import bisect
import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from mlvae_tf import progress
from mlvae_tf.data import identity, images
from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.grouping import Grouping, by_level, nested
from mlvae_tf.data.images import Look
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
# What systems and programs leave in folders, in lower case.
_LITTER = {
    *(".ds_store", ".directory", ".gitkeep", ".gitignore", ".localized"),
    *(".nomedia", ".picasa.ini", "desktop.ini", "ehthumbs.db", "thumbs.db"),
    *("__macosx", "@eadir", ".ipynb_checkpoints", ".thumbnails", ".git"),
}


def _is_litter(name: str) -> bool:
    return name.lower() in _LITTER or name.startswith("._")


def _entries(folder: pathlib.Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name, but for known litter."""
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not _is_litter(entry.name)]
    return sorted(found, key=lambda entry: entry.name)


def _subfolders(folder: pathlib.Path) -> list[str]:
    return [
        entry.name
        for entry in _entries(folder)
        if entry.is_dir() and not entry.name.startswith(".")
    ]


def _reach(folder: pathlib.Path, depth: int) -> bool:
    """Whether there are folders in a folder, so many deep."""
    names = _subfolders(folder)
    if depth == 1:
        return bool(names)
    return any(_reach(folder / name, depth - 1) for name in names)


def _others(folder: pathlib.Path, named: list[str]) -> list[str]:
    """What else is in a folder."""
    names = [entry.name for entry in _entries(folder)]
    return [shown(folder / name) for name in names if name not in named]


class _Listed:
    """The pictures in group folders, and the files that are none.

    A picture's name is a few bytes of one string; a million `pathlib` objects
    would take a gigabyte.

    Args:
        folder: Where the groups are.
        levels: The names of levels, one folder within the other.
    """

    def __init__(self, folder: pathlib.Path, levels: tuple[str, ...]) -> None:
        self.folder, self.levels = folder, levels
        self.passed: list[str] = []  # What is no picture, with its folder.
        self._names, self._ends = bytearray(), array.array("q")
        self.stops = array.array("q")
        self.groups = self._find(folder, levels)
        count = len(self.groups)
        for group in progress.track(self.groups, count, "listing groups"):
            for name in self._pictures(folder / group):
                self._names += os.fsencode(name)
                self._ends.append(len(self._names))
            self.stops.append(len(self._ends))

    def _find(self, folder: pathlib.Path, levels: tuple[str, ...]) -> list[str]:
        """The folders that hold pictures, such as ann, or ann/dark."""
        first, *others = levels
        names = _subfolders(folder)
        if not names:
            raise InputError(
                f"{shown(folder)} has no folders of {first}: expected PATH/"
                f"{'/'.join(map(str.upper, self.levels))}/*."
            )
        _check_names(folder, names)
        self.passed += _others(folder, names)
        if not others:
            return names
        return [
            f"{name}/{inner}"
            for name in names
            for inner in self._find(folder / name, tuple(others))
        ]

    def _pictures(self, folder: pathlib.Path) -> Iterator[str]:
        """The names of a group's pictures, sorted.

        Raises:
            InputError: If there are none, or folders.
        """
        found = False
        for entry in _entries(folder):
            path = folder / entry.name
            hidden = entry.name.startswith(".")
            if entry.is_dir() and not hidden:
                raise InputError(
                    f"{shown(path)} is a folder within a group: expected "
                    "PATH/GROUP/*, or PATH/train/GROUP/* and PATH/test/GROUP/*"
                    "; of levels one within the other, --groups=person,light."
                )
            # Pipes would be waited for; a link that leads nowhere is damage.
            is_file = entry.is_file() or entry.is_symlink()
            if is_file and not hidden and images.is_picture(path):
                found = True
                yield entry.name
            else:
                self.passed.append(shown(path))
        if not found:
            raise InputError(
                f"{shown(folder)} has no pictures. Add some, or remove the "
                "folder."
            )

    def __len__(self) -> int:
        return len(self._ends)

    def sizes(self) -> np.ndarray:
        """Pictures in each group."""
        return np.diff(self.stops, prepend=0)

    def name(self, row: int) -> bytes:
        """A picture's own name."""
        start = self._ends[row - 1] if row else 0
        return bytes(self._names[start : self._ends[row]])

    def place(self, row: int) -> str:
        """The folder that a picture is in."""
        return self.groups[bisect.bisect_right(self.stops, row)]

    def group(self, row: int) -> str:
        """The group of a picture, on the first level."""
        return self.place(row).split("/", 1)[0]

    def groupings(self, parents: dict[str, str]) -> dict[str, Grouping]:
        """By level, the group of every picture.

        Args:
            parents: As `grouping.settle` takes them.
        """
        names = [np.array(group.split("/")) for group in self.groups]
        ids = by_level(dict(zip(self.levels, np.stack(names, axis=1))))
        of_folders = {
            name: Grouping.of(of) for name, of in nested(ids, parents).items()
        }
        return {
            name: Grouping(of.groups, np.repeat(of.group_index, self.sizes()))
            for name, of in of_folders.items()
        }

    def path(self, row: int) -> pathlib.Path:
        """The file of a picture."""
        return self.folder / self.place(row) / os.fsdecode(self.name(row))


def _check_names(folder: pathlib.Path, groups: list[str]) -> None:
    """Raise `InputError` for folders whose names are no text."""
    bad = [group for group in groups if shown(group) != group]
    if bad:
        raise InputError(
            f"the names of {len(bad)} group folders are not UTF-8, the first "
            f"{shown(folder / bad[0])}. Rename them: a folder's name is its "
            "group's id. (convmv -f latin1 -t utf8 renames many at once.)"
        )


class _Images(Encoded):
    """The pictures of group folders.

    Args:
        listed: Which ones.
        config: How to decode them.

    Raises:
        InputError: If they differ in size, or none can be read.
    """

    def __init__(self, listed: _Listed, config: DataConfig) -> None:
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
    subfolders = _subfolders(folder)
    if not subfolders:
        raise InputError(
            f"folder:{shown(path)} has no group folders: expected "
            f"{shown(path)}/GROUP/* with pictures, or {shown(path)}/train/"
            f"GROUP/* and {shown(path)}/test/GROUP/*."
        )
    levels = config.groups or ("group",)
    places, passed = {"train": folder}, []
    if _holds_splits(folder, subfolders, len(levels)):
        # That of training comes first: the other is read as it is.
        splits = sorted(subfolders, reverse=True)
        places = {split: folder / split for split in splits}
        passed = _others(folder, subfolders)
    parts: dict[str, GroupedData] = {}
    notes: list[str] = []
    for split, place in places.items():
        listed = _Listed(place, levels)
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


def _holds_splits(
    folder: pathlib.Path, subfolders: list[str], depth: int
) -> bool:
    """Whether the folders are splits rather than groups.

    Args:
        folder: Where they are.
        subfolders: Their names.
        depth: How many levels of groups there are.

    Raises:
        InputError: If they seem to be, under other names.
    """
    alike = {name.lower() for name in subfolders} <= _LIKE_SPLITS
    if not alike or not all(_reach(folder / v, depth) for v in subfolders):
        return False
    if "train" in subfolders and set(subfolders) <= _SPLITS:
        return True
    raise InputError(
        f"{shown(folder)} has the folders {', '.join(subfolders)}, which hold "
        "folders: expected train, and test if there is one. Rename them, such "
        "as val to test, or move what is neither elsewhere."
    )
