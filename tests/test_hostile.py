"""What hostile requests come to, each in a process that has to survive."""

import re
import subprocess
import sys

import pytest
from scripts import ROOT, environment


@pytest.mark.slow
def test_ten_thousand_hostile_requests():
    process = subprocess.run(
        [sys.executable, ROOT / "tests" / "hostile.py", "--requests=10000"],
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr[-5000:]
    counts = re.findall(
        r"(\d+) answered.* (\d+) refused in words", process.stdout
    )
    assert len(counts) == 2
    assert all(int(n) > 1000 for both in counts for n in both)
