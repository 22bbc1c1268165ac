"""The folder of a run: where things lie."""

from __future__ import annotations

import json
import pathlib
import warnings
from typing import TYPE_CHECKING

import numpy as np

from mlvae_tf import files
from mlvae_tf.errors import InputError, reason
from mlvae_tf.runs import config

if TYPE_CHECKING:
    from mlvae_tf.evaluation.doubts import Doubt
    from mlvae_tf.model import MLVAE

IDENTIFICATION = "identification.npz"
_TRAINED_ON = "trained_on.npy"
_DOUBTS = "doubts.json"
_OUTPUTS = (
    "config.json",
    _TRAINED_ON,
    "checkpoints",
    "logs",
    "model.keras",
    "export",
    "evaluation",
    IDENTIFICATION,
    _DOUBTS,
    "seeds",
)


def prepare(folder: pathlib.Path, resume: bool, overwrite: bool) -> bool:
    """Make a run's folder ready.

    Args:
        folder: The folder, which need not exist.
        resume: Go on with the run in it, if there is one.
        overwrite: Allow that there is a run, which `clear` removes once a new
            one is about to begin.

    Returns:
        Whether there is a run to go on with.

    Raises:
        InputError: If it holds a run and neither is asked for, or if it can't
            be written to.
    """
    if resume and overwrite:
        raise InputError("pass --resume or --overwrite, not both.")
    holds_run = any((folder / name).exists() for name in _OUTPUTS)
    if holds_run and not (resume or overwrite):
        raise InputError(
            f"{folder} holds a run already. Pass --resume to go on with it, "
            "--overwrite to replace it, or another --workdir."
        )
    if resume and holds_run and not (folder / "config.json").exists():
        raise InputError(
            f"{folder} holds a run without its config.json. Restore that file, "
            "or pass --overwrite to start over."
        )
    files.check_writable(folder)
    return resume and holds_run


def clear(folder: pathlib.Path) -> None:
    """Remove the run in a folder; files that no run writes stay.

    So does what is exported, which a server may be serving, until the next
    version is whole.
    """
    for name in _OUTPUTS:
        if name != "export":
            files.remove(folder / name)


def remember_trained(folder: pathlib.Path, keys: np.ndarray) -> None:
    """Write down which observations a run is trained on, by their keys."""
    with files.whole(folder / _TRAINED_ON) as partial:
        np.save(partial, keys)


def trained_on(folder: pathlib.Path) -> np.ndarray:
    """The keys of what a run is trained on, uint64 `[T]`, as visited.

    Raises:
        InputError: If the run has no record of them.
    """
    path = folder / _TRAINED_ON
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise InputError(
            f"{path}, which tells what the run was trained on from what was "
            "held out, is missing or damaged. Bring it back, or train again."
        ) from None


def trained_on_or_none(folder: pathlib.Path) -> np.ndarray | None:
    """The same; None, with a warning, where there is no such file."""
    if (folder / _TRAINED_ON).exists():
        return trained_on(folder)
    warnings.warn(
        f"{folder} does not say what it was trained on ({_TRAINED_ON} is "
        "missing): the data are divided anew, which is the same only if they "
        "have not changed since.",
        stacklevel=2,
    )
    return None


def remember_doubts(folder: pathlib.Path, doubts: list[Doubt]) -> None:
    """Write down what was to be doubted at the end of the training."""
    found = [doubt._asdict() for doubt in doubts]
    files.write_json(folder / _DOUBTS, {"doubts": found})


def doubts_of(folder: pathlib.Path) -> list[Doubt]:
    """The same; none where nothing was written down."""
    from mlvae_tf.evaluation.doubts import Doubt

    try:
        found = json.loads((folder / _DOUBTS).read_text())["doubts"]
        return [Doubt(**doubt) for doubt in found]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def load_model(folder: pathlib.Path) -> MLVAE:
    """The trained model of a run.

    Raises:
        InputError: If the training has not left one, or if its networks are
            the user's and cannot be imported.
    """
    import keras

    # Keras finds their classes once they are imported.
    from mlvae_tf import model, schedules  # noqa: F401
    from mlvae_tf.runs import building

    path = folder / "model.keras"
    if not path.exists():
        raise InputError(
            f"{path} is missing: the training has not come to its end. Go on "
            f"with: python train.py --workdir={folder} --resume"
        )
    networks = config.load(folder / "config.json").model.networks
    if networks:
        building.import_networks(networks)
    try:
        return keras.saving.load_model(path)
    except Exception as error:  # Whatever a damaged file leads to.
        raise InputError(
            f"{path} is damaged: {reason(error)}. Write it again with: python "
            f"train.py --workdir={folder} --resume"
        ) from None
