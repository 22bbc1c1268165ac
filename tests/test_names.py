import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry
from matplotlib.text import Text
from PIL import Image
from scripts import SMALL, script

from mlvae_tf.evaluation import names
from mlvae_tf.evaluation.names import Labels


def test_what_is_drawn_for_a_name(strange_names):
    labels = Labels()
    assert {name: labels[name] for name in strange_names} == strange_names


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Иван", "Иван"),
        ("müller", "müller"),
        ("日本 人", "RiBen Ren"),
        ("한국어", "HanGugEo"),
        ("a\u3000b\u00a0c", "a b c"),  # Spaces of other widths.
        ("\u202eabc\u200d", "abc"),  # Not seen: a direction, a joiner.
        ("x\ufe0f\U000e0100", "x\ufe0f"),  # Variants of a letter.
        ("\ue000", "\\ue000"),  # Private use: no two fonts agree on it.
        ("a\u2028b", "a\\u2028b"),
        ("\U0001f1e9\U0001f1ea", "DE"),  # A flag.
        ("ラーメン", "ramen"),  # One of these has no sound.
        ("\u1112\u1161\u11ab", "Han"),  # A syllable in three parts.
        ("\U00012000", "\\U00012000"),  # Without a transliteration.
        ("\u200b", "\\u200b"),
        ("", "''"),
        (" ", "' '"),
        ("a" * 24, "a" * 24),
        ("字" * 13, "ZiZiZiZiZiZi…iZiZiZiZiZi"),
    ],
)
def test_what_is_drawn_for_other_names(fonts, name, label):
    assert Labels()[name] == label


def test_no_two_names_are_drawn_alike(fonts):
    labels = Labels()
    strange = [
        *(f"photograph_of_person_{k:03}_of_the_year" for k in range(20)),
        *("x" * k for k in range(98, 110)),
        *("张伟", "章伟", "ZhangWei", "ZhangWei (2)"),
        *("a\nb", "a\\nb", "", "''", " ", "\u3000", "\t", "\u200b"),
    ]
    assert len({labels[name] for name in strange}) == len(strange)
    assert max(map(len, labels.values())) < names.WIDTH + 6
    # Numbers only where neither the beginning nor the end tells them apart.
    assert [labels[name] for name in strange[:3]] == [
        "photograph_o…of_the_year",
        "…_person_001_of_the_year",
        "…_person_002_of_the_year",
    ]


def test_a_name_keeps_what_is_drawn_for_it(fonts):
    labels = Labels()
    assert [labels[name] for name in ("章伟", "张伟", "章伟")] == [
        "ZhangWei",
        "ZhangWei (2)",
        "ZhangWei",
    ]
    assert labels["ann"] == "ann"
    assert labels.changed() == {"ZhangWei": "章伟", "ZhangWei (2)": "张伟"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("张 <b>$&\\", "张 <b>$&\\"),
        ("a\0\n\r\u2029\x9f", "a\\x00\\n\\r\\u2029\\x9f"),
        ("M\udcfcller", "M\\udcfcller"),
        ("x" * 999, "x" * 999),
    ],
)
def test_written_names_are_whole(name, text):
    assert names.written(name) == text
    text.encode()


def make_font(path, family, characters):
    """A font in which these characters are black squares."""
    pen = TTGlyphPen(None)
    corners = [(0, 0), (0, 800), (800, 800), (800, 0)]
    pen.moveTo(corners[0])
    for corner in corners[1:]:
        pen.lineTo(corner)
    pen.closePath()
    glyphs = [".notdef", *(f"u{ord(c):x}" for c in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap(dict(zip(map(ord, characters), glyphs[1:])))
    builder.setupGlyf(dict.fromkeys(glyphs, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def install(fonts, tmp_path):
    """Install a font with some characters, by its name."""

    def install(family, characters, **kwargs):
        path = tmp_path / f"{family}.ttf"
        make_font(path, family, characters)
        fonts.append(FontEntry(str(path), name=family, weight=400, **kwargs))
        names._other_fonts.cache_clear()
        return path

    return install


def drawn(name):
    """A text with a name's label, which has been drawn."""
    figure = Figure(figsize=(2, 0.5), dpi=100)
    text = figure.text(0.1, 0.3, Labels()[name])
    for each in figure.findobj(Text):
        names.as_it_stands(each)
    figure.canvas.draw()
    return text


@pytest.mark.filterwarnings("error")
def test_a_name_is_drawn_with_a_font_that_has_it(install):
    install("Test Sans", "张伟")
    text = drawn("张伟 $a$ Иван 王")
    assert text.get_text() == "张伟 $a$ Иван Wang"
    families = text.get_fontfamily()
    assert families[1:] == ["Test Sans"]
    names.as_it_stands(text)  # Once more changes nothing.
    assert text.get_fontfamily() == families
    # What the default font has is not searched for elsewhere.
    assert drawn("Иван").get_fontfamily() == families[:1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("family", ["Test Color Emoji", ".LastResort"])
def test_fonts_that_draw_nothing_are_not_taken(install, family):
    install(family, "张伟")
    assert drawn("张伟").get_text() == "ZhangWei"


@pytest.mark.filterwarnings("error")
def test_a_font_that_is_gone_is_not_taken(install):
    install("Test Sans", "张伟").unlink()
    assert drawn("张伟").get_text() == "ZhangWei"


def test_fonts_without_serifs_come_first(install):
    for family in ("A Serif", "Test Sans", "Other"):
        install(family, "张")
    assert drawn("张").get_fontfamily()[1:] == ["Test Sans"]


def test_arabic_is_only_drawn_as_it_is_written(fonts, monkeypatch):
    """Not by a Matplotlib that draws its letters unjoined and backwards."""
    for lays_out, label in ((True, "سلام a"), (False, "slm a")):
        monkeypatch.setattr(names, "_LAYS_OUT", lays_out)
        assert Labels()["سلام a"] == label


@pytest.mark.parametrize("name", ["$", "$x$", "US$1_bill_$", "\\frac{1}{2}"])
def test_names_are_no_mathematics(fonts, name):
    """They are as wide as their letters."""
    text = drawn(name)
    plain = drawn(name.replace("$", "S"))
    assert text.get_text() == name
    widths = [each.get_window_extent().width for each in (text, plain)]
    assert widths[0] == pytest.approx(widths[1], abs=2)


@pytest.mark.slow
def test_a_run_on_folders_of_any_name(tmp_path, generator):
    """No training ends at a picture, and nothing is said but the progress."""
    names = ["US$1_bill_$", "张伟", "_hidden", "<b>", "😀", "a\nb", "x" * 200]
    for name in names:
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for number in range(5):
            pixels = generator.integers(0, 256, (4, 4), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    workdir = f"--workdir={tmp_path / 'run'}"
    dataset = f"--dataset=folder:{tmp_path / 'data'}"
    settings = "--holdout_observations=0.4", "--epochs=1", "--evaluate_epochs=1"
    trained = script("train.py", workdir, dataset, *settings, *SMALL)
    assert trained.returncode == 0, trained.stderr
    (pictures,) = (tmp_path / "run" / "logs" / "images").iterdir()
    assert b"PNG" in pictures.read_bytes()
    few = "--evidence_counts=1", "--importance_samples=2"
    evaluated = script("evaluate.py", workdir, *few)
    assert evaluated.returncode == 0, evaluated.stderr
    for said in (trained.stderr, evaluated.stderr):
        assert "warning" not in said.lower()
        assert "glyph" not in said.lower()
    page = (tmp_path / "run" / "evaluation" / "report.html").read_text("utf-8")
    assert "x" * 200 in page
    assert "<b>" not in page
