import numpy as np

from mlvae_tf.evaluation import seeds


def metrics(value):
    return {
        "content_accuracy": {"1": value, "all": 1.0},
        "content_entropy": {"1": 0.2, "all": 0.0},
        "style_accuracy": 0.3,
        "style_entropy": 2.0,
        "chance_accuracy": 0.1,
        "sampled": {"content_accuracy": {"1": 0.5}, "style_accuracy": 0.1},
        "swap": {"judge_accuracy": 0.99, "content_group": {"1": 0.9}},
        "unseen": {
            "identification": {"content_means": {"1": 0.7, "5": value}},
            "verification_auc": {"content_means": 0.8},
        },
        **dict.fromkeys(seeds.BOUNDS, -100 * value),
    }


def test_mean_and_spread_of_every_figure():
    rows = dict(seeds.rows([metrics(0.5), metrics(0.7), metrics(0.9)]))
    assert rows["content accuracy, k = 1"] == [0.5, 0.7, 0.9]
    assert rows["unseen accuracy, content means, 5 shots"] == [0.5, 0.7, 0.9]
    table = {name: cells for name, *cells in seeds.table(list(rows.items()))}
    assert table["content accuracy, k = 1"] == ["0.700", "0.500", "0.900"]
    assert table["group elbo"] == ["-70.0", "-90.0", "-50.0"]
    assert np.isfinite([float(cell) for cell in table["style entropy"]]).all()
