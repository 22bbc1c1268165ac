"""Where the weights of a training begin."""

from __future__ import annotations

import pathlib

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.model import MLVAE
from mlvae_tf.runs import several, workdir
from mlvae_tf.runs.config import TrainingConfig

ADAPTED_OBSERVATIONS = 2000  # Whose principal components start a model.


def start(model: MLVAE, train: GroupedData, training: TrainingConfig) -> None:
    """Give a new model its first weights, where these are not drawn.

    They are those of another run's model, or for linear networks principal
    components of the data.

    Raises:
        InputError: If the networks of the other model are not the same.
    """
    if training.init_from:
        _copy(workdir.load_model(pathlib.Path(training.init_from)), model)
    elif model.can_adapt and len(model.levels) > 1:
        several.skip("A start of linear networks at principal components")
    elif model.can_adapt:
        some = train.sample(ADAPTED_OBSERVATIONS, training.seed)
        model.adapt(some.values())


def _copy(source: MLVAE, model: MLVAE) -> None:
    old, new = (
        [(weight.path.split("/", 1)[-1], tuple(weight.shape)) for weight in v]
        for v in (source.weights, model.weights)
    )
    differ = [
        f"{name} {a} for {b}" for (_, a), (name, b) in zip(old, new) if a != b
    ]
    if differ or len(old) != len(new):
        raise InputError(
            "--init_from needs the same networks and observations of the same "
            f"shape: got {len(old)} weights for {len(new)}"
            + (f", {', '.join(differ[:3])}" if differ else "")
            + ". Drop the flags that change them, or pass --image_size."
        )
    model.set_weights(source.get_weights())


def freeze(model: MLVAE, names: tuple[str, ...]) -> None:
    """Keep some networks as they are; before the optimizer is built.

    Raises:
        InputError: If the model has none of such a name.
    """
    networks = model.networks
    for name in names:
        if name not in networks:
            raise InputError(
                f"--freeze takes names of networks, {', '.join(networks)}: got "
                f"{name!r}."
            )
        networks[name].trainable = False
