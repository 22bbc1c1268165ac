"""What TensorBoard shows of a run besides its course: settings, embeddings."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.plugins.hparams import api as hparams

from mlvae_tf import files
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation.cells import is_image
from mlvae_tf.evaluation.names import written
from mlvae_tf.model import MLVAE
from mlvae_tf.runs.command_line import format_value
from mlvae_tf.runs.config import Config

EMBEDDED = 2000  # Observations.
THUMBNAIL = 48  # Pixels, the longer side at most.
FOLDER = "projector"


def write_settings(logs: pathlib.Path, config: Config) -> None:
    """The configuration as text, and what a sweep may vary as HParams.

    Args:
        logs: Where the event files go.
        config: The whole configuration.
    """
    settings, defaults = config.flat(), Config().flat()
    rows = [f"| {k} | {_cell(v)} |" for k, v in settings.items()]
    table = "\n".join(["| setting | value |", "| --- | --- |", *rows])
    varied = {
        name: value if isinstance(value, bool | int | float) else _text(value)
        for name, value in settings.items()
        if name == "seed" or value != defaults[name]
    }
    with tf.summary.create_file_writer(str(logs)).as_default() as writer:
        tf.summary.text("configuration", table, step=0)
        hparams.hparams_config(
            [hparams.HParam(name) for name in sorted(varied)],
            _compared(config),
        )
        hparams.hparams(varied)
        writer.flush()


def _compared(config: Config) -> list[hparams.Metric]:
    """By what the runs of a sweep are compared in one table."""
    names = ["epoch_elbo", "epoch_elbo_per_observation"]
    levels = config.data.groups or ()
    if len(levels) < 2:
        names += ["accuracy/content", "accuracy/style"]
    for level in levels if len(levels) > 1 else ():
        names += [f"accuracy/{level}/{latent}" for latent in (level, "style")]
    return [
        hparams.Metric(name, group="validation", display_name=name)
        for name in names
    ]


def _text(value: Any) -> str:
    return "" if value is None else format_value(value)


def _cell(value: Any) -> str:
    return _text(value).replace("|", "\\|").replace("\n", " ")


def write_embeddings(
    logs: pathlib.Path, model: MLVAE, data: GroupedData, seed: int
) -> None:
    """Contents and styles of single observations, for the projector.

    Args:
        logs: Where the event files go.
        model: The trained model.
        data: Observations, of which at most 2,000 are shown, with the names of
            their groups and, where they are images, as thumbnails.
        seed: Of which ones.
    """
    some = data.sample(EMBEDDED, seed)
    values = some.values()
    contents, style = model.infer_observations(values)
    if not isinstance(contents, dict):
        contents = {model.levels[0].name: contents}
    latents = {name: of.loc.numpy() for name, of in contents.items()}
    if model.style_dim:
        latents[model.style.name] = style.loc.numpy()
    folder = logs / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "groups.tsv").write_text(_names(some), encoding="utf-8")
    sprite = None
    if is_image(values.shape[1:]):
        sprite = _sprite(values)
        sprite[0].save(folder / "images.png")
    for name, points in latents.items():
        np.savetxt(folder / f"{name}.tsv", points, "%.6g", "\t")
    with files.whole(logs / "projector_config.pbtxt") as partial:
        partial.write_text(_config(latents, sprite and sprite[1]))


def _names(data: GroupedData) -> str:
    """A line per observation; of several levels columns, below their names."""
    columns = [
        [written(str(group)).replace("\t", " ") for group in level.ids]
        for level in data.levels.values()
    ]
    lines = ["\t".join(row) for row in zip(*columns, strict=True)]
    if len(columns) > 1:
        lines.insert(0, "\t".join(data.levels))
    return "\n".join(lines) + "\n"


def _sprite(values: np.ndarray) -> tuple[Image.Image, tuple[int, int]]:
    """All images in one, row by row, and `(width, height)` of each."""
    known = np.nan_to_num(values)
    low, high = min(known.min(), 0.0), max(known.max(), 1.0)
    pixels = ((known - low) / (high - low) * 255).astype(np.uint8)
    pixels = np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels
    height, width = values.shape[1:3]
    shrink = min(1.0, THUMBNAIL / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    side = math.ceil(math.sqrt(len(values)))
    sprite = Image.new("RGB", (side * size[0], side * size[1]))
    for number, image in enumerate(pixels):
        row, column = divmod(number, side)
        place = column * size[0], row * size[1]
        sprite.paste(Image.fromarray(image).resize(size), place)
    return sprite, size


def _config(
    latents: dict[str, np.ndarray], size: tuple[int, int] | None
) -> str:
    """The projector's configuration, a text protocol buffer."""
    parts = []
    for name in latents:
        lines = {
            "tensor_name": name,
            "tensor_path": f"{FOLDER}/{name}.tsv",
            "metadata_path": f"{FOLDER}/groups.tsv",
        }
        text = [f"  {key}: {json.dumps(path)}" for key, path in lines.items()]
        if size:
            dims = f"single_image_dim: {size[0]} single_image_dim: {size[1]}"
            path = f'image_path: "{FOLDER}/images.png"'
            text.append(f"  sprite {{ {path} {dims} }}")
        parts.append("\n".join(["embeddings {", *text, "}"]))
    return "\n".join(parts) + "\n"
