"""What a run has learned about telling groups apart, in its folder."""

from __future__ import annotations

import dataclasses
import pathlib
import zipfile
import zlib
from typing import Any

import numpy as np

from mlvae_tf import files
from mlvae_tf.comparison import Comparison, Discriminants
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import identification
from mlvae_tf.evaluation.identification import Identification
from mlvae_tf.fingerprint import fingerprint
from mlvae_tf.model import MLVAE
from mlvae_tf.runs import callbacks, workdir
from mlvae_tf.runs.config import TrainingConfig
from mlvae_tf.store.table import level_of

_DAMAGE = OSError, EOFError, ValueError, LookupError, AttributeError, TypeError
_DAMAGE_OF_ARCHIVE = zipfile.BadZipFile, zlib.error


def keep(
    folder: pathlib.Path, model: MLVAE, splits: Splits, training: TrainingConfig
) -> None:
    """Learn to identify, and leave that in a run's folder, or warn.

    Args:
        folder: The run's folder.
        model: Its trained model.
        splits: The data, its groups not mirrored yet.
        training: How it was trained.
    """
    found: dict[str, Identification] = {}
    with callbacks.going_on("learning to identify"):
        for level in model.codec.drawn:
            if level.accumulation == "average":
                continue  # There is no store of these.
            train, held_out = splits.train, splits.evaluation
            if len(model.levels) > 1:
                train = train.on(level.name)
                held_out = held_out and held_out.on(level.name)
            found[level.name] = identification.learn(
                model, train, held_out, training.mirror_groups, training.seed
            )
        if found:
            save(folder, found, fingerprint(model))


def save(
    folder: pathlib.Path, found: dict[str, Identification], model: str
) -> None:
    """Write it by level, with the identity of the model, whole or not."""
    arrays: dict[str, Any] = {}
    for level, of_level in found.items():
        by = of_level.comparison
        values = dataclasses.asdict(of_level) | {"way": by.way, "rule": by.rule}
        del values["comparison"]
        if by.discriminants is not None:
            values |= vars(by.discriminants)
        arrays |= {f"{level}/{name}": value for name, value in values.items()}
    with files.whole(folder / workdir.IDENTIFICATION) as partial:
        np.savez(partial, model=model, **arrays)


def load(
    folder: pathlib.Path, model: MLVAE, level: str | None = None
) -> Identification:
    """Read what `save` wrote.

    Args:
        folder: The run's folder.
        model: Its model.
        level: Which of its levels is asked for, if it has several.

    Raises:
        InputError: If it is missing, damaged or of another model.
    """
    name = level_of(model, level).name
    path = folder / workdir.IDENTIFICATION
    again = f"python train.py --workdir={folder} --resume"
    if not path.exists():
        raise InputError(
            f"{path} is missing: the run is of a version that left none, or "
            "train.py has warned that it could not. Write it with "
            f"{again}, or pass --threshold=SCORE, by posteriors."
        )
    try:
        values = _read(path)
        found = _of(values, name)
    except (*_DAMAGE, *_DAMAGE_OF_ARCHIVE):
        raise InputError(
            f"{path} is damaged. Write it again with {again}."
        ) from None
    if values["model"] != fingerprint(model):
        raise InputError(
            f"{path} is of model {values['model']}, and the run's is "
            f"{fingerprint(model)}. Write it again with {again}."
        )
    return found


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as file:
        archive = np.load(file, allow_pickle=False)
        return {name: archive[name] for name in archive.files}


def _of(arrays: dict[str, np.ndarray], level: str) -> Identification:
    """What it holds of a level; raises `ValueError` where that fits none."""
    start = f"{level}/"
    values = {
        name.removeprefix(start): value
        for name, value in arrays.items()
        if name.startswith(start)
    }
    way, rule = str(values["way"]), str(values["rule"])
    discriminants = None
    if way == "discriminants":
        names = "directions", "center", "variance"
        discriminants = Discriminants(*(values[name] for name in names))
        shape = discriminants.directions.shape[1:]
        if any(values[name].shape != shape for name in names[1:]):
            raise ValueError
    return Identification(
        Comparison(way, rule, discriminants),
        threshold=float(values["threshold"]),
        rejected=float(values["rejected"]),
        accepted=float(values["accepted"]),
        observations=int(values["observations"]),
        groups=int(values["groups"]),
    )
