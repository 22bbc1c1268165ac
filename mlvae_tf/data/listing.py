"""Pictures in group folders, listed: which there are, and what else."""

from __future__ import annotations

import array
import bisect
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from mlvae_tf import progress
from mlvae_tf.data import images
from mlvae_tf.data.grouping import Grouping, by_level, nested
from mlvae_tf.errors import InputError
from mlvae_tf.files import shown

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


def subfolders(folder: pathlib.Path) -> list[str]:
    """The folders in a folder, by name, but for hidden ones and litter."""
    return [
        entry.name
        for entry in _entries(folder)
        if entry.is_dir() and not entry.name.startswith(".")
    ]


def reaches(folder: pathlib.Path, depth: int) -> bool:
    """Whether there are folders in a folder, so many deep."""
    names = subfolders(folder)
    if depth == 1:
        return bool(names)
    return any(reaches(folder / name, depth - 1) for name in names)


def others(folder: pathlib.Path, named: list[str]) -> list[str]:
    """What else is in a folder."""
    names = [entry.name for entry in _entries(folder)]
    return [shown(folder / name) for name in names if name not in named]


class Listed:
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
        first, *inner_levels = levels
        names = subfolders(folder)
        if not names:
            raise InputError(
                f"{shown(folder)} has no folders of {first}: expected PATH/"
                f"{'/'.join(map(str.upper, self.levels))}/*."
            )
        _check_names(folder, names)
        self.passed += others(folder, names)
        if not inner_levels:
            return names
        return [
            f"{name}/{inner}"
            for name in names
            for inner in self._find(folder / name, tuple(inner_levels))
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
