"""From observations to a content store: encode, add up, forget.

Observations stream through the encoder a batch at a time, in whatever order
they lie, and leave the evidence of their groups. Nothing is kept an
observation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tqdm

from mlvae_tf import checks, data, evidence, workdir
from mlvae_tf import config as config_module
from mlvae_tf.config import DataConfig
from mlvae_tf.data.grouping import GroupedData, scale
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.model import MLVAE
from mlvae_tf.store import ContentStore, check_rule

SPLITS = "train", "validation", "test", "unseen"


class Batch(NamedTuple):
    """Some observations, and which groups they are from.

    Attributes:
        observations: `[n, ...]`, uint8 or float32.
        groups: The distinct groups `[g]`, ids or row numbers.
        segment_ids: int32 `[n]`, where in `groups` each has its own.
    """

    observations: np.ndarray
    groups: np.ndarray
    segment_ids: np.ndarray


Proposal = tuple[tf.Tensor, tf.Tensor]
Step = Callable[[Batch], Evidence]


@dataclasses.dataclass(frozen=True)
class Task:
    """What to encode, small enough to send to any worker.

    Attributes:
        workdir: The run whose model encodes, an absolute path.
        data: The dataset, and how it is divided.
        seed: Seed of that division.
        split: The only part of it to encode, of `SPLITS`; None is all.
        batch_size: Observations to encode at once.
    """

    workdir: pathlib.Path
    data: DataConfig
    seed: int
    split: str | None = None
    batch_size: int = 1024

    @classmethod
    def of(
        cls,
        folder: pathlib.Path,
        settings: dict[str, Any],
        split: str | None,
        batch_size: int,
    ) -> Task:
        """The task of a run's configuration, with some of its fields replaced.

        Args:
            folder: The workdir.
            settings: Fields of `DataConfig`.
            split: As the attribute.
            batch_size: As the attribute.
        """
        run = config_module.load(folder / "config.json")
        whole = {"holdout_groups": 0.0, "holdout_observations": 0.0}
        if split is None:
            divided = [name for name in settings if name in whole]
            if divided:
                raise InputError(
                    f"--{divided[0]} divides a dataset, which is encoded as a "
                    f"whole. Pass --split too: {', '.join(SPLITS)}."
                )
            settings = {**settings, **whole}
        dataset = data.resolve(settings.get("dataset", run.data.dataset))
        run = run.replace({**settings, "dataset": dataset})
        return cls(
            folder.absolute(), run.data, run.training.seed, split, batch_size
        )

    def parts(self) -> list[GroupedData]:
        """Open the dataset: the parts of it that are to be encoded."""
        splits = data.load(self.data, self.seed)
        names = SPLITS if self.split is None else (self.split,)
        parts = [getattr(splits, name) for name in names]
        parts = [part for part in parts if part is not None]
        if not parts:
            raise InputError(
                f"{self.data.dataset} has no {self.split} observations. Drop "
                "--split, or hold some out."
            )
        return parts

    def load_model(self) -> MLVAE:
        """The run's model, if its evidence adds up."""
        model = workdir.load_model(self.workdir)
        check_rule(model.accumulation.rule)
        return model


def fingerprint(model: MLVAE) -> str:
    """Identity of what gives a model's evidence: 16 hexadecimal digits."""
    layers = model.encoder, model.content_head
    settings = [model.observation_shape, model.trunk, model.activation]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for layer in layers:
        for weight in layer.weights:
            digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()[:16]


def propose(model: MLVAE, observations: tf.Tensor) -> Proposal:
    """The `loc` and `scale` that observations propose for their content."""
    observations = tf.cast(observations, model.variable_dtype)
    content, _ = model.propose(observations, training=True)
    return content.loc, content.scale


