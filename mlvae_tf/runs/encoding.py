"""What `encode.py` encodes: a run's model, and parts of a dataset."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any, NamedTuple

import numpy as np

from mlvae_tf.data import config as data_config
from mlvae_tf.data import loading
from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood
from mlvae_tf.model import MLVAE
from mlvae_tf.runs import building, exports, workdir
from mlvae_tf.runs import config as config_module
from mlvae_tf.store import encoding
from mlvae_tf.store.embeddings import Part
from mlvae_tf.store.table import check_rule
from mlvae_tf.store.tables import LevelStores

SPLITS = "train", "validation", "test", "unseen"


class Opened(NamedTuple):
    """What is to be encoded, and what a user should know of it."""

    parts: list[Part]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Task:
    """What to encode, small enough to send to any worker.

    Attributes:
        workdir: The run whose model encodes, an absolute path.
        data: The dataset, and how it is divided.
        seed: Seed of that division.
        likelihood: Knows which values observations may have.
        split: The only part of it to encode, of `SPLITS`; None is all.
        batch_size: Observations to encode at once.
        without: Stored tables whose observations `parts` leaves out.
    """

    workdir: pathlib.Path
    data: DataConfig
    seed: int
    likelihood: Likelihood
    split: str | None = None
    batch_size: int = 1024
    without: pathlib.Path | None = None

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
        for name in settings:
            if split is None and name.startswith("holdout_"):
                raise InputError(
                    f"--{name} divides a dataset, which is encoded as a "
                    f"whole. Pass --split too: {', '.join(SPLITS)}."
                )
        dataset = data_config.resolve(settings.get("dataset", run.data.dataset))
        run = run.replace({**settings, "dataset": dataset})
        return cls(
            folder.absolute(),
            run.data,
            run.training.seed,
            building.make_likelihood(run.model),
            split,
            batch_size,
        )

    def from_disk(self) -> Task:
        """The same, its observations read where they lie, each by its name."""
        data = dataclasses.replace(self.data, memory_gb=0.0)
        return dataclasses.replace(self, data=data)

    @property
    def has_paths(self) -> bool:
        """Whether each observation is a file of its own."""
        return self.data.dataset.startswith("folder:")

    def parts(self) -> list[GroupedData]:
        """Open the dataset: the parts of it that are to be encoded."""
        parts = [part.data for part in self.open().parts]
        if self.without is None:
            return parts
        return encoding.without_held(LevelStores.load(self.without), parts)

    def open(self) -> Opened:
        """Open the dataset, of which all or a split is to be encoded."""
        source = loading.open_source(self.data, self.likelihood)
        if self.split is None:
            rows = {name: np.arange(len(v)) for name, v in source.parts.items()}
            return Opened(_parts(source, rows), source.notes)
        splits = loading.divide(
            _numbered(source),
            self.data,
            self.seed,
            workdir.trained_on_or_none(self.workdir),
        )
        chosen = getattr(splits, self.split)
        if chosen is None:
            raise InputError(
                f"{self.data.dataset} has no {self.split} observations. Drop "
                "--split, or hold some out."
            )
        numbers = np.sort(chosen.observations)
        return Opened(_parts(source, _by_part(source, numbers)), splits.notes)

    def export(self) -> pathlib.Path:
        """The run's newest SavedModel.

        Raises:
            InputError: If the training has not left one.
        """
        return exports.newest(self.workdir)

    def load_model(self) -> MLVAE:
        """The run's model, if its evidence adds up.

        Raises:
            InputError: If it does not.
        """
        model = workdir.load_model(self.workdir)
        for level in model.codec.drawn:
            check_rule(level.accumulation)
        return model


def _numbered(source: Source) -> Source:
    """The same with numbers in the place of the observations."""
    parts, first = {}, 0
    for name, part in source.parts.items():
        numbers = np.arange(first, first + len(part))
        parts[name] = dataclasses.replace(part, observations=numbers)
        first += len(part)
    return Source.of(parts, source.notes, source.skipped)


def _by_part(source: Source, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """The row numbers in each of its parts that these numbers are."""
    sizes = [len(part) for part in source.parts.values()]
    stops = np.cumsum(sizes)
    rows = np.split(numbers, np.searchsorted(numbers, stops[:-1]))
    return dict(zip(source.parts, map(np.subtract, rows, stops - sizes)))


def _parts(source: Source, rows: dict[str, np.ndarray]) -> list[Part]:
    several = len(source.parts) > 1
    return [
        Part(
            part if len(part) == len(rows[name]) else part[rows[name]],
            rows[name],
            name if several else None,
        )
        for name, part in source.parts.items()
        if len(rows[name])
    ]
