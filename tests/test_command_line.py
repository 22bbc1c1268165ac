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


WRITES = """
    with open({path!r}, "w") as file:
        import subprocess
        subprocess.run("echo a note of TensorFlow >&2", shell=True)
        file.write("7")
    print(7)
"""


def under(redirection, then):
    """Run the code as a shell does."""
    command = f'"$0" -c "$1" {redirection}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable, CODE.format(then)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


@pytest.mark.parametrize(
    ("redirection", "shown"),
    [
        ("2>&-", "7\n"),
        ("2>/dev/full", "7\n"),
        ("<&- 2>&-", "7\n"),
        (">&-", ""),
        ("<&- >&- 2>&-", ""),
    ],
)
def test_streams_that_are_not_there_end_nothing(redirection, shown, tmp_path):
    path = tmp_path / "file"
    process = under(redirection, WRITES.format(path=str(path)))
    assert process.returncode == 0
    assert path.read_text() == "7"  # Which was not opened as stderr.
    assert process.stdout == shown


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", ">&-"])
def test_a_failure_has_its_status_whatever_can_be_shown(redirection):
    process = under(redirection, "raise OSError('full')")
    assert process.returncode == 2
    assert "Traceback" not in process.stderr


def test_output_that_cannot_be_written_is_a_failure():
    process = under(">/dev/full", "print(7)")
    assert process.returncode == 2
    *_, last = process.stderr.splitlines()
    assert last == "train.py: [Errno 28] No space left on device"
