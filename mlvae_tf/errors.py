"""Errors for what a user can put right."""

from __future__ import annotations

import importlib.util


class InputError(ValueError):
    """Bad input: says what was expected, what came and what to do.

    The scripts print its message as one line and exit with status 2.
    """


class MissingExtra(ImportError):
    """Something is not installed that an extra of the package installs."""


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
