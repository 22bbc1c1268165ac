"""The notebook of the site runs, and shows what it says."""

import re

import pytest

nbformat = pytest.importorskip("nbformat")  # Of the extra `docs`.


@pytest.mark.slow  # It trains.
def test_it_runs_and_prints_what_stands_there():
    import notebook

    shown = notebook.streams(nbformat.read(notebook.PATH, as_version=4))
    found = notebook.streams(notebook.executed())
    assert len(found) == len(shown)
    assert found[0] == shown[0]  # What is chosen from the data.
    before, after = (
        float(re.search(r"(\S+) of 2500 named right", "".join(said)).group(1))
        for said in (shown, found)
    )
    assert after == pytest.approx(before, abs=0.02)  # Other processors round.
