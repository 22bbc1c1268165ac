"""How the names that users give are drawn: with what fonts, how long."""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Iterator

from anyascii import anyascii
from matplotlib import font_manager, ft2font
from matplotlib.font_manager import FontEntry, FontProperties
from matplotlib.text import Text

WIDTH = 24  # Of a label, in letters; Chinese characters count twice.

# Unicode's categories of what is no letter: control characters, halves of a
# character (so Python reads a file name that is no UTF-8), ends of lines.
_CONTROL = "Cc", "Cs", "Zl", "Zp"

# Without this, Matplotlib draws Arabic unjoined, and from left to right.
_LAYS_OUT = hasattr(ft2font, "__libraqm_version__")


class Labels(dict[str, str]):
    """What is drawn for each name, made when it is first asked for.

    Pictures that share one draw a name alike, and no two names alike.
    """

    def __missing__(self, name: str) -> str:
        taken = set(self.values())
        text = "".join(map(_drawn, unicodedata.normalize("NFC", name)))
        possible = _possible(text or "".join(map(_escaped, name)))
        self[name] = next(label for label in possible if label not in taken)
        return self[name]

    def changed(self) -> dict[str, str]:
        """Of the names that are not drawn as they are: `{label: name}`."""
        return {
            label: written(name)
            for name, label in self.items()
            if label != written(name)
        }


def written(name: str) -> str:
    """A name as text that any UTF-8 file holds, without line breaks."""
    return "".join(
        _escaped(character)
        if unicodedata.category(character) in _CONTROL
        else character
        for character in name
    )


def as_it_stands(text: Text) -> None:
    """Let a text be drawn letter by letter, with fonts that have the letters.

    Without this, `$` begins mathematics, and what the default font lacks
    becomes a box.
    """
    text.set_parse_math(False)
    families = text.get_fontfamily()
    others = dict.fromkeys(map(_family, text.get_text()))
    missing = [name for name in others if name and name not in families]
    if missing:
        text.set_fontfamily([*families, *missing])


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _drawn(character: str) -> str:
    """A character, or what stands for it where it cannot be drawn."""
    kind = unicodedata.category(character)
    if kind == "Zs":
        return " "
    if kind == "Cf":  # It is not seen: marks of direction, joiners.
        return ""
    if kind in (*_CONTROL, "Co"):
        return _escaped(character)
    return character if _family(character) is not None else anyascii(character)


def _possible(text: str) -> Iterator[str]:
    """Labels for a name, the best first: the next ones tell it from others."""
    if not text.strip():
        text = f"'{text}'"
    short = _shortened(text, WIDTH // 2)
    yield short
    yield _shortened(text, 0)
    yield _shortened(text, WIDTH - 1)
    for number in itertools.count(2):
        yield f"{short} ({number})"


def _shortened(text: str, head: int) -> str:
    """A long text as its beginning, of this width, and its end."""
    if sum(map(_columns, text)) <= WIDTH:
        return text
    tail = _fitting(text[::-1], WIDTH - 1 - head)[::-1]
    return f"{_fitting(text, head)}…{tail}"


def _columns(character: str) -> int:
    return 1 + (unicodedata.east_asian_width(character) in "WF")


def _fitting(text: str, columns: int) -> str:
    """Its first characters, as many as have place."""
    ends = itertools.accumulate(map(_columns, text))
    return text[: sum(end <= columns for end in ends)]


def _family(character: str) -> str | None:
    """The font for a character: "" is the default one, None is none."""
    if not _LAYS_OUT and unicodedata.bidirectional(character) in ("R", "AL"):
        return None
    code = ord(character)
    return "" if code in _default_font() else _other_fonts().get(code)


@functools.cache
def _default_font() -> frozenset[int]:
    """The characters that it has."""
    path = font_manager.findfont(FontProperties())
    return frozenset(ft2font.FT2Font(path).get_charmap())


@functools.cache
def _other_fonts() -> dict[int, str]:
    """For every character that an installed font has, the name of one.

    Matplotlib draws with no bitmaps and no colours, and brings a font with
    boxes for all characters.
    """
    fonts: dict[int, str] = {}
    seen = set()
    for entry in sorted(font_manager.fontManager.ttflist, key=_rank):
        plain = entry.name.replace(" ", "").lower()
        if entry.name in seen or "color" in plain or "lastresort" in plain:
            continue
        seen.add(entry.name)
        try:
            characters = ft2font.FT2Font(entry.fname).get_charmap()
        except (OSError, RuntimeError):  # Gone since Matplotlib listed it.
            continue
        for code in characters:
            fonts.setdefault(code, entry.name)
    return fonts


def _rank(entry: FontEntry) -> tuple[bool, bool, bool, str]:
    """Upright regular faces without serifs come first."""
    return (
        "Sans" not in entry.name,
        entry.style != "normal",
        entry.weight not in (400, "normal"),
        entry.name,
    )
