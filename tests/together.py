"""Several workers of one training on this machine, for tests and benchmarks."""

import os
import pathlib
import subprocess
import sys

from mlvae_tf import cluster
from mlvae_tf.runs.devices import free_ports

ROOT = pathlib.Path(__file__).parent.parent


def configurations(count):
    """`TF_CONFIG` of each worker, on ports that nobody listens to."""
    addresses = [f"localhost:{port}" for port in free_ports(count)]
    return [cluster.config(addresses, number) for number in range(count)]


def start(count, *command, **kwargs):
    """A Python process for every worker; one alone has no `TF_CONFIG`."""
    settings = [{"TF_CONFIG": one} for one in configurations(count)]
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "TF_CPP_MIN_LOG_LEVEL": "3",
                **(setting if count > 1 else {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **kwargs,
        )
        for setting in settings
    ]


def finish(processes, timeout=500):
    """What they printed, once all have ended well."""
    printed = [process.communicate(timeout=timeout) for process in processes]
    statuses = [process.returncode for process in processes]
    said = "\n".join(errors[-2000:] for _, errors in printed)
    assert not any(statuses), said
    return printed
