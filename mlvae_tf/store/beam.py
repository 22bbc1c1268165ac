"""The content stores by Apache Beam: the same job on a cluster.

    ranges of rows -> batches, read where they are encoded
                   -> RunInference with the exported model
                   -> evidence by level and group -> CombinePerKey -> the tables

What travels is small: row numbers on the way in; on the way out, for each
level, two vectors per group and batch and a key per observation. Each worker
opens the dataset and the SavedModel itself, so that both have to lie where all
workers reach them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from mlvae_tf import evidence, files, serving
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.grouping import Grouping
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.likelihoods import Likelihood
from mlvae_tf.model import MLVAE
from mlvae_tf.store import encoding
from mlvae_tf.store.encoding import Proposals, ReadBatch, Step
from mlvae_tf.store.ids import as_stored
from mlvae_tf.store.layout import Layout
from mlvae_tf.store.tables import LevelStores, Parts


class Range(NamedTuple):
    """Rows of one part of a task's dataset."""

    part: int
    start: int
    stop: int


@dataclasses.dataclass(frozen=True)
class Share:
    """What some observations of a group add to it: keys `[n]`, evidence."""

    keys: np.ndarray
    evidence: Evidence


KeyedShare = tuple[tuple[str, int | str], Share]  # By level and group.


Parents = tuple[tuple[str, str | None], ...]  # Of `Layout`, with a hash.


class Opener(Protocol):
    """What opens a dataset, small enough to send anywhere.

    A worker gets a copy with every share of the work. Copies have to be equal,
    with one hash, so that it opens the dataset once.
    """

    def __hash__(self) -> int: ...

    def parts(self) -> list[GroupedData]:
        """The parts of the dataset that are to be encoded."""


@functools.lru_cache(1)
def _opened(opener: Opener) -> list[GroupedData]:
    """The dataset, opened once per process."""
    return opener.parts()


@functools.lru_cache(1)
def _stored(opener: Opener, parents: Parents) -> list[GroupedData]:
    """The same with ids as tables have them."""
    return [as_stored(part, dict(parents)) for part in _opened(opener)]


def read(
    rows: Range, opener: Opener, parents: Parents, likelihood: Likelihood
) -> ReadBatch:
    """Read a batch, on the worker that encodes it; its groups are ids."""
    part = _stored(opener, parents)[rows.part]
    batch = encoding.read_batch(part, rows.start, rows.stop, likelihood)
    levels = {
        name: Grouping(
            part.levels[name].groups[level.groups], level.group_index
        )
        for name, level in batch.levels.items()
    }
    return batch._replace(levels=levels)


