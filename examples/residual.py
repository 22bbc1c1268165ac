"""Networks of one's own: residual convolutions.

As flags, from the folder of this file:

    python ../train.py --networks=residual:networks --workdir=DIR

and in Python, where they are any Keras layers or models:

    encoder, decoder = residual.networks((28, 28, 1), 20, (28, 28, 1))
    model = mlvae_tf.MLVAE((28, 28, 1), encoder=encoder, decoder=decoder)
"""

from __future__ import annotations

import keras
from keras import layers

Shape = tuple[int, ...]
CHANNELS = 32


@keras.saving.register_keras_serializable("residual")
class Residual(layers.Layer):
    """A layer that adds to its input what two convolutions make of it.

    Args:
        channels: Of the input and the output.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, channels: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.first, self.second = (
            layers.Conv2D(channels, 3, padding="same", name=name)
            for name in ("first", "second")
        )
        self.norm = layers.LayerNormalization()

    def build(self, input_shape: Shape) -> None:
        self.norm.build(input_shape)
        self.first.build(input_shape)
        self.second.build(input_shape)

    def call(self, inputs: object) -> object:
        hidden = keras.ops.gelu(self.first(self.norm(inputs)))
        return inputs + self.second(hidden)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "channels": self.channels}


def networks(
    input_shape: Shape, latent_dim: int, parameter_shape: Shape
) -> tuple[keras.Model, keras.Model]:
    """An encoder and a decoder of images with even sides.

    Args:
        input_shape: Of one image, as the encoder reads it.
        latent_dim: Dimensions of all latents together.
        parameter_shape: Of the decoder's output: the likelihood's parameters.
    """
    height, width = (side // 2 for side in input_shape[:2])
    encoder = keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(CHANNELS, 4, 2, padding="same"),
            Residual(CHANNELS),
            layers.Flatten(),
            layers.Dense(128, "gelu"),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(height * width * CHANNELS, "gelu"),
            layers.Reshape((height, width, CHANNELS)),
            Residual(CHANNELS),
            layers.Conv2DTranspose(parameter_shape[-1], 4, 2, padding="same"),
        ]
    )
    return encoder, decoder
