"""What is asked of a run that has several levels of groups."""

from __future__ import annotations

import contextlib

from mlvae_tf.data.design import Design, Table
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import tables
from mlvae_tf.model import MLVAE
from mlvae_tf.runs.config import Config


def check(config: Config) -> None:
    """Raise `InputError` where settings are for one level alone.

    Args:
        config: The configuration.
    """
    names, training = config.data.groups or (), config.training
    if len(names) < 2:
        for flag in ("parents", "level_dims"):
            if config.flat()[flag]:
                raise InputError(
                    f"--{flag} is for several levels: name them, such as "
                    "--groups=patient,visit, or drop it."
                )
        return
    unknown = [name for name in config.model.dim_of if name not in names]
    if unknown:
        raise InputError(
            f"--level_dims must name levels, {', '.join(names)}: got "
            f"{unknown[0]}."
        )
    for flag in ("mirror_groups", "augment_groups"):
        if getattr(training, flag):
            raise InputError(
                f"--{flag} is not there yet for several levels: drop it."
            )


def check_levels(model: MLVAE, data: GroupedData) -> None:
    """Raise `InputError` unless the data have the levels of a model.

    Args:
        model: The model.
        data: What is read for it.
    """
    names = [level.name for level in model.levels]
    if len(names) == 1 and not data.others:
        return  # Whatever it is called.
    if sorted(data.levels) != sorted(names):
        raise InputError(
            f"the model has the levels {', '.join(names)}, the data "
            f"{', '.join(data.levels)}: name the same in --groups."
        )


def look(train: GroupedData, parents: dict[str, str]) -> None:
    """Print what the ids can tell, and refuse what cannot be learned.

    Args:
        train: What is learned from.
        parents: By inner level, the one that it is in.

    Raises:
        InputError: Of `Design.check`.
    """
    levels = train.levels
    ids = {name: level.groups for name, level in levels.items()}
    design = Design.of(train.group_indices, ids, parents)
    for table in (design.table(), design.crossing_table()):
        _print(table)
    design.check()
    for doubt in design.doubts():
        print(f"doubt: {doubt}.", flush=True)


def _print(table: Table) -> None:
    print(tables.as_text(table), flush=True)


def skip(what: str) -> None:
    """Print that something is left out."""
    with contextlib.suppress(OSError):  # As of a terminal that is gone.
        print(f"{what} is not there yet for several levels.", flush=True)
