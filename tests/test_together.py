import threading
import time
import warnings

import pytest
from threadpoolctl import threadpool_info

from mlvae_tf.evaluation import together as module
from mlvae_tf.evaluation.together import together


def limits():
    return sorted(
        (one["filepath"], one["num_threads"]) for one in threadpool_info()
    )


def threads():
    return [count for _, count in limits()]


def test_parts_return_in_their_order(monkeypatch):
    monkeypatch.setattr(module.os, "cpu_count", lambda: 3)
    met = threading.Barrier(3, timeout=30)  # Passed by three at once only.

    def part(number):
        met.wait()
        time.sleep(0.1 * (3 - number))
        return number

    parts = [lambda number=number: part(number) for number in range(3)]
    assert together(*parts, what="counting") == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 2])
def test_parts_have_one_thread_each(monkeypatch, count):
    monkeypatch.setattr(module.os, "cpu_count", lambda: count)
    before, filters = limits(), list(warnings.filters)

    def inner():
        return [threads(), *together(threads, threads, what="within")]

    found = together(inner, inner, threads, what="counting")
    assert all(set(one) == {1} for one in [*found[0], *found[1], found[2]])
    assert limits() == before
    assert warnings.filters == filters


def test_what_a_part_raises_ends_all(monkeypatch):
    monkeypatch.setattr(module.os, "cpu_count", lambda: 1)
    begun = []

    def failing():
        raise ValueError("of a part")

    with pytest.raises(ValueError, match="of a part"):
        together(
            failing,
            lambda: begun.append(time.sleep(0.2)),
            *[lambda: begun.append(1)] * 50,
            what="failing",
        )
    assert len(begun) < 50
