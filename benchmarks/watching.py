"""What it costs to watch a training: the share of its time that callbacks take.

    python benchmarks/watching.py --workdir=DIR [train.py's flags]

trains as train.py does, by default the demo, and prints a Markdown table of the
seconds that each callback took, and their share of all that the training took,
TensorFlow's start included. What is written for TensorBoard counts whenever
it is written: scalars, pictures on the way and at the end, the projector.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from shared import print_table

BOARD = "writing for TensorBoard", "drawing pictures"

seconds: collections.defaultdict[str, float] = collections.defaultdict(float)


@contextlib.contextmanager
def counted(what: str) -> Iterator[None]:
    """Add the time that something takes to what it is for."""
    began = time.perf_counter()
    yield
    seconds[what] += time.perf_counter() - began


def counting(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its time added to what it is for."""

    @functools.wraps(function)
    def count(*args: Any, **kwargs: Any) -> Any:
        with counted(what):
            return function(*args, **kwargs)

    return count


def watch() -> None:
    """Let callbacks, and what is written at the end, be counted."""
    from mlvae_tf.runs import board
    from mlvae_tf.runs.callbacks import Beside, Pictures

    pass_on = Beside._pass_on

    def count(self: Beside, *args: Any, **kwargs: Any) -> None:
        with counted(self._what):
            pass_on(self, *args, **kwargs)

    writing, drawing = BOARD
    Beside._pass_on = count  # type: ignore[method-assign]
    Pictures.draw_last = counting(  # type: ignore[method-assign]
        drawing, Pictures.draw_last
    )
    board.write_settings = counting(writing, board.write_settings)
    board.write_embeddings = counting(writing, board.write_embeddings)


def main() -> None:
    from mlvae_tf.commands import train

    if not any(flag.startswith("--dataset") for flag in sys.argv):
        sys.argv.append("--preset=mnist_5k")
    began = time.perf_counter()
    watch()
    with contextlib.suppress(SystemExit):
        train.run()
    total = time.perf_counter() - began
    of_board = sum(seconds[what] for what in BOARD)
    rows = [*seconds.items(), ("all of TensorBoard", of_board)]
    print_table(
        [
            ["", "seconds", "share"],
            *([what, f"{of:.2f}", f"{of / total:.1%}"] for what, of in rows),
            ["all", f"{total:.1f}", ""],
        ]
    )


if __name__ == "__main__":
    main()
