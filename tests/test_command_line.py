"""What the commands share: how they speak to a user."""

import subprocess
import sys

import pytest
from scripts import ROOT

CODE = """
__flags_first__ = True
import sys, warnings
from mlvae_tf.runs import command_line

def main():
    for step in (1, 2):
        warnings.warn("the logs\\ncannot be written")
    {}

sys.argv = ["/some/where/train.py"]
command_line.run(main, "What it does.")
"""


@pytest.mark.parametrize(
    ("then", "status"), [("", 0), ("raise OSError('full')", 2)]
)
def test_a_warning_is_one_line(then, status):
    process = subprocess.run(
        [sys.executable, "-c", CODE.format(then)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert process.returncode == status
    warning, *rest = process.stderr.splitlines()
    assert warning == "train.py: warning: the logs cannot be written"
    assert rest == (["train.py: full"] if then else [])


def test_a_warning_that_cannot_be_shown_ends_nothing():
    code = f"import sys, os\nos.close(2)\n{CODE.format('print(7)')}"
    process = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert process.returncode == 0
    assert process.stdout == "7\n"