def compile_step(
    propose: Callable[[tf.Tensor], Proposal], batch_size: int
) -> Step:
    """The work of a batch, compiled: its observations to its groups' evidence.

    XLA wants one shape: as many rows of groups as observations, and a smaller
    batch padded. What the encoder computes besides the content it leaves out.

    Args:
        propose: From observations, float32 `[n, ...]`, to the `(loc, scale)`
            that each proposes for its group's content, `[n, content_dim]`.
        batch_size: The size of the largest batch.

    Returns:
        From a `Batch` to `Evidence`, float64 `[g, content_dim]`.
    """

    @tf.function(jit_compile=True)
    def evidence_of(
        observations: tf.Tensor, segment_ids: tf.Tensor
    ) -> Evidence:
        proposal = propose(scale(observations))
        loc, deviation = (tf.cast(part, tf.float64) for part in proposal)
        return evidence.accumulate(
            evidence.from_normal(loc, deviation), segment_ids, batch_size
        )

    def step(batch: Batch) -> Evidence:
        observations, groups, segment_ids = batch
        lacking = batch_size - len(observations)
        if lacking:
            widths = [(0, lacking)] + [(0, 0)] * (observations.ndim - 1)
            observations = np.pad(observations, widths)
            segment_ids = np.pad(segment_ids, (0, lacking), constant_values=-1)
        total = evidence_of(observations, segment_ids)
        return Evidence(*(part.numpy()[: len(groups)] for part in total))

    return step


def read_batch(
    part: GroupedData, start: int, stop: int, likelihood: str
) -> Batch:
    """Read rows `start` to `stop`; the groups are row numbers.

    Raises:
        InputError: If the likelihood does not take the values.
    """
    observations = np.asarray(part.observations[start:stop])
    if observations.dtype != np.uint8:  # Which `scale` brings to [0, 1].
        checks.check_values(observations, likelihood)
    groups, segment_ids = np.unique(
        part.group_index[start:stop], return_inverse=True
    )
    return Batch(observations, groups, segment_ids.astype(np.int32))


def ranges(num_observations: int, size: int) -> Iterator[tuple[int, int]]:
    """Where batches begin and end."""
    for start in range(0, num_observations, size):
        yield start, min(start + size, num_observations)


def encode(
    model: MLVAE, parts: list[GroupedData], batch_size: int = 1024
) -> ContentStore:
    """The content store of observations, which stream through the encoder.

    Memory does not grow with the number of observations, but for the row
    number of each one's group.

    Args:
        model: The model.
        parts: Observations and their groups; a group may be in several.
        batch_size: Observations to encode at once.

    Returns:
        The store of all groups.

    Raises:
        InputError: If the observations do not fit the model, or if its rule
            does not add evidence up.
    """
    check_rule(model.accumulation.rule)
    for part in parts:
        checks.check_shapes(part.observations, model.observation_shape)
    step = compile_step(functools.partial(propose, model), batch_size)
    total = sum(map(len, parts))
    with contextlib.closing(_progress(total)) as bar:
        stores = [
            encode_part(model, part, step, batch_size, bar) for part in parts
        ]
    return functools.reduce(ContentStore.merge, stores)


def _progress(total: int) -> tqdm.tqdm:
    # Log files get a line a half-minute, terminals a live bar.
    seconds = 0.2 if sys.stderr.isatty() else 30
    return tqdm.tqdm(
        total=total, unit="obs", unit_scale=True, mininterval=seconds
    )


def encode_part(
    model: MLVAE,
    part: GroupedData,
    step: Step,
    batch_size: int,
    bar: tqdm.tqdm,
) -> ContentStore:
    """The content store of one part, with a step that `compile_step` gave."""
    groups = part.groups
    counts = np.zeros(len(groups), np.int64)
    shape = len(groups), model.content_dim
    total = Evidence(np.zeros(shape), np.zeros(shape))
    for batch in _ahead(_read(part, batch_size, model.likelihood)):
        rows = batch.groups
        known = Evidence(*(column[rows] for column in total))
        for column, values in zip(total, evidence.add(known, step(batch))):
            column[rows] = values
        counts[rows] += np.bincount(batch.segment_ids)
        bar.update(len(batch.observations))
    rule = model.accumulation.rule
    return ContentStore.of(groups, counts, total, rule, fingerprint(model))


def _read(part: GroupedData, size: int, likelihood: str) -> Iterator[Batch]:
    for start, stop in ranges(len(part), size):
        yield read_batch(part, start, stop, likelihood)


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same, the next one read while one is computed with."""
    with futures.ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = reader.submit(next, batches, None)
            yield batch


def check_adds_up(
    stored: ContentStore, model: MLVAE, parts: list[GroupedData]
) -> None:
    """Raise `InputError` if a store is of another model or kind of ids."""
    stored.check_model(model.accumulation.rule, fingerprint(model))
    for part in parts:
        stored.check_ids(part.groups)
