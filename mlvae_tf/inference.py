"""What a trained model tells: contents, styles, observations."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import checks, control, feeding, guards, lessons, serving
from mlvae_tf.codec import Codec
from mlvae_tf.elbo import Elbo
from mlvae_tf.errors import InputError
from mlvae_tf.latents import Latents
from mlvae_tf.levels import Level
from mlvae_tf.reading import BATCH_SIZE, Reader
from mlvae_tf.style_flow import StyleFlow
from mlvae_tf.trainer import GroupedTrainer


class GroupedModel(GroupedTrainer):
    """A model that can be asked, with one level of groups.

    A subclass has `observation_shape`, `levels` and `style`.
    """

    observation_shape: tuple[int, ...]
    levels: tuple[Level, ...]
    style: Level

    @property
    def codec(self) -> Codec:
        """What encodes observations and decodes latents."""
        return self.elbo.codec

    def _set_elbo(self, elbo: Elbo, own_networks: bool) -> None:
        super()._set_elbo(elbo, own_networks)
        self._reader = Reader(elbo.codec)

    def encode(self, observations: tf.Tensor) -> tuple[Any, tfd.Normal]:
        """What each observation says of its groups and of its style.

        Args:
            observations: `[N, *observation_shape]`.

        Returns:
            `(content, style)`: the normal that each observation proposes for
            its group's content, batch shape `[N, content_dim]`, with several
            levels a dict of these; and its style posterior, given its own
            contents where styles are given contents, batch shape
            `[N, style_dim]`.
        """
        encoded = self.codec.encode(tf.convert_to_tensor(observations))
        style = encoded.pop(self.style.name)
        return self._plain(encoded), style

    def _plain(self, by_level: dict[str, Any]) -> Any:
        """Without its level's name, where there is one only."""
        return by_level if len(self.levels) > 1 else by_level[self._first]

    @property
    def _first(self) -> str:
        return self.levels[0].name

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(level.name for level in self.levels)

    def decode(self, content: Any, style: tf.Tensor) -> tfd.Distribution:
        """The likelihood p(x | c, s).

        Args:
            content: `[N, content_dim]`, or a dict of `[N, dim]` by level.
            style: `[N, style_dim]`.

        Returns:
            A distribution with batch shape `[N]` and event shape
            `observation_shape`.
        """
        levels = self.codec.drawn
        names = tuple(level.name for level in levels)
        contents = checks.by_level(content, names, "content")
        latents = {**contents, self.style.name: style}
        latents = {k: tf.convert_to_tensor(v) for k, v in latents.items()}
        _check_latents(latents, (*levels, self.style))
        parameters = self.codec.decode(latents)
        return self.codec.likelihood.of_observations(parameters)

    def infer_observations(
        self,
        observations: Any,
        group_ids: Any = None,
        batch_size: int = BATCH_SIZE,
    ) -> tuple[Any, tfd.Normal]:
        """`encode` for any number of observations, checked, batch by batch.

        Args:
            observations: `[N, *observation_shape]`.
            group_ids: `[N]`, only checked.
            batch_size: Observations to encode at once.

        Returns:
            `(content, style)` as from `encode`.

        Raises:
            ValueError: If the shapes or values do not fit the model.
        """
        latents = self._read(observations, group_ids, batch_size)
        style = latents.pop(self.style.name)
        return self._plain(latents), style

    def _read(
        self, observations: Any, group_ids: Any, batch_size: int = BATCH_SIZE
    ) -> Latents:
        """By level, the style's last, what checked observations say."""
        observations = np.asarray(observations)
        checks.check_shapes(observations, self.observation_shape, group_ids)
        if self.variable_dtype == "float32":
            observations = checks.as_float32(observations)
        observations = observations.astype(self.variable_dtype, copy=False)
        checks.check_values(observations, self.codec.likelihood)
        return self._reader.encode(observations, batch_size)

    def infer_content(self, observations: Any, group_ids: Any) -> Any:
        """The content posterior of every group, its evidence accumulated.

        A group of which no value is known has the prior. With several levels,
        `{level: (groups, content)}`, of outer levels too, whose ids are counted
        within their outer groups.

        Args:
            observations: `[N, *observation_shape]`, any number.
            group_ids: `[N]`, integers or strings, in any order; with several
                levels a dict of these.

        Returns:
            `(groups, content)`: the distinct ids `[G]` in order of first
            appearance, and the posterior, batch shape `[G, content_dim]`.

        Raises:
            ValueError: If the shapes or values do not fit the model.
        """
        ids = self._ids(group_ids)
        proposed = self._read(observations, ids)
        segment_ids, contents = self._reader.accumulate(
            observations, proposed, ids
        )
        found = {}
        for name, numbers in segment_ids.items():
            _, first = np.unique(numbers, return_index=True)
            groups = ids[name][first]
            content = contents[name]
            of_groups = tfd.Normal(
                content.loc[: len(groups)], content.scale[: len(groups)]
            )
            found[name] = groups, of_groups
        return found if isinstance(group_ids, dict) else found[self._first]

    def _ids(self, group_ids: Any) -> dict[str, np.ndarray]:
        """By level, what can be taken for ids."""
        ids = checks.by_level(group_ids, self._names)
        return {name: checks.as_group_ids(of) for name, of in ids.items()}

    def infer_style(
        self, observations: Any, group_ids: Any = None
    ) -> tfd.Normal:
        """The style posterior of every observation.

        Where styles are given contents, or a flow makes them, they are given
        the content mean of each observation alone, or of its groups.

        Args:
            observations: `[N, *observation_shape]`, any number.
            group_ids: `[N]`, integers or strings, in any order; with several
                levels a dict of these.

        Returns:
            The posterior, batch shape `[N, style_dim]`.

        Raises:
            ValueError: If the shapes or values do not fit the model.
        """
        if group_ids is None:
            return self.infer_observations(observations)[1]
        ids = self._ids(group_ids)
        proposed = self._read(observations, ids)
        rows, contents = self._reader.accumulate(observations, proposed, ids)
        of_rows = self.codec.joined(_means_of_rows(contents, rows))
        return self._reader.given_styles(observations, of_rows)

    def fit_style_flow(
        self,
        observations: Any,
        group_ids: Any,
        seed: int = 0,
        steps: int | None = None,
    ) -> float:
        """Learn to take out of the style what the content tells, after `fit`.

        The networks stay as they are. The flow learns from their styles: given
        the contents of single observations, and given draws of contents that a
        few observations of a group make together. It is told which groups'
        contents these are near.

        Args:
            observations: `[N, *observation_shape]` of those trained on, values
                or 8-bit images; the more the better, tens of thousands are
                enough.
            group_ids: `[N]`, integers or strings, in any order.
            seed: Of its draws.
            steps: How many to take; by default one for three observations,
                100 at least and 5,000 at most.

        Returns:
            What is left of -log p(style | content) at the end, nats.

        Raises:
            ValueError: If the model has no flow, or the shapes or values do not
                fit the model.
        """
        flow = self.codec.flow
        if not isinstance(flow, StyleFlow):
            raise InputError(
                "fit_style_flow needs a model with a flow: make it with "
                "style_flow=10."
            )
        ids = self._ids(group_ids)
        if getattr(observations, "dtype", None) == np.uint8:  # As `prepare`.
            observations = self.codec.likelihood.values(observations)
        proposed = self._read(observations, ids)
        learned_from = lessons.lessons(
            self._reader, observations, proposed, ids, seed
        )
        return flow.fit(*learned_from, seed, steps)

    def call(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """Reconstruct a batch as `fit` takes it."""
        observations, group_ids = feeding.unpack(inputs)
        checks.check_shapes(observations, self.observation_shape, group_ids)
        observations = guards.assert_values(observations, self.codec.likelihood)
        return control.reconstruct(self, observations, group_ids)

    def export(
        self,
        filepath: str | pathlib.Path,
        format: str = "tf_saved_model",
        **kwargs: Any,
    ) -> None:
        """Write a SavedModel with every signature (`mlvae_tf.serving`).

        Args:
            filepath: Its folder.
            format: `"tf_saved_model"` only.
            **kwargs: Other arguments of `keras.Model.export` are refused.
        """
        if format != "tf_saved_model" or kwargs.keys() - {"verbose"}:
            raise InputError(
                "export writes a SavedModel with its own signatures: pass a "
                f"folder only, got format={format!r}, {', '.join(kwargs)}."
            )
        serving.export(self, pathlib.Path(filepath))


def _means_of_rows(
    contents: dict[str, tfd.Normal], segment_ids: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """By level, the mean of each row's group, `[N, dim]`."""
    return {
        name: tf.gather(contents[name].loc, rows)
        for name, rows in segment_ids.items()
    }


def _check_latents(
    latents: dict[str, tf.Tensor], levels: tuple[Level, ...]
) -> None:
    """Raise `InputError` unless the static shapes can be decoded."""
    shapes = [latents[level.name].shape for level in levels]
    good = all(
        shape.rank == 2 and shape[-1] == level.dim
        for shape, level in zip(shapes, levels, strict=True)
    )
    if not good or not all(
        shape[:1].is_compatible_with(shapes[0][:1]) for shape in shapes
    ):
        expected = " and ".join(f"{v.name} [N, {v.dim}]" for v in levels)
        got = " and ".join(str(tuple(shape)) for shape in shapes)
        raise InputError(checks.fill(checks.LATENTS, expected, got))
