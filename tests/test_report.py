import base64
import html.parser

import pytest

from mlvae_tf.evaluation import names, report, tables
from mlvae_tf.evaluation.captions import CAPTIONS
from mlvae_tf.evaluation.doubts import Doubt
from mlvae_tf.evaluation.measure import Measured
from mlvae_tf.evaluation.names import Labels
from mlvae_tf.runs.config import Config


class Page(html.parser.HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.pictures = [], "", {}
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        if tag == "img":
            found = dict(attributes)
            self.pictures[found["alt"]] = found["src"]

    def handle_data(self, data):
        self.text += data


def page(groups=(), dataset="npz:data.npz", pictures=None, **more):
    results = {**dict.fromkeys(tables.BOUNDS, -1.5), "intervals": {}}
    results |= more.pop("results", {})
    labels = Labels()
    for name in groups:
        labels[name]
    record = {"evaluated on": {"dataset": dataset}}
    measured = Measured(results, pictures or {}, labels, **more)
    text = report.html(measured, record, Config().flat(), "python")
    text.encode()  # It can be written.
    return Page(text)


def test_names_are_whole_and_true_in_the_report(strange_names):
    found = page(strange_names)
    for name, label in strange_names.items():
        if label != names.written(name):
            assert found.text.count(f"{label}{names.written(name)}") == 1
    for name in ("张伟", "x" * 200):
        assert name in found.text
    assert found.text.count("Names in the pictures") == 1


def test_names_that_are_drawn_as_they_are_need_no_table(strange_names):
    plain = [name for name, label in strange_names.items() if name == label]
    assert len(plain) >= 5
    assert "Names in the pictures" not in page(plain).text


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "\"&'<b>", "{{ 7 * 7 }}", "</td></table>"],
)
def test_a_name_is_text_not_markup(fonts, name):
    long = name + 30 * "x"  # So that it is in the report.
    plain, strange = page(["a" * 30]), page([long], f"folder:{name}")
    assert strange.elements == plain.elements
    assert long in strange.text
    assert strange.text.count(f"Multi-Level VAE on folder:{name}") == 2


def test_each_picture_has_an_alternative_text_of_its_own():
    names = [name for name in CAPTIONS if name != "sample"]
    names += ["unseen_swap", "sample_of_a_of_b", "swap_of_a_of_b"]
    pictures = {name: name.encode() for name in names}
    levels = {"levels": {"a_of_b": {}}}
    found = page(pictures=pictures, results=levels).pictures
    assert len(found) == len(names)
    drawn = {base64.b64decode(src.split(",")[1]) for src in found.values()}
    assert drawn == set(pictures.values())
    assert "Training observations, a row per group, of a_of_b" in found
    swap = "Swaps: a content per column, a style per row, of groups never seen"
    assert swap in found


def test_doubts_are_said_with_what_to_try():
    doubts = [
        Doubt("style", "style has <b>collapsed</b>", "Try --steps=9, or more"),
        Doubt("told", "style still tells", "Try --style_flow=10"),
    ]
    found = page(doubts=doubts)
    assert "style has <b>collapsed</b>. Try --steps=9, or more." in found.text
    assert "style still tells" in found.text
    assert found.elements.count("code") == 2
    # Of one level, the verdict has said so and what to try.
    of_one = {
        "content_accuracy": {"1": 0.9},
        "style_accuracy": 0.5,
        "chance_accuracy": 0.1,
        "swap": {"judge_accuracy": 0.9, "content_group": {}},
    }
    table = pytest.MonkeyPatch()
    table.setattr(tables, "one", lambda results: [["what"]])
    found = page(doubts=doubts, results=of_one)
    table.undo()
    assert "Style still names the group, in 50 of 100 cases" in found.text
    assert "style still tells" not in found.text


def test_how_much_data_there_was():
    data = {
        "train": {"observations": 4000, "groups": {"content": 10}},
        "unseen": {"observations": 20, "groups": {"person": 3, "light": 2}},
    }
    said = page(results={"data": data}, pictures={"sample": b"x"}).text
    assert "4,000 observations learned from: 10 groups." in said
    of_unseen = "20 observations of groups never seen in training"
    assert f"{of_unseen}: 3 groups by person and 2 groups by light." in said


def test_a_path_in_the_report_reads_as_it_is():
    assert page([], "folder:/照片").text.count("folder:/照片") == 3
    broken = page([], "folder:/M\udcfcller").text
    assert broken.count("folder:/M\\udcfcller") == 3
