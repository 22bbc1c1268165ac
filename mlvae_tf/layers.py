"""Keras layers that produce TFP Normal distributions."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from mlvae_tf import checks, evidence
from mlvae_tf.errors import InputError

tfd = tfp.distributions

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
        kernel_initializer: Initializer of both kernels.
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
        kernel_initializer: str = "lecun_normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if dim < 1:
            raise InputError(f"dim must be at least 1: got {dim}.")
        self.dim = dim
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        # One matrix for both outputs: one product instead of two.
        self.kernel = self.add_weight(
            shape=(input_shape[-1], 2 * self.dim),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(2 * self.dim,), initializer="zeros", name="bias"
        )

    def call(self, inputs: tf.Tensor) -> tfd.Normal:
        outputs = tf.matmul(inputs, self.kernel) + self.bias
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
            "kernel_initializer": initializer,
        }


@keras.saving.register_keras_serializable("mlvae_tf")
class EvidenceAccumulation(keras.layers.Layer):
    """Content posterior of every group: the product of its members' normals.

        1 / scale_G^2 = sum_i 1 / scale_i^2
        loc_G         = scale_G^2 sum_i loc_i / scale_i^2

    The groups may have any number of observations, in any order. The layer has
    no weights; the mathematics is `mlvae_tf.evidence`.

    Args:
        rule: `"product"`, the paper's; `"product_with_prior"`, where the prior
            N(0, I) is one more factor, so that an empty group has the prior;
            or `"average"`, the GVAE's, which averages means and variances.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        loc: Means that the observations propose, `[N, dim]`.
        scale: Their standard deviations, `[N, dim]`.
        group_ids: `[N]`, integers or strings. The groups come out in order of
            first appearance.
        num_groups: If given, `group_ids` are row numbers already: int32 in
            `[0, num_groups)`, negative to leave an observation out. A group
            without observations has `loc` 0 and `scale` infinity.

    Returns:
        `tfd.Normal`, batch shape `[G, dim]`, scalar event shape.

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

    def call(
        self,
        loc: tf.Tensor,
        scale: tf.Tensor,
        group_ids: tf.Tensor,
        num_groups: int | tf.Tensor | None = None,
    ) -> tfd.Normal:
        if tuple(loc.shape) != tuple(scale.shape):
            raise InputError(
                f"loc and scale must have one shape: got {tuple(loc.shape)} "
                f"and {tuple(scale.shape)}."
            )
        checks.check_group_dtype(group_ids)
        if num_groups is None:
            groups, group_ids = evidence.index_groups(group_ids)
            num_groups = tf.shape(groups)[0]
        if self.rule == "average":
            return tfd.Normal(
                *evidence.average(loc, scale, group_ids, num_groups)
            )
        proposed = evidence.from_normal(loc, scale)
        return self.posterior(
            evidence.accumulate(proposed, group_ids, num_groups)
        )

    def posterior(self, total: evidence.Evidence) -> tfd.Normal:
        """The posterior given the accumulated evidence of observations.

        Args:
            total: `Evidence` of shape `[..., dim]`.

        Returns:
            `tfd.Normal` of that batch shape.

        Raises:
            InputError: If the rule averages, which no sum of evidence allows.
        """
        if self.rule == "average":
            raise InputError(
                'rule="average" has no posterior of accumulated evidence: call '
                "the layer on all observations of a group."
            )
        if self.rule == "product_with_prior":
            prior = evidence.prior(tf.shape(total.precision), total[0].dtype)
            total = evidence.add(total, prior)
        return tfd.Normal(*evidence.to_normal(total))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rule": self.rule}
