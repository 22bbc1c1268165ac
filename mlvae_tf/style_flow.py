"""What stands between the style that is learned and the style that is given.

The networks are trained on a style that may tell of the content. A flow takes
that out: once they are trained, it learns the density of the style's means
given which groups' contents their observation's is near, and maps it to one
normal distribution whatever these are. Where an observation tells of its group
what its content does, the style after the flow says nothing of the group. What
else a content of a single observation tells, of its style, stays in the style.
All styles have one scale, as they had before: a scale of its own would tell.
So would means in directions of which the posterior is unsure: the flow works
along principal directions, and leaves out those that say next to nothing.
What users infer is the style after the flow; what they decode goes back through
it.

To the model the flow is the prior of the style before it, p(s | c). Its ELBO
therefore has the divergence of the learned posterior from that prior.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import noise, objective
from mlvae_tf.directions import Directions
from mlvae_tf.flows import HIDDEN, MAX_PROTOTYPES, ConditionalFlow

ROWS, RATE, WEIGHT_DECAY = 1024, 3e-3, 0.1  # To fit it.
STEPS = 100, 5000  # At least and at most, and in between ...
PER_STEP = 3  # ... one for so many observations.
MEASURED = 4096  # Rows by which the scale after it is found.
CONTENT_NOISE = 0.03  # Of their deviations, on the contents it is given.
TOGETHER = 0.2  # Share of the contents that are of groups.
_LEAST_VARIANCE = 0.01  # Of the means, in a dimension that is not used.


class Pairs(NamedTuple):
    """What a flow learns from.

    Attributes:
        style: Means of styles before the flow, `[N, style_dim]`.
        content: The contents that they are given, `[N, content_dim]`.
    """

    style: tf.Tensor
    content: tf.Tensor

    def draw(self, seed: tf.Tensor, count: int, share: float) -> Pairs:
        """Some at random, of this share from the second half of them."""
        first, half = tf.unstack(noise.uniform(seed, count, 2), axis=-1)
        halves = tf.shape(self.style)[0] // 2
        rows = tf.cast(first * tf.cast(halves, first.dtype), tf.int32)
        rows += halves * tf.cast(half < share, tf.int32)
        return Pairs(tf.gather(self.style, rows), tf.gather(self.content, rows))


def steps_for(observations: int) -> int:
    """In how many steps a flow learns from so many observations.

    Few are soon learned by heart, and what has been gives no style of another
    observation.
    """
    least, most = STEPS
    return min(max(observations // PER_STEP, least), most)


def noise_for(observations: int, groups: Iterable[int]) -> float:
    """The noise on so many means, of so many groups by level.

    In units of their spread, the error that the mean of a group has of itself:
    what is finer is not known. The level with most in a group decides.
    """
    return float(np.sqrt(min(groups) / observations))


def _bytes(generator: np.random.Generator, shape: tuple[int, ...]) -> tf.Tensor:
    """Some at random; XLA would draw anew wherever they are used."""
    drawn = generator.bytes(int(np.prod(shape)))
    return tf.constant(np.frombuffer(drawn, np.uint8).reshape(shape))


def dropped_for(share: float) -> float:
    """The share of hidden values to drop where the noise has this share.

    About as much, and at most a half: without, a few styles are learned by
    heart; with more, too little is learned of many.
    """
    return share / (1 + share)


def _dropout(drawn: tf.Tensor, share: float, dtype: Any) -> tf.Tensor:
    """Factors that drop this share, by bytes, and keep the mean as it is."""
    dropped = round(share * 256)
    kept = tf.cast(drawn >= tf.constant(dropped, drawn.dtype), dtype)
    return kept * (256 / (256 - dropped))


class NoStyleFlow:
    """The style that is learned is the style that is given."""

    def after(self, style: tfd.Normal, content: tf.Tensor) -> tfd.Normal:
        """The posterior after the flow, given the content `[N, dim]`."""
        del content
        return style

    def before(self, style: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        """From a style after the flow to what the decoder reads, `[N, dim]`."""
        del content
        return style

    def log_prior(self, style: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        """log p(style | content) before the flow, nats, `[N]`.

        Args:
            style: `[N, style_dim]`.
            content: `[N, content_dim]`.
        """
        del content
        prior = tfd.Normal(tf.zeros_like(style), tf.ones_like(style))
        return tf.reduce_sum(prior.log_prob(style), axis=-1)

    def kl(
        self, learned: tfd.Normal, sample: tf.Tensor, content: tf.Tensor
    ) -> tf.Tensor:
        """Divergence of posteriors before the flow from the prior, nats, `[N]`.

        Args:
            learned: The posteriors, batch shape `[N, dim]`.
            sample: A draw from each.
            content: What they are given, `[N, dim]`.
        """
        del sample, content
        return objective.standard_normal_kl(learned.loc, learned.scale)


class StyleFlow(NoStyleFlow):
    """A flow that makes the style independent of the content.

    Args:
        flow: The invertible map.
        directions: From a style to what the map takes.
    """

    def __init__(self, flow: ConditionalFlow, directions: Directions) -> None:
        self._flow, self._directions = flow, directions
        signature = [
            tf.TensorSpec((None, dim), flow.compute_dtype)
            for dim in (flow.dim, flow.condition_dim)
        ]
        # Dozens of small layers, which one by one take longer than a decoder.
        self._forward, self._inverse = (
            tf.function(function, signature, autograph=False)
            for function in (flow.forward, flow.inverse)
        )

    def after(self, style: tfd.Normal, content: tf.Tensor) -> tfd.Normal:
        within = self._directions.posterior(style)
        used = tf.convert_to_tensor(self._flow.used)
        loc, _ = self._forward(within.loc * used, self._flow.near(content))
        return tfd.Normal(loc, within.scale * self._flow.shrink)

    def before(self, style: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        within = self._inverse(style, self._flow.near(content))
        return self._directions.inverse(within)

    def log_prior(self, style: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        within, log_det = self._directions.forward(style)
        near = self._flow.near(content)
        return log_det - self._flow.negative_log_likelihood(within, near)

    def kl(
        self, learned: tfd.Normal, sample: tf.Tensor, content: tf.Tensor
    ) -> tf.Tensor:
        log_posterior = tf.reduce_sum(learned.log_prob(sample), axis=-1)
        return log_posterior - self.log_prior(sample, content)

    def fit(
        self,
        alone: Pairs,
        together: Pairs,
        scale: tf.Tensor,
        groups: list[tf.Tensor],
        seed: int = 0,
        steps: int | None = None,
    ) -> float:
        """Learn p(style | content) from what trained networks say.

        Args:
            alone: Of every observation, given the content that it shows.
            together: Of the same, given a content of its group, so that the
                flow is used to these as well.
            scale: The one scale of the posteriors, `[dim]`.
            groups: By level, contents of groups, `[G, dim]`; of more than the
                flow remembers, some at random.
            seed: Of the draws.
            steps: Of AdamW, on as many rows as `ROWS` each; by default as many
                as `steps_for` says.

        Returns:
            The last steps' mean of -log p(style | content), nats, as they saw
            it: with noise, and some hidden values dropped.
        """
        steps = steps or steps_for(len(alone.style))
        self._remember(groups, seed)
        self._flow.use(self._directions.find(alone.style, scale))
        style, content = (tf.concat(b, axis=0) for b in zip(alone, together))
        within, log_det = self._directions.forward(style)
        pairs = Pairs(within, self._flow.near(content))
        one = tfd.Normal(style[:1], scale[tf.newaxis])
        scale = self._directions.posterior(one).scale[0]
        share = noise_for(len(alone.style), map(len, groups))
        step = self._step(pairs, scale, share, steps)
        compiled = tf.function(step, autograph=False, jit_compile=True)
        seeds = (
            noise.of_step(seed, noise.Stream.STYLE_FLOW, number)
            for number in range(steps + 1)
        )
        generator = noise.generator(seed, noise.Stream.STYLE_FLOW, 2)
        shape = self._flow.num_layers, HIDDEN, ROWS, self._flow.units
        losses = [
            compiled(next(seeds), _bytes(generator, shape))
            for _ in range(steps)
        ]
        self._flow.fit_scale(*pairs.draw(next(seeds), MEASURED, 0.5), scale)
        return float(tf.reduce_mean(losses[-100:]) - log_det)

    def _remember(self, groups: list[tf.Tensor], seed: int) -> None:
        """Let the flow know the contents of groups, by level, or of some."""
        generator = noise.generator(seed, noise.Stream.STYLE_FLOW, 1)
        orders = [generator.permutation(len(level)) for level in groups]
        self._flow.remember(
            *(
                tf.gather(level, order[:MAX_PROTOTYPES])
                for level, order in zip(groups, orders, strict=True)
            )
        )

    def _step(
        self, pairs: Pairs, scale: tf.Tensor, share: float, steps: int
    ) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """One of so many steps: from its seed and its bytes to its loss."""
        deviations = self._flow.adapt(pairs.content)
        rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
        optimizer = keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY)
        variables = self._flow.variables_to_fit
        optimizer.build(variables)

        def step(of_step: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
            seeds = noise.split(of_step, 3)
            some = pairs.draw(seeds[0], ROWS, TOGETHER)
            spread = CONTENT_NOISE * deviations
            content = noise.sample(some.content, spread, seeds[2])
            with tf.GradientTape() as tape:
                nats = self.nats(
                    some._replace(content=content),
                    scale,
                    share,
                    seeds[1],
                    _dropout(drawn, dropped_for(share), content.dtype),
                )
                loss = tf.reduce_mean(nats)
            gradients = tape.gradient(loss, [v.value for v in variables])
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return loss

        return step

    def nats(
        self,
        pairs: Pairs,
        scale: tf.Tensor,
        share: float,
        seed: tf.Tensor,
        dropout: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """-log p(style | content) of means with noise, `[n]`.

        With prior variance 1, the means have what the posteriors leave of it.

        Args:
            pairs: `[n, dim]` each.
            scale: The one scale of the posteriors, `[dim]`.
            share: Of the means' spread, the noise.
            seed: int32 `[2]`.
            dropout: As for `ConditionalFlow.forward`.
        """
        left = tf.maximum(1 - tf.square(scale), _LEAST_VARIANCE)
        spread = tf.sqrt(left)
        noisy = noise.sample(pairs.style, share * spread, seed)
        spread *= (1 + share**2) ** 0.5
        return self._flow.negative_log_likelihood(
            noisy, pairs.content, spread, dropout
        )
