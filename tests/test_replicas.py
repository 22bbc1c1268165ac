"""Workers that train together: what they come to is what one comes to."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from worker import CASES, make_model, run

ROOT = pathlib.Path(__file__).parent.parent


def addresses(count):
    """Of ports that nobody listens to."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    found = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return found


def start(count, *command):
    """A process for every worker."""
    workers = {"worker": addresses(count)}
    processes = []
    for index in range(count):
        config = {
            "cluster": workers,
            "task": {"type": "worker", "index": index},
        }
        environment = {
            **os.environ,
            "TF_CONFIG": json.dumps(config),
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def finish(processes, timeout=500):
    """What they printed, once all have ended well."""
    printed = [process.communicate(timeout=timeout) for process in processes]
    for process, (_, errors) in zip(processes, printed, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return printed


def results(folder, count, cases):
    finish(start(count, "tests/worker.py", str(folder), *cases))
    return {
        case: [np.load(folder / f"{case}-{n}.npz") for n in range(count)]
        for case in cases
    }


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    return results(tmp_path_factory.mktemp("two"), 2, CASES)


# Of float32 the rounding of sums in another order; of the long one that of a
# hundred steps, each of which begins where the others have led.
TOLERANCES = {"compiled": 2e-5, "long": 1e-2, "statistics": 1e-6}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_workers_come_to_what_one_comes_to(of_two, case):
    compare(of_two[case], run(case), case)


@pytest.mark.slow
def test_four_workers_come_to_what_one_comes_to(tmp_path):
    cases = "split", "all", "levels"
    found = results(tmp_path, 4, cases)
    for case in cases:
        compare(found[case], run(case), case)


def compare(workers, alone, case):
    first, *others = workers
    for other in others:
        for name, value in first.items():  # To the bit.
            np.testing.assert_array_equal(other[name], value, name)
    tolerance = TOLERANCES.get(case, 1e-9)
    names = ["loss", "val_loss", "elbo_per_observation", "gradient_norm"]
    if case == "statistics":  # A worker normalizes by its own rows alone.
        names = []
    for name in names:
        np.testing.assert_allclose(first[name], alone[name], 1e-4, err_msg=name)
    model = make_model(case)
    for number, weight in enumerate(model.weights):
        name = f"weight{number}"
        moved = np.abs(alone[name] - weight.numpy()).max()
        error = np.abs(first[name] - alone[name]).max()
        if case != "statistics" or weight.path.endswith("moving_mean"):
            assert error <= tolerance * moved, (weight.path, error, moved)
