"""The content store by Apache Beam: the same job on a cluster.

    ranges of rows -> batches, read where they are encoded
                   -> RunInference with the exported model
                   -> evidence by group -> CombinePerKey -> the table

What travels is small: row numbers on the way in, on the way out two vectors per
group and batch and a key per observation. Each worker opens the dataset and the
SavedModel itself, so that both have to lie where all workers reach them.
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

from mlvae_tf import evidence, serving
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.likelihoods import Likelihood
from mlvae_tf.model import MLVAE
from mlvae_tf.store import encoding
from mlvae_tf.store.encoding import Proposal, ReadBatch, Step
from mlvae_tf.store.table import ContentStore, as_ids, check_one_level


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


KeyedShare = tuple[int | str, Share]


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


def read(rows: Range, opener: Opener, likelihood: Likelihood) -> ReadBatch:
    """Read a batch, on the worker that encodes it; its groups are ids."""
    part = _opened(opener)[rows.part]
    batch = encoding.read_batch(part, rows.start, rows.stop, likelihood)
    return batch._replace(groups=as_ids(part.groups[batch.groups]))


class EncoderHandler(ModelHandler[ReadBatch, list[KeyedShare], Step]):
    """Loads a run's SavedModel, and encodes batches with it.

    Args:
        export: Folder of the SavedModel.
        batch_size: The size of the largest batch.
        likelihood: What makes values of 8-bit observations.
    """

    def __init__(
        self, export: str, batch_size: int, likelihood: Likelihood
    ) -> None:
        super().__init__(max_batch_size=1)  # An example is a batch already.
        self._export, self._batch_size = export, batch_size
        self._likelihood = likelihood

    def load_model(self) -> Step:
        saved = tf.saved_model.load(self._export)

        def propose(observations: tf.Tensor) -> Proposal:
            return saved.propose(observations)

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
            keys = np.split(one.keys_by_group(), np.cumsum(one.counts())[:-1])
            parts = map(Evidence, *model(one))
            yield list(zip(one.groups.tolist(), map(Share, keys, parts)))


def add_up(shares: Iterable[Share]) -> Share:
    """All shares of a group together: what `CombinePerKey` calls."""

    keys, parts = zip(*((share.keys, share.evidence) for share in shares))
    return Share(np.concatenate(keys), functools.reduce(evidence.add, parts))


def write(
    found: list[KeyedShare], rule: str, fingerprint: str, path: str
) -> None:
    """Write the table, on the one worker that has all groups."""
    groups, shares = zip(*found)
    counts = np.array([len(share.keys) for share in shares])
    total = Evidence(*map(np.stack, zip(*(v.evidence for v in shares))))
    keys = np.concatenate([share.keys for share in shares])
    store = ContentStore.of(
        np.array(groups), counts, total, keys, rule, fingerprint
    )
    store.save(pathlib.Path(path))


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
) -> ContentStore:
    """Run the pipeline.

    Args:
        opener: Opens the data, on every worker.
        model: The model.
        export: Its SavedModel, which the workers load.
        batch_size: Observations to encode at once.
        output: A path that the workers reach too; the table is passed on in
            a file beside it.
        arguments: Flags of Beam and its runner.

    Returns:
        The store of all groups.

    Raises:
        InputError: If the SavedModel is another model's, if Beam does not take
            the arguments, or a worker not the observations.
    """
    check_one_level(model)
    rule = model.levels[0].accumulation
    identity, likelihood = encoding.fingerprint(model), model.codec.likelihood
    _check_export(export, identity)
    handler = EncoderHandler(str(export), batch_size, likelihood)
    parts = _opened(opener)
    table = output.absolute().with_name(f".beam-{output.name}.parquet")
    with _pipeline(arguments) as pipeline:
        (
            pipeline
            | beam.Create(_all_ranges(parts, batch_size))
            | beam.Reshuffle()
            | beam.Map(read, opener, likelihood)
            | RunInference(handler)
            | beam.FlatMap(lambda shares: shares)
            | beam.CombinePerKey(add_up)
            | beam.combiners.ToList()
            | beam.Map(write, rule, identity, str(table))
        )
    try:
        return ContentStore.load(table)
    finally:
        table.unlink(missing_ok=True)


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
