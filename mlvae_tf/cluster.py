"""Which workers train together, as `TF_CONFIG` says."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from mlvae_tf.errors import InputError

_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": '
    '"worker", "index": 0}}'
)


class Task(NamedTuple):
    """A worker among others.

    Attributes:
        addresses: Of all of them, `host:port`.
        number: Which one this is, from 0.
    """

    addresses: list[str]
    number: int


def config(addresses: list[str], number: int) -> str:
    """What `TF_CONFIG` says to one of several workers.

    Args:
        addresses: Of all of them, `host:port`.
        number: Which one it is, from 0.
    """
    own = {"type": "worker", "index": number}
    return json.dumps({"cluster": {"worker": addresses}, "task": own})


def task() -> Task:
    """This process's, from `TF_CONFIG`.

    Raises:
        InputError: If it is not there, or names other than workers.
    """
    expected = (
        f"TF_CONFIG must name all workers and which one this is, {_EXAMPLE}"
    )
    said = os.environ.get("TF_CONFIG")
    if not said:
        raise InputError(f"{expected}: the environment has none.")
    try:
        values = json.loads(said)
        cluster, own = values["cluster"], values["task"]
        found = Task(list(cluster["worker"]), int(own["index"]))
        if set(cluster) != {"worker"} or own["type"] != "worker":
            raise ValueError("there are other tasks than workers")
        if not 0 <= found.number < len(found.addresses):
            raise ValueError(f"there is no worker {found.number}")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{expected}: got {said} ({error}).") from None
    return found
