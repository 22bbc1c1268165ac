"""Settings as frozen dataclasses whose fields are command line flags too.

TensorFlow is not imported here, so that `--help` is quick.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from mlvae_tf.errors import InputError


def option(
    default: Any,
    help: str,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """A dataclass field with what its command line flag needs."""
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
    }
    return dataclasses.field(default=default, metadata=metadata)


_TYPES: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "str": str,
    "tuple[int, ...]": int,
    "tuple[float, ...]": (int, float),
    "tuple[str, ...]": str,
}


def check(section: Any) -> None:
    """Raise `InputError` on a value of another type or out of bounds."""
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        kind = field.type.removesuffix(" | None")
        if value is None and kind != field.type:
            continue
        values = value if isinstance(value, tuple) else (value,)
        minimum, maximum = (field.metadata[m] for m in ("minimum", "maximum"))
        expected = _TYPES[kind]
        for item in values:
            typed = isinstance(item, expected) and (
                kind == "bool" or not isinstance(item, bool)
            )
            if not typed or (
                isinstance(item, float) and not math.isfinite(item)
            ):
                raise InputError(
                    f"--{field.name} must be {kind}, and finite: got {value!r}."
                )
            choices = field.metadata["choices"]
            if choices and item not in choices:
                raise InputError(
                    f"--{field.name} must be one of {', '.join(choices)}: got "
                    f"{value!r}."
                )
            if minimum is not None and item < minimum:
                raise InputError(
                    f"--{field.name} must be at least {minimum}: got {value!r}."
                )
            if maximum is not None and item > maximum:
                raise InputError(
                    f"--{field.name} must be at most {maximum}: got {value!r}."
                )
