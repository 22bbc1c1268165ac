import numpy as np
import pytest

from mlvae_tf import training
from mlvae_tf.config import TrainingConfig
from mlvae_tf.data.grouping import GroupedData


@pytest.mark.parametrize(
    ("steps_per_epoch", "at_once"),
    [(1, 1), (9, 9), (47, 1), (235, 5), (90, 10)],
)
def test_steps_at_once_divide_the_epoch(steps_per_epoch, at_once):
    assert training._steps_at_once(steps_per_epoch) == at_once


def test_training_groups_are_doubled_on_request(generator):
    images = generator.uniform(size=(4, 2, 3, 1))
    data = GroupedData.of(images, np.array([0, 0, 1, 1]))
    assert training.training_groups(data, TrainingConfig()) is data
    mirrored = training.training_groups(
        data, TrainingConfig(mirror_groups=True)
    )
    assert len(mirrored) == 8
    assert len(mirrored.groups) == 4
