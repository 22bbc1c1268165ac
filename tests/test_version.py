from mlvae_tf.version import versions


def test_versions():
    assert {"mlvae_tf", "python", "tensorflow", "keras"} <= set(versions())
