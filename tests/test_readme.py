"""What the README shows is what happens."""

import pathlib
import re
import subprocess
import sys

import pytest
from scripts import ROOT, environment


@pytest.mark.slow  # It trains, as it stands.
def test_the_python_block_runs_as_it_stands(tmp_path):
    text = pathlib.Path(ROOT, "README.md").read_text()
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
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
