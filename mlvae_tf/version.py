"""The version of the package, and of what it stands on."""

from __future__ import annotations

import importlib.metadata
import platform

VERSION = "0.2.0"
_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "mlvae_tf": VERSION,
        "python": platform.python_version(),
        **found,
    }
