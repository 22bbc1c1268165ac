"""Keras layers that produce TFP Normal distributions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import checks, evidence
from mlvae_tf.errors import InputError

MAX_LOG_SCALE = 7.0
RULES = ("product", "product_with_prior", "average")


@keras.saving.register_keras_serializable("mlvae_tf")
class NormalHead(keras.layers.Layer):
    """Linear map from features to a diagonal normal posterior.

        loc        = W_loc h + b_loc
        log_scale  = M tanh((W_scale h + b_scale) / (2 M)),   M = 7

    Close to zero the second output is the log-variance of the paper's encoder;
    the tanh keeps the scale within `[exp(-7), exp(7)]`, about 0.0009 to 1097,
    so that no input, however extreme, gives a precision of zero or infinity.

    Args:
        dim: Number of latent dimensions.
        shared_scale: Whether all inputs have one scale, without W_scale.
        hidden_units: Units of a hidden layer before the map; 0 for none.
        activation: Its activation.
        kernel_initializer: Initializer of all kernels.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Features, shape `[N, features]`.

    Returns:
        `tfd.Normal`, batch shape `[N, dim]`, scalar event shape.

    Example:

    >>> posterior = NormalHead(10)(tf.zeros([4, 500]))
    >>> posterior.batch_shape
    TensorShape([4, 10])
    """

    def __init__(
        self,
        dim: int,
        shared_scale: bool = False,
        hidden_units: int = 0,
        activation: str | None = None,
        kernel_initializer: str = "lecun_normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if dim < 1:
            raise InputError(f"dim must be at least 1: got {dim}.")
        self.dim, self.shared_scale = dim, shared_scale
        self.hidden_units = hidden_units
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def __call__(self, inputs: tf.Tensor, **kwargs: Any) -> tfd.Normal:
        _refuse_symbols(self, inputs)
        return super().__call__(inputs, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        features = input_shape[-1]
        if self.hidden_units:
            self.hidden_kernel = self.add_weight(
                shape=(features, self.hidden_units),
                initializer=self.kernel_initializer,
                name="hidden_kernel",
            )
            self.hidden_bias = self.add_weight(
                shape=(self.hidden_units,),
                initializer="zeros",
                name="hidden_bias",
            )
            features = self.hidden_units
        # One matrix for both outputs: one product instead of two.
        outputs = self.dim if self.shared_scale else 2 * self.dim
        self.kernel = self.add_weight(
            shape=(features, outputs),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(2 * self.dim,), initializer="zeros", name="bias"
        )

    def call(self, inputs: tf.Tensor) -> tfd.Normal:
        if self.hidden_units:
            hidden = tf.matmul(inputs, self.hidden_kernel) + self.hidden_bias
            inputs = self.activation(hidden)
        outputs = tf.matmul(inputs, self.kernel)
        if self.shared_scale:
            outputs = tf.concat([outputs, tf.zeros_like(outputs)], axis=-1)
        outputs = outputs + self.bias
        # Evidence is kept in full, whatever precision computes the features.
        outputs = tf.cast(outputs, self.variable_dtype)
        loc, log_variance = tf.split(outputs, 2, axis=-1)
        bound = MAX_LOG_SCALE
        log_scale = bound * tf.tanh(log_variance / (2 * bound))
        return tfd.Normal(loc, tf.exp(log_scale))

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {
            **super().get_config(),
            "dim": self.dim,
            "shared_scale": self.shared_scale,
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": initializer,
        }


@keras.saving.register_keras_serializable("mlvae_tf")
class SpreadPrecision(keras.layers.Layer):
    """How precisely inner groups lie around their outer one, learned.

        v | p ~ N(p, 1 / precision)

    Args:
        dim: Number of latent dimensions.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.log_precision = self.add_weight(
            shape=(dim,), initializer="zeros", name="log_precision"
        )
        self.built = True

    @property
    def precision(self) -> tf.Tensor:
        """`[dim]`, within exp(-14) and exp(14), as those of heads."""
        bound = 2 * MAX_LOG_SCALE
        value = tf.convert_to_tensor(self.log_precision)
        return tf.exp(bound * tf.tanh(value / bound))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dim": self.dim}


