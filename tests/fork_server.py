"""Runs scripts in forks of a process that has imported TensorFlow already.

The import takes most of the time of a short run. A fork is otherwise a process
like any other: it has its own arguments, folder, standard streams and flags,
imports our package itself, and the interpreter ends as it always does. Only
libraries are imported beforehand, and nothing of them is used, so that no
thread of TensorFlow's is there to be lost in the fork.

A line on stdin asks for a run; a line on stdout answers with its status.
"""

import gc
import importlib
import json
import os
import runpy
import sys

# What mlvae_tf/runs/command_line.py sets first.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

LIBRARIES = (
    "keras",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "pyarrow.parquet",
    "sklearn.covariance",
    "sklearn.decomposition",
    "sklearn.metrics",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "tensorboard.summary.v2",
    "tensorflow",
    "tensorflow_probability",
)


def become(script, arguments, folder, stdout, stderr):
    """Make this process that of a script, up to its first line."""
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, stdout, os.O_WRONLY | os.O_APPEND),
        (2, stderr, os.O_WRONLY | os.O_APPEND),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(script)
    sys.modules["numpy"].random.seed()  # Forks would all draw the same.


def main():
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # Spares the forks copies of pages that they only read.
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            become(**request)
            runpy.run_path(request["script"], run_name="__main__")
            return  # The interpreter ends, as after any script.
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
