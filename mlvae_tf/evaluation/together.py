"""Independent parts of a measurement, on all processors at once.

What learns to name groups does so in small steps, of which more threads than
one make nothing faster: a processor is best used by a part of its own.
"""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController

from mlvae_tf import progress


@functools.cache
def _libraries() -> ThreadpoolController:
    """Those that have threads of their own; it takes a while to find them."""
    return ThreadpoolController()


@contextlib.contextmanager
def alone_and_quiet() -> Iterator[None]:
    """One thread, and no warnings of what is as it should be."""
    # OpenMP's threads wait for each other by spinning: on a busy machine
    # boosting 4,000 styles took 210 s with them, 1.4 s with one.
    with _libraries().limit(limits=1), warnings.catch_warnings():
        # A network that learns epoch by epoch has never converged.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes is")
        yield


def together(*parts: Callable[[], Any], what: str) -> list[Any]:
    """Let parts run side by side, as many as there are processors.

    Parts may have parts of their own. What one raises is raised here; those
    that have not begun by then never do.

    Args:
        *parts: What takes no arguments.
        what: What is being done, for a bar.

    Returns:
        What they return, in their order.
    """
    count = min(len(parts), os.cpu_count() or 1)
    # Held for as long as any part runs: all of them begin and end the same
    # limits, which are the process's, and but for OpenMP's not the thread's.
    with alone_and_quiet():
        pool = ThreadPoolExecutor(count, initializer=_one_thread)
        try:
            running = [pool.submit(part) for part in parts]
            shown = progress.track(running, len(parts), what, seconds=0)
            return [one.result() for one in shown]
        finally:  # Whoever interrupts does not want to wait.
            pool.shutdown(wait=False, cancel_futures=True)


def _one_thread() -> None:
    _libraries().limit(limits=1, user_api="openmp")
