"""For the API pages: a docstring's `Example:`, as Keras writes it, is code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_LINES = re.compile(r"^(>>> .*\n?(?:.+\n?)*)", re.MULTILINE)


class Examples(griffe.Extension):
    """Puts lines that begin with `>>>` and what they print into blocks."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            text = obj.docstring.value
            fenced = _LINES.sub(r"```pycon\n\1\n```\n", text)
            obj.docstring.value = fenced.replace("\n\n```\n", "\n```\n")
