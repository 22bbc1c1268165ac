"""What the signatures take, by name, and what is called what.

A model with one level has a `content` and `group_ids`; of several, each has its
own name in their place: `font`, `font_ids`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from mlvae_tf.codec import Codec
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.levels import Level

Tensors = dict[str, tf.Tensor]
Specs = dict[str, tf.TensorSpec]
IMAGES = "images"  # Files, each of one picture.
OWN = ""  # Whose observations they are that have styles and groups.


@dataclasses.dataclass(frozen=True)
class Called:
    """What the inputs and outputs of a level are called.

    Attributes:
        latent: Its latent.
        ids: The ids of its groups.
        prefix: Of what else is said of its groups.
    """

    latent: str = "content"
    ids: str = "group_ids"
    prefix: str = ""

    @classmethod
    def by_level(cls, levels: tuple[Level, ...]) -> dict[str, Called]:
        """By level, of all levels of a model."""
        if len(levels) == 1:
            return {levels[0].name: cls()}
        names = [level.name for level in levels]
        return {name: cls(name, f"{name}_ids", f"{name}_") for name in names}

    @property
    def observations(self) -> str:
        """Observations of one of its groups."""
        return f"{self.latent}_observations"

    @property
    def evidence(self) -> Evidence:
        """The two parts of its groups' evidence."""
        return Evidence(*(f"{self.prefix}{part}" for part in Evidence._fields))


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a signature takes, each input by its name.

    Attributes:
        specs: Of all inputs, in order.
        observations: By whose they are, the names of observations.
        ids: By level, those of the ids of `observations[OWN]`.
        latents: By level, those of latents.
        evidence: By level, those of the two parts of evidence.
    """

    specs: Specs = dataclasses.field(default_factory=dict)
    observations: dict[str, str] = dataclasses.field(default_factory=dict)
    ids: dict[str, str] = dataclasses.field(default_factory=dict)
    latents: dict[str, str] = dataclasses.field(default_factory=dict)
    evidence: dict[str, Evidence] = dataclasses.field(default_factory=dict)

    def __or__(self, other: Inputs) -> Inputs:
        """Both, one after the other."""
        mine, others = vars(self), vars(other)
        joined = {name: distinct(mine[name], others[name]) for name in mine}
        return Inputs(**joined)


def distinct(*parts: dict[str, Any]) -> dict[str, Any]:
    """All of some named things together.

    Raises:
        InputError: If two have one name.
    """
    joined = {name: value for part in parts for name, value in part.items()}
    if len(joined) < sum(map(len, parts)):
        names = [name for part in parts for name in part]
        (twice, *_) = (name for name in names if names.count(name) > 1)
        raise InputError(
            f"two parts of the SavedModel would be called {twice!r}: rename a "
            "level."
        )
    return joined


def of_signatures(codec: Codec) -> dict[str, Inputs]:
    """By signature, what it takes.

    Args:
        codec: Of the model.
    """
    called = Called.by_level(codec.levels)
    observations = _observations(codec, OWN, "observations")
    of_groups = observations | _ids(called)
    latents, sources, one, many = Inputs(), Inputs(), Inputs(), Inputs()
    for level in codec.drawn:
        words = called[level.name]
        latents |= _latent(level, words.latent)
        sources |= _observations(codec, level.name, words.observations)
        one |= _evidence(level, words, (level.dim,))
        many |= _evidence(level, words, (None, level.dim))
    if codec.style.dim:
        name = codec.style.name
        latents |= _latent(codec.style, name)
        sources |= _observations(codec, OWN, f"{name}_observations")
    return {
        "encode": observations,
        "encode_images": Inputs({IMAGES: tf.TensorSpec((None,), tf.string)}),
        "infer_groups": of_groups,
        "accumulate": one | observations,
        "decode": latents,
        "reconstruct": of_groups,
        "swap": sources,
        "identify": observations | many,
    }


def _observations(codec: Codec, whose: str, name: str) -> Inputs:
    spec = tf.TensorSpec((None, *codec.observation_shape), tf.float32)
    return Inputs({name: spec}, observations={whose: name})


def _ids(called: dict[str, Called]) -> Inputs:
    names = {level: words.ids for level, words in called.items()}
    spec = tf.TensorSpec((None,), tf.string)
    return Inputs(dict.fromkeys(names.values(), spec), ids=names)


def _latent(level: Level, name: str) -> Inputs:
    spec = tf.TensorSpec((None, level.dim), tf.float32)
    return Inputs({name: spec}, latents={level.name: name})


def _evidence(
    level: Level, words: Called, shape: tuple[int | None, ...]
) -> Inputs:
    names, spec = words.evidence, tf.TensorSpec(shape, tf.float32)
    return Inputs(dict.fromkeys(names, spec), evidence={level.name: names})
