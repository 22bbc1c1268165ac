"""What the scripts share: flags from dataclasses, and errors as one line."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import importlib
import io
import os
import pathlib
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO

from absl import app, flags, logging

from mlvae_tf.errors import InputError, MissingExtra

_SENT = signal.SIGINT, signal.SIGTERM

_DEFINE: dict[str, Callable[..., Any]] = {
    "int": flags.DEFINE_integer,
    "float": flags.DEFINE_float,
    "bool": flags.DEFINE_bool,
    "str": flags.DEFINE_string,
    "tuple[int, ...]": flags.DEFINE_list,
    "tuple[float, ...]": flags.DEFINE_list,
    "tuple[str, ...]": flags.DEFINE_list,
}


def define_flags(*sections: type) -> None:
    """Define a flag for every field of these dataclasses.

    A flag that is not given is None, so that it replaces nothing.
    """
    for section in sections:
        for field in dataclasses.fields(section):
            text = field.metadata["help"]
            if field.default is not None:
                text += f" (default: {format_value(field.default)})"
            choices = field.metadata["choices"]
            if choices:
                flags.DEFINE_enum(field.name, None, choices, text)
            else:
                bounds = {
                    "lower_bound": field.metadata["minimum"],
                    "upper_bound": field.metadata["maximum"],
                }
                numeric = field.type.startswith(("int", "float"))
                define = _DEFINE[field.type.removesuffix(" | None")]
                define(field.name, None, text, **(bounds if numeric else {}))


def format_value(value: Any) -> str:
    """A field's value as its flag takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def given_flags(*sections: type) -> dict[str, Any]:
    """The values of the flags that were given, by field name."""
    fields = [
        field for section in sections for field in dataclasses.fields(section)
    ]
    values = {}
    for field in fields:
        value = flags.FLAGS[field.name].value
        if field.type.startswith("tuple[int") and value is not None:
            value = integers(field.name, value)
        if field.type.startswith("tuple[float") and value is not None:
            value = numbers(field.name, value)
        if value is not None:
            values[field.name] = (
                tuple(value) if isinstance(value, list) else value
            )
    return values


def integers(name: str, values: list[str]) -> tuple[int, ...]:
    """The value of a list flag as positive integers."""
    positive = [v.strip().isdecimal() and int(v) > 0 for v in values]
    if not positive or not all(positive):
        raise InputError(
            f"--{name} must be positive integers, comma-separated: got "
            f"{','.join(values)!r}."
        )
    return tuple(int(value) for value in values)


def numbers(name: str, values: list[str]) -> tuple[float, ...]:
    """The value of a list flag as numbers."""
    try:
        return tuple(map(float, values))
    except ValueError:
        raise InputError(
            f"--{name} must be numbers, comma-separated: got "
            f"{','.join(values)!r}."
        ) from None


def counts(name: str, values: list[str]) -> tuple[int | None, ...]:
    """The value of a list flag as rising positive integers; "all" is None."""
    numbers = [value for value in values if value.strip() != "all"]
    rising = sorted(set(integers(name, numbers))) if numbers else []
    return (*rising, *([None] if len(numbers) < len(values) else []))


def sibling(name: str) -> str:
    """How to type another of the commands, as this one was typed."""
    script = os.path.basename(sys.argv[0])
    return f"python {name}.py" if script.endswith(".py") else f"mlvae-{name}"


def folder(name: str) -> pathlib.Path:
    """The folder that a required flag names."""
    value = flags.FLAGS[name].value
    if not value:
        raise InputError(f"--{name}=DIR is required.")
    return pathlib.Path(value).expanduser()


def _line(message: object) -> str:
    name = os.path.basename(sys.argv[0])
    return f"{name}: {' '.join(str(message).split())}"


def fail(error: Exception) -> NoReturn:
    """Print one line and exit with status 2."""
    _exit(f"{_line(error)}\n", 2)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as one line, above the progress bar if there is one."""
    import tqdm

    with contextlib.suppress(OSError):  # As Python: it may not end a command.
        tqdm.tqdm.write(_line(f"warning: {message}"), file=file or sys.stderr)


def _exit(message: str, status: int) -> NoReturn:
    """Exit at once: what TensorFlow is reading would have to be waited for."""
    for stream, rest in ((sys.stdout, ""), (sys.stderr, message)):
        with contextlib.suppress(OSError):  # It may be what failed.
            stream.write(rest)
            stream.flush()
    os._exit(status)


def _open_streams() -> None:
    """Give a script that was started without them streams to nowhere.

    Else the next file to be opened would be stderr, and hold what TensorFlow
    notes there.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # Closed, and the lowest that is free.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _flush() -> None:
    """Write what is left: Python's own end would only say that it could not.

    Raises:
        OSError: If that of stdout cannot be written; as a warning that cannot
            be shown, that of stderr may not end a command.
    """
    sys.stdout.flush()
    try:
        sys.stderr.flush()
    except OSError:
        sys.stderr = io.StringIO()


def _parse(arguments: list[str], passes_on: bool = False) -> list[str]:
    """Read the flags; what follows `--`, where that is passed on, remains."""
    end = arguments.index("--") if passes_on and "--" in arguments else None
    try:
        stray = flags.FLAGS(arguments[:end])[1:]
    except flags.Error as error:
        fail(error)
    if stray:
        fail(
            InputError(
                f"unexpected argument {stray[0]!r}: flags begin with --."
            )
        )
    if flags.FLAGS["verbosity"].using_default_value:
        logging.set_verbosity(logging.ERROR)
    return arguments[:1] + (arguments[end + 1 :] if end else [])


def import_tensorflow() -> None:
    """Import TensorFlow and the model, quickly and without notes on stderr.

    Some notes are written by C++ code before any logging level is looked at.
    Nothing that an import makes is garbage: the collector need not look for it
    meanwhile, nor ever again.
    """
    gc.disable()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as sink:
            os.dup2(sink.fileno(), 2)
        importlib.import_module("tensorflow")
        importlib.import_module("mlvae_tf.model")
    finally:
        gc.freeze()
        gc.enable()
        os.dup2(saved, 2)
        os.close(saved)


@contextlib.contextmanager
def killable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process, Python or not.

    TensorFlow waits for other workers with the GIL, without an end.
    """
    ours = {sent: signal.getsignal(sent) for sent in _SENT}
    for sent in _SENT:
        signal.signal(sent, signal.SIG_DFL)
    try:
        yield
    finally:
        for sent, handler in ours.items():
            signal.signal(sent, handler)


def run(
    main: Callable[..., None],
    doc: str,
    passes_on: bool = False,
    interrupted: str = "interrupted",
) -> None:
    """Parse the flags and call `main`; a user's mistake becomes one line.

    Args:
        main: The script's function.
        doc: What `--help` says before the flags.
        passes_on: Call it with the list of arguments after `--`, which are
            for another program.
        interrupted: What to say when the user, or whoever schedules it,
            interrupts it.
    """

    def guarded(arguments: list[str]) -> None:
        # What schedulers of jobs send before they kill.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            main(*([arguments[1:]] if passes_on else []))
            _flush()
        except (InputError, MissingExtra, OSError) as error:
            fail(error)
        except KeyboardInterrupt:
            _exit(f"\n{interrupted}\n", 130)

    _open_streams()
    sys.modules["__main__"].__doc__ = doc
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal may know fewer letters than the paths and names printed.
        sys.stdout.reconfigure(errors="backslashreplace")
    parse = functools.partial(_parse, passes_on=passes_on)
    app.run(guarded, flags_parser=parse)


flags.disclaim_key_flags()  # They are the script's that calls `define_flags`.
