"""train.py until it has taken its first steps, for `step.py`."""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import train
from mlvae_tf import callbacks, command_line


def stop(*_: object, **__: object) -> None:
    """End the process at once."""
    os._exit(0)


if __name__ == "__main__":
    callbacks.Progress.on_train_batch_end = stop
    command_line.run(train.main)