class EncoderHandler(ModelHandler[ReadBatch, list[KeyedShare], Step]):
    """Loads a run's SavedModel, and encodes batches with it.

    Args:
        export: Folder of the SavedModel.
        batch_size: The size of the largest batch.
        likelihood: What makes values of 8-bit observations.
        level: What the model's level is called, if it is the only one.
    """

    def __init__(
        self, export: str, batch_size: int, likelihood: Likelihood, level: str
    ) -> None:
        super().__init__(max_batch_size=1)  # An example is a batch already.
        self._export, self._batch_size = export, batch_size
        self._likelihood, self._level = likelihood, level

    def load_model(self) -> Step:
        saved = tf.saved_model.load(self._export)

        def propose(observations: tf.Tensor) -> Proposals:
            found = saved.propose(observations)
            return found if isinstance(found, dict) else {self._level: found}

        return encoding.compile_step(
            propose, self._batch_size, self._likelihood
        )

    def run_inference(
        self,
        batch: Sequence[ReadBatch],
        model: Step,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterator[list[KeyedShare]]:
        for one in batch:
            found: list[KeyedShare] = []
            for name, total in model(one).items():
                level = one.levels[name]
                counts, keys = encoding.told(level, one.keys)
                shares = map(
                    Share,
                    np.split(keys, np.cumsum(counts)[:-1]),
                    map(Evidence, *total),
                )
                ids = ((name, group) for group in level.groups.tolist())
                found += zip(ids, shares)
            yield found


def add_up(shares: Iterable[Share]) -> Share:
    """All shares of a group together: what `CombinePerKey` calls."""

    keys, parts = zip(*((share.keys, share.evidence) for share in shares))
    return Share(np.concatenate(keys), functools.reduce(evidence.add, parts))


def write(found: list[KeyedShare], layout: Layout, path: str) -> None:
    """Write the tables, on the one worker that has all groups."""
    of_levels: dict[str, list[tuple[int | str, Share]]] = {
        name: [] for name in layout.rules
    }
    for (name, group), share in found:
        of_levels[name].append((group, share))
    parts = {name: _together(shares) for name, shares in of_levels.items()}
    LevelStores.of(layout, parts).save(pathlib.Path(path))


def _together(found: list[tuple[int | str, Share]]) -> Parts:
    groups, shares = zip(*found)
    return Parts(
        np.array(groups),
        np.array([len(share.keys) for share in shares]),
        Evidence(*map(np.stack, zip(*(share.evidence for share in shares)))),
        np.concatenate([share.keys for share in shares]),
    )


def _all_ranges(parts: list[GroupedData], size: int) -> Iterator[Range]:
    for number, part in enumerate(parts):
        for start, stop in encoding.ranges(len(part), size):
            yield Range(number, start, stop)


def encode(
    opener: Opener,
    model: MLVAE,
    export: pathlib.Path,
    batch_size: int,
    output: pathlib.Path,
    arguments: list[str],
) -> LevelStores:
    """Run the pipeline.

    Args:
        opener: Opens the data, on every worker.
        model: The model.
        export: Its SavedModel, which the workers load.
        batch_size: Observations to encode at once.
        output: A path that the workers reach too; the tables are passed on in
            a folder beside it.
        arguments: Flags of Beam and its runner.

    Returns:
        The stores of all groups, by level.

    Raises:
        InputError: If the SavedModel is another model's, if Beam does not take
            the arguments, or a worker not the observations.
    """
    layout, likelihood = Layout.of(model), model.codec.likelihood
    parents = tuple(layout.parents.items())
    _check_export(export, layout.fingerprint)
    handler = EncoderHandler(
        str(export), batch_size, likelihood, model.levels[0].name
    )
    parts = _stored(opener, parents)
    tables = output.absolute().with_name(f".beam-{output.name}-tables")
    with _pipeline(arguments) as pipeline:
        (
            pipeline
            | beam.Create(_all_ranges(parts, batch_size))
            | beam.Reshuffle()
            | beam.Map(read, opener, parents, likelihood)
            | RunInference(handler)
            | beam.FlatMap(lambda shares: shares)
            | beam.CombinePerKey(add_up)
            | beam.combiners.ToList()
            | beam.Map(write, layout, str(tables))
        )
    try:
        return LevelStores.load(tables)
    finally:
        files.remove(tables)


def _check_export(export: pathlib.Path, identity: str) -> None:
    """Raise `InputError` if a SavedModel says that it is another model's."""
    if serving.description(export).get("model", identity) != identity:
        raise InputError(
            f"{export} is of another model than the run's, such as that of a "
            "training that was replaced. Write it anew: python train.py "
            "--workdir=DIR --resume."
        )


@contextlib.contextmanager
def _pipeline(arguments: list[str]) -> Iterator[beam.Pipeline]:
    """A pipeline that runs once it is described."""
    try:
        pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    except ValueError as error:
        raise InputError(f"Beam does not take its flags: {error}") from None
    yield pipeline
    try:
        pipeline.run().wait_until_finish()
    except RuntimeError as error:  # A worker's error comes as its traceback.
        _, *mistakes = str(error).split(f"{InputError.__name__}: ")
        if not mistakes:
            raise
        raise InputError(mistakes[-1].splitlines()[0]) from None
