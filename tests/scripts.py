"""Our scripts as a user runs them: in a process of their own."""

import atexit
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import keras

ROOT = pathlib.Path(__file__).parent.parent
SMALL = [
    "--hidden_units=16,12",
    "--content_dim=3",
    "--style_dim=2",
    "--style_flow=0",
]


def script(name, *arguments):
    """Run a script in a fork, which has imported the libraries already."""
    with tempfile.TemporaryDirectory() as folder:
        stdout = pathlib.Path(folder, "stdout")
        stderr = pathlib.Path(folder, "stderr")
        for path in (stdout, stderr):
            path.touch()
        request = {
            "script": str(ROOT / name),
            "arguments": list(map(str, arguments)),
            "folder": os.getcwd(),
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        server = _fork_server()
        print(json.dumps(request), file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(
            [request["script"], *request["arguments"]],
            status,
            stdout.read_text(),
            stderr.read_text(),
        )


def new_script(name, *arguments, env=None, **kwargs):
    """Run a script in a new process, which imports everything itself."""
    return subprocess.run(
        command(name, *arguments),
        capture_output=True,
        text=True,
        check=False,
        env=env or environment(),
        **kwargs,
    )


def command(name, *arguments):
    """What starts a script."""
    return [sys.executable, str(ROOT / name), *map(str, arguments)]


def environment(**changed):
    """A user's: without what conftest.py sets."""
    ours = {"TF_CPP_MIN_LOG_LEVEL"}
    users = {name: os.environ[name] for name in os.environ.keys() - ours}
    return {**users, **changed}


@functools.cache
def _fork_server():
    """One for all tests of this process; it ends when that does."""
    server = subprocess.Popen(
        [sys.executable, pathlib.Path(__file__).with_name("fork_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # To end it together with its forks.
    )

    def end():
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()

    atexit.register(end)
    return server


def weights(folder):
    """Those of a run's model."""
    return keras.saving.load_model(folder / "model.keras").get_weights()


def assert_fails(process, *words):
    """One line on stderr with these words, status 2."""
    assert process.returncode == 2, process.stderr
    lines = process.stderr.strip().splitlines()
    assert len(lines) == 1, process.stderr
    for word in words:
        assert word in lines[0]
