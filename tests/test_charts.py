import io

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from PIL import Image

from mlvae_tf.evaluation import charts
from mlvae_tf.evaluation.bootstrap import Estimate
from mlvae_tf.evaluation.calibration import Calibration
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.evaluation.verification import Verification
from mlvae_tf.layers import EvidenceAccumulation


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), int)


def colored(picture, color):
    """Where a picture has about this colour, `[n, 2]` in shares of its size."""
    image = pixels(picture)
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    found = np.argwhere(np.abs(image - rgb).sum(-1) < 40)
    return found / image.shape[:2]


def curve_of(content, style):
    counts = {"1": content, "5": content}
    limits = {"1": [content] * 2, "5": [content] * 2}
    return charts.accuracy_curve(
        {
            "content_accuracy": counts,
            "unaccumulated": {"content_accuracy": counts},
            "style_accuracy": style,
            "chance_accuracy": 0.1,
            "intervals": {
                "content_accuracy": limits,
                "unaccumulated": {"content_accuracy": limits},
                "style_accuracy": [style, style],
            },
        }
    )


@pytest.mark.parametrize(("content", "style"), [(0.95, 0.3), (0.3, 0.95)])
def test_the_higher_accuracy_is_drawn_higher(content, style):
    picture = curve_of(content, style)
    heights = [
        np.median(colored(picture, color)[:, 0])
        for color in (charts.CONTENT, charts.STYLE)
    ]
    assert (heights[0] < heights[1]) == (content > style)


def test_a_perfect_probe_has_a_dark_diagonal():
    names = list("abcdefghijklmnop")
    dark = colored(charts.confusion(16 * np.eye(16), names), "#08306b")
    # The colour bar is dark at its upper end: leave it out.
    dark = dark[dark[:, 1] < 0.7]
    slope, _ = np.polyfit(dark[:, 0], dark[:, 1], 1)
    assert slope > 0
    assert np.corrcoef(dark.T)[0, 1] > 0.98


@pytest.mark.parametrize("names", [["1", "2"], ["a long name"] * 40])
def test_confusion_of_few_and_many(names):
    assert pixels(charts.confusion(np.eye(len(names)), names)).std() > 1


def test_calibration_has_a_point_a_dimension():
    values = np.array([[0.1, 1.0], [0.2, 3.0]])
    picture = charts.calibration({"1": Calibration(values, values)})
    assert len(colored(picture, charts.CONTENT)) > 100


def test_roc_has_a_curve_a_representation():
    rates = np.linspace(0, 1, 20)
    curve = Verification(rates, rates, Estimate(0.5, 0.4, 0.6))
    picture = charts.roc({"content": curve, "style": curve})
    for color in (charts.CONTENT, charts.STYLE):
        assert len(colored(picture, color)) > 20


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("groups", [3, 30])
def test_maps_of_any_latent(generator, dim, groups):
    ids = np.repeat(np.arange(groups), 20)
    loc = generator.normal(size=(len(ids), dim)) + 8 * ids[:, np.newaxis]
    normal = tfp.distributions.Normal(tf.constant(loc), 1.0 + 0 * loc)
    posteriors = Posteriors(normal, normal, ids, EvidenceAccumulation())
    found = colored(charts.latent_map(posteriors), "#1f77b4")
    # The first group of two panels is in one place in each.
    assert len(found) > 10
    left = found[found[:, 1] < 0.44]
    assert left.std(axis=0).max() < 0.1


def some_posteriors(group_ids):
    loc = tf.random.stateless_normal([len(group_ids), 2], [0, 0])
    normal = tfp.distributions.Normal(loc, 1.0)
    return Posteriors(normal, normal, group_ids, EvidenceAccumulation())


@pytest.mark.filterwarnings("error")
def test_any_name_is_drawn_as_it_stands(strange_names, texts):
    """A legend too: Matplotlib leaves out labels that begin with "_"."""
    names = list(strange_names)
    charts.confusion(np.eye(len(names)), names)
    drawn = [text.get_text() for text in texts]
    for label in strange_names.values():
        assert drawn.count(label) == 2  # Beside its row and below its column.
    texts.clear()
    charts.latent_map(some_posteriors(np.repeat(names, 3)))
    drawn = [text.get_text() for text in texts]
    assert sorted(set(drawn) & set(strange_names.values())) == sorted(
        strange_names.values()
    )
    assert not any(text.get_parse_math() for text in texts)


def test_a_legend_has_the_names_in_the_order_of_the_colours(texts):
    charts.latent_map(some_posteriors(np.array(["b", "a", "c", "a"])))
    assert [t.get_text() for t in texts if t.get_text() in "abc"] == [*"abc"]


@pytest.mark.parametrize("names", [["1", "2"], ["x" * 24] * 12])
def test_the_cells_of_a_confusion_keep_their_size(names, texts):
    charts.confusion(np.ones((len(names), len(names))), names)
    cells = [text for text in texts if text.get_text() == "1.0"]
    left, right = cells[0].get_window_extent(), cells[1].get_window_extent()
    assert right.x0 - left.x0 > 0.25 * 100  # Inches.


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("low", [1e-6, 0.1, 0.95])
def test_scales_of_errors_have_plain_numbers(low, texts):
    values = np.array([[low, 1.0]])
    charts.calibration({"1": Calibration(values, values)})
    numbers = [
        text.get_text() for text in texts if text.get_text()[-1].isdigit()
    ]
    assert not any("$" in text.get_text() for text in texts)
    assert sum(number == "1" for number in numbers) == 2  # One an axis.
    assert all(float(number) > 0 for number in numbers if number[0] != "k")
