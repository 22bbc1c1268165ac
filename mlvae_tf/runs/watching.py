"""Look at what a model learns, while it does and at the end."""

from __future__ import annotations

import functools
import pathlib

import keras
import tensorflow as tf
import tqdm

from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import doubts, remedies, signs
from mlvae_tf.evaluation.doubts import Doubt
from mlvae_tf.evaluation.remedies import Settings
from mlvae_tf.evaluation.signs import Sample, Signs

LOOKED_AT = 500  # Observations, while training waits.

Logs = dict[str, float]


class Watch(keras.callbacks.Callback):
    """Show the signs of how a training goes in TensorBoard.

    What they give reason to doubt is said once, as soon as the KLs have their
    final weights, and again at the end if it is so then.

    Args:
        log_dir: Where the event files go.
        splits: What the model is trained on and validated with.
        seed: Of the few observations that are looked at.
        epochs: Look after these epochs, counted from 1.
        settled: The step from which on the KLs have their final weights.
        settings: Those of the run, from which what to try is made.
    """

    def __init__(
        self,
        log_dir: pathlib.Path,
        splits: Splits,
        seed: int,
        epochs: list[int],
        settled: int,
        settings: Settings,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._log_dir, self._splits, self._seed = log_dir, splits, seed
        self._epochs, self._settled = epochs, settled
        self._said: set[str] = set()
        self._elbos: list[float] = []
        self._settled_count = 0
        self._last_epoch = 0

    @functools.cached_property
    def _writer(self) -> tf.summary.SummaryWriter:
        return tf.summary.create_file_writer(str(self._log_dir / "validation"))

    @functools.cached_property
    def _sample(self) -> Sample:
        return Sample.of(self._splits, LOOKED_AT, self._seed)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._say(doubts.of_data(self._splits.train))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._last_epoch = epoch
        if epoch + 1 not in self._epochs:
            return
        seen = signs.look(self.model, self._sample)
        self._write(seen)
        settled = int(self.model.optimizer.iterations) >= self._settled
        if logs and "val_elbo" in logs:
            self._elbos.append(logs["val_elbo"])
            self._settled_count += settled
        if not settled:
            return
        found = doubts.of_signs(seen, self._settings)
        if self.model.style_flow:  # It is still to be fitted.
            found = [doubt for doubt in found if doubt.kind != "told"]
        self._say(found)

    def finish(self) -> list[Doubt]:
        """Look at the trained model, and say every doubt."""
        found = [
            *doubts.doubts(
                self.model, self._splits, self._seed, self._settings
            ),
            *doubts.of_length(
                self._elbos,
                self._settled_count,
                int(self.model.optimizer.iterations),
                self._settings,
            ),
        ]
        self._said.clear()
        self._say(found, "at the end")
        return found

    def _say(self, found: list[Doubt], when: str | None = None) -> None:
        found = [doubt for doubt in found if doubt.kind not in self._said]
        if not found:
            return
        self._said |= {doubt.kind for doubt in found}
        step = int(self.model.optimizer.iterations)
        when = when or f"at step {step}"
        for doubt in found:
            # Past the progress bar, if there is one.
            tqdm.tqdm.write(f"doubt, {when}: {doubt.text}.")
        lines = "\n".join(
            f"- {when}: {_marked(doubt.text)}." for doubt in found
        )
        with self._writer.as_default():
            tf.summary.text("doubts", lines, step=self._last_epoch)
        self._writer.flush()

    def _write(self, seen: Signs) -> None:
        scalars = {
            "explained/train": seen.explained,
            "explained/held_out": seen.explained_held_out,
            **_accuracies(seen),
            **{f"active/{name}": v for name, v in seen.active.items()},
            **{f"drawn/{name}": v for name, v in seen.drawn.items()},
        }
        with self._writer.as_default():
            for name, value in scalars.items():
                if value is not None:
                    tf.summary.scalar(name, value, step=self._last_epoch)
            for name, kl in seen.kl.items():
                tf.summary.histogram(
                    f"kl_by_dimension/{name}", kl, step=self._last_epoch
                )
        self._writer.flush()


def _marked(text: str) -> str:
    """Flags as code, which Markdown would take apart."""
    return remedies.FLAG.sub(r"`\g<0>`", text)


def _accuracies(seen: Signs) -> dict[str, float]:
    """By tag: of a level by name, where there are several."""
    found: dict[str, float] = {}
    for level, by_latent in seen.accuracy.items():
        tag = f"accuracy/{level}/" if len(seen.accuracy) > 1 else "accuracy/"
        found |= {f"{tag}{name}": value for name, value in by_latent.items()}
        found[f"{tag}chance"] = seen.chance[level]
    return found
