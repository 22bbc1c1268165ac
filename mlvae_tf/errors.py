"""Errors for what a user can put right."""

from __future__ import annotations

import importlib.util
import re
import textwrap


class InputError(ValueError):
    """Bad input: says what was expected, what came and what to do.

    The scripts print its message as one line and exit with status 2.
    """


class MissingExtra(ImportError):
    """Something is not installed that an extra of the package installs."""


def reason(error: BaseException) -> str:
    """What another library's error says, in one line; its name if nothing."""
    # TensorFlow's begin with a function and end with an operation's name.
    text = re.sub(r"\{\{.*?\}\} *| *\[Op:.*", "", str(error))
    first = text.strip().partition("\n")[0].rstrip(" {.:")
    return textwrap.shorten(first, 200) or type(error).__name__


def require(extra: str, *modules: str) -> None:
    """Raise `MissingExtra` where an extra of the package is not installed.

    Args:
        extra: Its name: what `pip install mlvae-tf[NAME]` installs.
        *modules: Names that can be imported once it is.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(
                f"{module} is missing: install what this needs with "
                f"pip install 'mlvae-tf[{extra}]'.",
                name=module,
            )
