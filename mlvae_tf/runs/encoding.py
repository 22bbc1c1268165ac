"""What `encode.py` encodes: a run's model, and parts of a dataset."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from mlvae_tf.data import config as data_config
from mlvae_tf.data import loading
from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood
from mlvae_tf.model import MLVAE
from mlvae_tf.runs import building, workdir
from mlvae_tf.runs import config as config_module
from mlvae_tf.store.table import check_rule

SPLITS = "train", "validation", "test", "unseen"


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
    """

    workdir: pathlib.Path
    data: DataConfig
    seed: int
    likelihood: Likelihood
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

    def parts(self) -> list[GroupedData]:
        """Open the dataset: the parts of it that are to be encoded."""
        splits = loading.load(self.data, self.seed, self.likelihood)
        names = SPLITS if self.split is None else (self.split,)
        parts = [getattr(splits, name) for name in names]
        parts = [part for part in parts if part is not None]
        if not parts:
            raise InputError(
                f"{self.data.dataset} has no {self.split} observations. Drop "
                "--split, or hold some out."
            )
        return parts

    def export(self) -> pathlib.Path:
        """The run's SavedModel.

        Raises:
            InputError: If the training has not left one.
        """
        export = self.workdir / "export" / "1"
        if not export.is_dir():
            raise InputError(
                f"{export} is missing: the training has not come to its end. "
                f"Go on with: python train.py --workdir={self.workdir} --resume"
            )
        return export

    def load_model(self) -> MLVAE:
        """The run's model, if its evidence adds up."""
        model = workdir.load_model(self.workdir)
        check_rule(model.levels[0].accumulation)
        return model
