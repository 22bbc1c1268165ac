import importlib
import os
import re
import subprocess
import sys
import textwrap

import pytest

from mlvae_tf import errors

ROOT = errors.__file__.rsplit("/", 2)[0]


def hide(monkeypatch, name):
    """Let Python find no module of this name."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda module: None if module == name else find(module),
    )


@pytest.mark.parametrize(
    ("package", "module", "extra"),
    [
        ("store", "pyarrow", "store"),
        ("evaluation", "matplotlib", "app"),
        ("data.sources", "PIL", "app"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch, package, module, extra):
    said = f"{module} is missing: .* pip install 'mlvae-tf[{extra}]'"
    said = said.replace("[", r"\[").replace("]", r"\]")
    name = f"mlvae_tf.{package}"
    importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    hide(monkeypatch, module)
    with pytest.raises(errors.MissingExtra, match=said):
        importlib.import_module(name)


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def test_a_command_says_in_one_line_what_is_missing():
    process = python(
        """
        import importlib.util, sys
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda module, package=None: (
            None if module == "mlxtend" else find(module, package)
        )
        sys.argv = ["mlvae-train", "--workdir=/tmp/none-of-it"]
        from mlvae_tf.commands import train
        train.run()
        """
    )
    assert process.returncode == 2
    assert process.stderr == (
        "mlvae-train: mlxtend is missing: install what this needs with pip "
        "install 'mlvae-tf[app]'.\n"
    )


def test_another_backend_is_refused_at_import():
    process = python("import mlvae_tf", KERAS_BACKEND="jax")
    (line,) = (
        line
        for line in process.stderr.splitlines()
        if line.startswith("ImportError")
    )
    assert re.search("Keras on TensorFlow: got KERAS_BACKEND=jax", line)


def test_requirements_are_those_of_the_extras():
    """`pip install -r requirements.txt` is `pip install .[app,store]`."""
    tomllib = pytest.importorskip("tomllib")  # From Python 3.11 on.
    with open(f"{ROOT}/pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    expected = [*project["dependencies"], *extras["app"], *extras["store"]]
    with open(f"{ROOT}/requirements.txt") as file:
        lines = [line.split("#")[0].strip() for line in file]
    assert sorted(filter(None, lines)) == sorted(expected)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{{function_node x}} /logs; No space left [Op:Save]", "/logs; No spa"),
        ("unresolved: {\nmore\n}", "unresolved"),
        ("\n Two \t words. \n", "Two words"),
        ("", "OSError"),
        ("long " * 99, "long long"),
    ],
)
def test_the_reason_of_an_error_is_one_short_line(message, said):
    reason = errors.reason(OSError(message))
    assert reason.startswith(said)
    assert not set("\n{[") & set(reason.removesuffix("[...]"))
    assert len(reason) <= 200
