"""The site: its links, and a heading for each message of a training."""

import re
import subprocess
import sys

import links
import numpy as np
import pytest
from scripts import ROOT

from mlvae_tf.evaluation import doubts
from mlvae_tf.evaluation.signs import Signs
from mlvae_tf.runs.config import Config

SETTINGS = Config().flat()

BAD = Signs(
    kl={name: np.array([0.001]) for name in ("content", "style")},
    mean_share={name: np.array([0.0]) for name in ("content", "style")},
    drawn={"content": 0.0, "style": 0.0},
    accuracy={
        "font": {"font": 0.9, "style": 0.9, "character": 0.9},
        "character": {"character": 0.9},
    },
    chance={"font": 0.1, "character": 0.1},
    explained=0.8,
    explained_held_out=0.1,
    reach=9.0,
)


def said():
    """One message of every kind, as a training says them."""
    yield from doubts.of_signs(BAD, SETTINGS)
    yield from doubts.of_groups(np.arange(3))
    yield from doubts.of_length([1.0], 1, 10, SETTINGS)
    yield from doubts.of_length(list(np.arange(10.0)), 10, 1000, SETTINGS)


WORDS = (
    "content has collapsed",
    "style has collapsed",
    "the decoder ignores the",
    "style still names the",
    "the content of",
    "learned the training observations by heart",
    "the flow has learned the training styles by heart",
    "have a single observation, and share nothing",
    "the training had",
    "the last fifth of the training still gained",
)


def test_whoever_reads_a_message_finds_its_heading():
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    headings = re.findall(r"^### (.*)$", text, re.MULTILINE)
    found = list(said())
    assert len({doubt.kind for doubt in found}) == 10
    for doubt in found:
        (words,) = [words for words in WORDS if words in doubt.text]
        assert any(words in heading for heading in headings), doubt


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ('<a href="other.html">', None),
        ('<a href="other.html#there">', None),
        ('<a href="https://elsewhere.org/x">', None),
        ('<a href="gone.html">', "links to gone.html, which is not there"),
        ('<a href="other.html#gone">', "other.html#gone: no such anchor"),
        ('<a href="#gone">', "#gone: no such anchor"),
        ('<script src="https://cdn.org/x.js">', "from the network"),
        ('<link rel="stylesheet" href="//fonts.org/x">', "from the network"),
        ('<img src="gone.png">', "links to gone.png, which is not there"),
    ],
)
def test_broken_links_are_found(tmp_path, page, problem):
    (tmp_path / "index.html").write_text(page)
    (tmp_path / "other.html").write_text('<h1 id="there"></h1>')
    found = links.broken(tmp_path)
    assert len(found) == (problem is not None)
    assert all(problem in line for line in found)


@pytest.mark.slow  # It builds the site.
def test_the_site_has_no_broken_link(tmp_path):
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", f"--site-dir={site}"]
    process = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert not links.broken(site)