@keras.saving.register_keras_serializable("mlvae_tf")
class EvidenceAccumulation(keras.layers.Layer):
    """Content posterior of every group: the product of its members' normals.

        1 / scale_G^2 = sum_i 1 / scale_i^2
        loc_G         = scale_G^2 sum_i loc_i / scale_i^2

    The groups may have any number of observations, in any order. The layer has
    no weights; the mathematics is `mlvae_tf.evidence`. Sums are taken in
    float64, so that a million observations add up as exactly as two.

    Args:
        rule: `"product"`, the paper's; `"product_with_prior"`, where the prior
            N(0, I) is one more factor, so that an empty group has the prior;
            or `"average"`, the GVAE's, which averages means and variances.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        loc: Means that the observations propose, `[N, dim]`.
        scale: Their standard deviations, `[N, dim]`, positive.
        group_ids: `[N]`, integers or strings. The groups come out in order of
            first appearance.
        num_groups: If given, `group_ids` are segment ids already: int32 in
            `[0, num_groups)`, negative to leave an observation out. A group
            without observations has `loc` 0 and `scale` infinity.

    Returns:
        `tfd.Normal`, batch shape `[G, dim]`, scalar event shape.

    Raises:
        InputError: If shapes or lengths differ, or a scale is not positive
            (outside a graph), or ids are neither integers nor strings.

    References:
        Bouchacourt et al. 2018 (arXiv 1705.08841), section 3; Hosoya 2019
        (arXiv 1809.02383) for the average.

    Example: two observations of one group, one of another.

    >>> content = EvidenceAccumulation()(
    ...     tf.constant([[0.0], [2.0], [5.0]]),
    ...     tf.constant([[1.0], [1.0], [3.0]]),
    ...     tf.constant(["a", "a", "b"]))
    >>> content.loc, content.scale     # [[1.], [5.]], [[0.7071], [3.]]
    """

    def __init__(self, rule: str = "product", **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # Evidence is kept in full.
        if rule not in RULES:
            raise InputError(
                f"rule must be one of {', '.join(RULES)}: got {rule!r}."
            )
        self.rule = rule

    def __call__(
        self,
        loc: Any,
        scale: Any,
        group_ids: Any,
        num_groups: int | tf.Tensor | None = None,
    ) -> tfd.Normal:
        # Before Keras, which takes tensors only, and no arrays of strings.
        _refuse_symbols(self, loc, scale, group_ids)
        loc, scale = (
            tf.constant(part, self.variable_dtype)
            if isinstance(part, (list, tuple))
            else part
            for part in (loc, scale)
        )
        if isinstance(group_ids, (list, tuple, np.ndarray)):
            group_ids = tf.constant(checks.as_group_ids(group_ids))
        _check_proposals(loc, scale, group_ids)
        return super().__call__(loc, scale, group_ids, num_groups=num_groups)

    def call(
        self,
        loc: tf.Tensor,
        scale: tf.Tensor,
        group_ids: tf.Tensor,
        num_groups: int | tf.Tensor | None = None,
    ) -> tfd.Normal:
        if num_groups is None:
            groups, group_ids = evidence.index_groups(group_ids)
            num_groups = tf.shape(groups)[0]
        total = evidence.accumulate(
            self.parts(loc, scale), group_ids, num_groups
        )
        return self.posterior(total, loc.dtype)

    def parts(
        self, loc: tf.Tensor, scale: tf.Tensor, dtype: Any = "float64"
    ) -> evidence.Evidence | evidence.Moments:
        """What each observation adds to its group.

        Args:
            loc: Means that the observations propose, `[N, dim]`.
            scale: Their standard deviations, `[N, dim]`.
            dtype: Of the sums: float32 drifts by as much as 10^-7 per
                observation.

        Returns:
            What `evidence.accumulate` and `evidence.add` add up.
        """
        of_normal = (
            evidence.moments if self.rule == "average" else evidence.from_normal
        )
        return evidence.cast(of_normal(loc, scale), dtype)

    def zero(
        self, num_groups: int | tf.Tensor, dim: int
    ) -> evidence.Evidence | evidence.Moments:
        """The sum over no observation, `[num_groups, dim]`, float64."""
        kind = evidence.Moments if self.rule == "average" else evidence.Evidence
        zeros = tf.zeros((num_groups, dim), tf.float64)
        return kind(*[zeros] * len(kind._fields))

    def posterior(
        self, total: evidence.Evidence | evidence.Moments, dtype: Any = None
    ) -> tfd.Normal:
        """The posterior given the sum over a group's observations.

        Args:
            total: A sum of `parts`, `[..., dim]`.
            dtype: Of the posterior; by default that of the sum.

        Returns:
            `tfd.Normal` of that batch shape.
        """
        if isinstance(total, evidence.Moments):
            loc, scale = evidence.average(total)
        else:
            if self.rule == "product_with_prior":
                shape = tf.shape(total.precision)
                prior = evidence.prior(shape, total.precision.dtype)
                total = evidence.add(total, prior)
            loc, scale = evidence.to_normal(total)
        dtype = dtype or loc.dtype
        return tfd.Normal(tf.cast(loc, dtype), tf.cast(scale, dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rule": self.rule}


def _check_proposals(
    loc: tf.Tensor, scale: tf.Tensor, group_ids: tf.Tensor
) -> None:
    if tuple(loc.shape) != tuple(scale.shape) or len(loc.shape) != 2:
        raise InputError(
            f"loc and scale must have one shape [N, dim]: got "
            f"{tuple(loc.shape)} and {tuple(scale.shape)}."
        )
    checks.check_lengths(loc.shape[0], group_ids)
    if tf.executing_eagerly() and not tf.reduce_all(scale > 0):
        bad = ~tf.reduce_all(scale > 0, axis=1).numpy()
        raise InputError(
            f"scale must be positive: got {np.count_nonzero(bad)} rows of "
            f"{len(bad)} that are not, the first at row {bad.argmax()}. Pass "
            "standard deviations, not their logarithms."
        )


def _refuse_symbols(layer: keras.layers.Layer, *inputs: Any) -> None:
    if any(isinstance(part, keras.KerasTensor) for part in inputs):
        raise InputError(
            f"{type(layer).__name__} returns a distribution, which a "
            "functional model (keras.Input) cannot hold. Call the layer in the "
            "`call` of a layer or model of your own, and pass on loc and scale."
        )
