"""Bars on a terminal, and nothing where there is none."""

import io
import sys

import pytest

from mlvae_tf import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "seconds", "shows"),
    [(Terminal, 0, True), (Terminal, 60, False), (io.StringIO, 0, False)],
)
def test_a_bar_for_what_takes_long(monkeypatch, stream, seconds, shows):
    monkeypatch.setattr(sys, "stderr", stream())
    found = list(progress.track("abc", 3, "counting", seconds=seconds))
    assert found == ["a", "b", "c"]
    assert ("counting" in sys.stderr.getvalue()) == shows


def test_what_fails_ends_its_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    shown = progress.bar(2, "failing", seconds=0)
    with pytest.raises(ValueError, match="gone"), shown:
        raise ValueError("gone")
    assert shown.disable  # It is closed.
