import numpy as np
import pytest
from sklearn.decomposition import PCA

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.runs import planning, training, workdir
from mlvae_tf.runs.config import Config, TrainingConfig


def test_training_groups_are_doubled_on_request(generator):
    images = generator.uniform(size=(4, 2, 3, 1))
    data = GroupedData.of(images, np.array([0, 0, 1, 1]))
    assert planning.training_groups(data, TrainingConfig()) is data
    mirrored = planning.training_groups(
        data, TrainingConfig(mirror_groups=True)
    )
    assert len(mirrored) == 8
    assert len(mirrored.groups) == 4


@pytest.mark.slow
def test_training_starts_at_the_principal_components(generator, tmp_path):
    images = generator.integers(0, 256, (60, 4, 4, 1), np.uint8)
    path = tmp_path / "data.npz"
    np.savez(path, observations=images, group_ids=np.arange(60) % 6)
    config = Config().replace(
        {
            "dataset": f"npz:{path}",
            "holdout_observations": 0.0,
            "trunk": "linear",
            "likelihood": "normal",
            "content_dim": 3,
            "epochs": 1,
            "learning_rate": 1e-9,
        }
    )
    workdir.prepare(tmp_path / "run", resume=False, overwrite=False)
    model = training.train(config, tmp_path / "run", resume=False)
    pixels = images.reshape(60, 16) / 255
    expected = PCA(3, whiten=True).fit_transform(pixels)
    content, _ = model.infer_observations(images / 255)
    np.testing.assert_allclose(
        np.abs(content.loc), np.abs(expected), rtol=0.02, atol=0.02
    )
