"""Taking turns: several processes, of which one works at a time.

`serve` is the worker's side, `Worker` the benchmark's. A worker is told on its
standard input how many steps to take and answers with the seconds that they
took. Only the standard library, since workers live in other environments.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

Block = Callable[[int], None]


def serve(make: Callable[[str, int, int], Block], arguments: list[str]) -> None:
    """Answer until the input ends.

    Args:
        make: From a subject, the size of a batch and its number of groups to
            what takes a number of steps.
        arguments: These three.
    """
    subject, size, num_groups = arguments
    block = make(subject, int(size), int(num_groups))
    while steps := next_turn():
        began = time.perf_counter()
        block(steps)
        answer(time.perf_counter() - began)


def next_turn() -> int:
    """Wait for the number of steps to take; 0 at the end."""
    return int(sys.stdin.readline() or 0)


def answer(seconds: float) -> None:
    """Report what a turn took."""
    line = f"{MARK}{json.dumps(seconds)}"
    print(line, file=sys.__stdout__, flush=True)


MARK = "turn "  # Before an answer: libraries print as well.


class Worker:
    """A process that waits for its turns.

    Args:
        command: What runs a worker.
    """

    def __init__(self, command: list[str]) -> None:
        process = subprocess.Popen(
            command,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None  # It is a pipe, and so is stdout.
        assert process.stdout is not None
        self._process = process
        self._questions, self._answers = process.stdin, process.stdout

    def take(self, steps: int) -> float:
        """Seconds of so many steps."""
        self.tell(steps)
        return self.heard()

    def tell(self, steps: int) -> None:
        """Let it begin."""
        self._questions.write(f"{steps}\n")
        self._questions.flush()

    def heard(self) -> float:
        """Wait for the seconds that it took."""
        for line in self._answers:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        raise RuntimeError(
            f"{self._process.args!r} ended with its turn undone."
        )

    def close(self) -> None:
        """End it."""
        self._questions.close()
        self._process.wait()
