"""What the encoder says of every single observation, as a table."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mlvae_tf import checks, progress
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.observations import Stored
from mlvae_tf.model import MLVAE
from mlvae_tf.store import columns
from mlvae_tf.store.ids import as_ids


class Part(NamedTuple):
    """Observations of a dataset, and where in it they are.

    Attributes:
        data: The observations.
        rows: Their numbers in the dataset, or in its split, integers `[N]`.
        split: The dataset's own split that they are from; None where it has
            only one.
    """

    data: GroupedData
    rows: np.ndarray
    split: str | None = None


def write(
    model: MLVAE,
    parts: list[Part],
    path: pathlib.Path,
    batch_size: int = 1024,
    paths: bool = False,
) -> None:
    """Write a row per observation, in their order, whole or not at all.

    The columns are `row`, `path` if asked for, `split` if there are several,
    `group`, and the vectors `content_loc`, `content_scale`, `style_loc` and
    `style_scale`: the normal that the observation by itself proposes for the
    content, and its style. With several levels their names take the place of
    `group` and of `content`. Their numbers are null, in a CSV nothing, where no
    value of the observation is known. Memory does not grow with the number of
    observations, but for the row numbers.

    Args:
        model: The model.
        parts: The observations, at least one.
        path: Ends in one of `files.TABLES`.
        batch_size: Observations to encode at once.
        paths: Name the file of every observation.

    Raises:
        InputError: If the observations do not fit the model.
    """
    for part in parts:
        checks.check_shapes(part.data.observations, model.observation_shape)
    tables = (
        table
        for part in parts
        for table in _encode(model, part, batch_size, paths)
    )
    total = sum(len(part.data) for part in parts)
    with progress.bar(total, "encoding", "obs") as bar:
        first = next(tables)
        with columns.writing(path, first.schema) as write_rows:
            for table in itertools.chain([first], tables):
                write_rows(table)
                bar.update(len(table))


def _encode(
    model: MLVAE, part: Part, batch_size: int, paths: bool
) -> Iterator[pa.Table]:
    data, stop = part.data, 0
    observations = data.observations
    levels = data.levels if data.others else {"group": data.levels[data.level]}
    groups = {name: as_ids(level.groups) for name, level in levels.items()}
    for values, _ in data.chunks(batch_size):
        start, stop = stop, stop + len(values)
        table = {"row": pa.array(part.rows[start:stop], pa.int64())}
        if paths and isinstance(observations, Stored):
            names = map(observations.name, range(start, stop))
            table["path"] = pa.array(names, pa.string())
        if part.split is not None:
            table["split"] = pa.array([part.split] * len(values))
        for name, level in levels.items():
            table[name] = columns.ids(
                groups[name][level.group_index[start:stop]]
            )
        yield pa.table({**table, **_vectors(model, values)})


def _vectors(model: MLVAE, values: np.ndarray) -> dict[str, pa.Array]:
    contents, style = model.infer_observations(values, batch_size=len(values))
    if not isinstance(contents, dict):
        contents = {"content": contents}
    latents = contents | ({"style": style} if model.style_dim else {})
    known = model.codec.likelihood.known(values)
    if known is not None:
        known = np.asarray(known)
    return {
        f"{name}_{of}": columns.vectors(getattr(latent, of).numpy(), known)
        for name, latent in latents.items()
        for of in ("loc", "scale")
    }
