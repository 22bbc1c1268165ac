"""The error for what a user can put right."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input: says what was expected, what came and what to do.

    The scripts print its message as one line and exit with status 2.
    """
