"""Bars for what takes long, on a terminal; where there is none, nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import tqdm

SECONDS = 2.0  # What takes less has no bar.

T = TypeVar("T")


def bar(
    total: int, what: str, unit: str = "it", seconds: float = SECONDS
) -> tqdm.tqdm:
    """A bar on stderr, which vanishes when it is closed.

    Args:
        total: How much there is to do.
        what: What is being done.
        unit: Of `total`.
        seconds: It is shown at the first update after so many.
    """
    return tqdm.tqdm(
        desc=what,
        total=total,
        unit=unit,
        unit_scale=True,
        leave=False,
        delay=seconds,
        disable=None,  # Where stderr is no terminal.
    )


def track(
    items: Iterable[T], total: int, what: str, seconds: float = SECONDS
) -> Iterator[T]:
    """The items, with a bar as for `bar`."""
    with bar(total, what, seconds=seconds) as shown:
        for item in items:
            yield item
            shown.update()
