"""Several devices of one machine: a worker for each, all started from here."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

from mlvae_tf import cluster
from mlvae_tf.cluster import Task

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible() -> list[str]:
    """The GPUs that this process may use, as CUDA names them."""
    said = os.environ.get(_VISIBLE)
    if said is not None:
        names = [name.strip() for name in said.split(",")]
        return [name for name in names if name and name != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    asked = subprocess.run(query, capture_output=True, text=True, check=False)
    return asked.stdout.split() if asked.returncode == 0 else []


@contextlib.contextmanager
def workers() -> Iterator[Task | None]:
    """Let a worker run this command for every GPU: this process is the first.

    Every worker has a process of its own, so that Python runs for all at once,
    and XLA compiles for each as for one alone. The others end with this one.

    Yields:
        Which of them this process is; None where there is one device, or none.
    """
    devices = visible()
    if len(devices) < 2:
        yield None
        return
    addresses = [f"localhost:{port}" for port in free_ports(len(devices))]
    settings = [
        {"TF_CONFIG": cluster.config(addresses, number), _VISIBLE: device}
        for number, device in enumerate(devices)
    ]
    # Of a flag that is given twice, the last counts.
    command = [sys.executable, *sys.argv, "--distribution=multi_worker"]
    others = [
        subprocess.Popen(command, env={**os.environ, **setting})
        for setting in settings[1:]
    ]
    os.environ.update(settings[0])
    try:
        yield cluster.task()
    except BaseException:
        for other in others:
            other.terminate()
        raise
    finally:
        for other in others:
            other.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens to."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
