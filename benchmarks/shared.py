"""What the benchmarks share."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np

SHAPE = 28, 28, 1


class Pictures:
    """Observations `[size, 28, 28, 1]` that take the memory of a few."""

    dtype = np.dtype(np.uint8)

    def __init__(self, size: int) -> None:
        self.shape = (size, *SHAPE)
        generator = np.random.default_rng(0)
        self._some = generator.integers(0, 256, (10_007, *SHAPE), np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        return self._some[rows % len(self._some)]


def random_groups(size: int, num_groups: int) -> Any:
    """So many pictures in random groups, as `GroupedData`."""
    from mlvae_tf.data.grouped import GroupedData

    generator = np.random.default_rng(1)
    index = generator.integers(0, num_groups, size, np.int32)
    return GroupedData(Pictures(size), np.arange(num_groups), index)


def peak_memory() -> float:
    """The most memory that this process has held, in MiB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def memory_of(script: str, size: int, *arguments: str) -> float:
    """What another process of a script prints with `--memory_of=size`."""
    command = [sys.executable, script, f"--memory_of={size}", *arguments]
    process = subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE
    )
    return json.loads(process.stdout)


def median_and_range(values: np.ndarray, digits: int) -> list[str]:
    """Two cells of a table."""
    low, high = np.min(values), np.max(values)
    return [
        f"{np.median(values):,.{digits}f}",
        f"{low:,.{digits}f} to {high:,.{digits}f}",
    ]


def print_table(lines: list[list[str]]) -> None:
    """Print Markdown; the first line is the header."""
    header, *rest = lines
    for line in (header, ["---"] * len(header), *rest):
        print(f"| {' | '.join(line)} |")
