"""What the README shows is what happens, and what it links to is there."""

import pathlib
import re
import subprocess
import sys

import pytest
from scripts import ROOT, environment

README = pathlib.Path(ROOT, "README.md").read_text()


@pytest.mark.slow  # It trains, as it stands.
def test_the_python_block_runs_as_it_stands(tmp_path):
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    (tmp_path / "block.py").write_text(
        block
        + "\nassert groups.shape == (10,), groups"
        + "\nassert sevens_like_threes.shape == (5, 28, 28, 1)"
        + "\nassert (image.numpy() >= 0).all() and (image.numpy() <= 1).all()"
    )
    process = subprocess.run(
        [sys.executable, "block.py"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "model.keras").exists()


def shown(heading):
    """The lines of code of a section."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    blocks += re.findall(
        r"(?:^ {4}.*\n)+", re.sub("```(?s:.*?)```", "", section), re.M
    )
    return [line for block in blocks for line in block.strip().splitlines()]


def test_what_it_types_stands_in_an_example():
    paths = [*ROOT.glob("examples/*.sh"), ROOT / "examples/own_networks.py"]
    lines = {
        line.strip("# ")
        for path in paths
        for line in path.read_text().splitlines()
    }
    typed = shown("On data of yours")
    assert len(typed) >= 10
    for line in typed:
        assert line.strip() in lines, line


def anchors(text):
    """What GitHub makes of the headings of Markdown."""
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}


@pytest.mark.parametrize("name", ["README.md", "BUILD.md", "CONTRIBUTING.md"])
def test_its_links_lead_somewhere(name):
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / name).read_text())
    inside = [link for link in links if not link.startswith("http")]
    assert inside
    for link in inside:
        path, _, anchor = link.partition("#")
        assert (ROOT / path).exists(), link
        assert not anchor or anchor in anchors((ROOT / path).read_text()), link
