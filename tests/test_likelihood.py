import numpy as np
import pytest

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.sampling import Batching
from mlvae_tf.evaluation import likelihood
from mlvae_tf.evaluation.bootstrap import separate


@pytest.fixture
def data(batch):
    return GroupedData.of(batch["observations"], batch["group_ids"])


def test_group_elbo_is_what_evaluate_reports(make_model, data):
    model = make_model(dtype="float32")
    model.compile(optimizer="adam", jit_compile=False)
    found = likelihood.group_elbo(model, data, Batching(2, 3), seed=0)
    result, intervals = separate(found)
    parts = (
        result["group_reconstruction"]
        - result["group_content_kl"]
        - result["group_style_kl"]
    )
    assert result["group_elbo"] == pytest.approx(parts, rel=1e-5)
    # Deterministic terms agree with Keras's own evaluation of the same groups.
    dataset = likelihood.make_dataset(data, Batching(2, 3), 0)
    keras_terms = model.evaluate(dataset, verbose=0, return_dict=True)
    for name in ("content_kl", "style_kl"):
        assert result[f"group_{name}"] == pytest.approx(
            keras_terms[name], rel=1e-5
        )
    assert result["group_reconstruction"] == pytest.approx(
        keras_terms["reconstruction"], rel=0.2
    )
    groups = len(Batching(1, 3).sampler(data.group_index))
    assert result["reconstruction_per_observation"] == pytest.approx(
        result["group_reconstruction"] * groups / len(data)
    )
    low, high = intervals["group_elbo"]
    assert low < result["group_elbo"] < high
    again = likelihood.group_elbo(model, data, Batching(2, 3), seed=0)
    assert again == found


def test_the_importance_weighted_bound_is_above_the_elbo(make_model, data):
    model = make_model(dtype="float32")
    elbo = likelihood.group_elbo(model, data, Batching(9, 9), seed=0)
    result = likelihood.log_likelihood(model, data, Batching(9, 9), 200, seed=0)
    assert result["importance_samples"] == 200
    assert result["importance_groups"] == 5
    value, low, high = result["importance_weighted_bound"]
    assert value > elbo["group_elbo"].value
    assert low <= value <= high
    assert np.isfinite([low, high]).all()
