"""What the benchmarks share."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import numpy as np


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
