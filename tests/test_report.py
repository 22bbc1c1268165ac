import html.parser

import pytest

from mlvae_tf.evaluation import names, report, tables
from mlvae_tf.evaluation.measure import Measured
from mlvae_tf.evaluation.names import Labels


class Page(html.parser.HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)

    def handle_data(self, data):
        self.text += data


def page(groups, dataset="npz:data.npz"):
    results = {**dict.fromkeys(tables.BOUNDS, -1.5), "intervals": {}}
    labels = Labels()
    for name in groups:
        labels[name]
    record = {"evaluated on": {"dataset": dataset}}
    text = report.html(Measured(results, {}, labels), record, "python")
    text.encode()  # It can be written.
    return Page(text)


def test_names_are_whole_and_true_in_the_report(strange_names):
    found = page(strange_names)
    for name, label in strange_names.items():
        if label != names.written(name):
            assert found.text.count(f"{label}{names.written(name)}") == 1
    for name in ("张伟", "x" * 200):
        assert name in found.text
    assert found.text.count("Names in the figures") == 1


def test_names_that_are_drawn_as_they_are_need_no_table(strange_names):
    plain = [name for name, label in strange_names.items() if name == label]
    assert len(plain) >= 5
    assert "Names in the figures" not in page(plain).text


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


def test_a_path_in_the_report_reads_as_it_is():
    assert page([], "folder:/照片").text.count("folder:/照片") == 3
    broken = page([], "folder:/M\udcfcller").text
    assert broken.count("folder:/M\\udcfcller") == 3
