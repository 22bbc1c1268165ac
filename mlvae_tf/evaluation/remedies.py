"""What to try against what a model fails at, from the settings it has.

A setting that is so already, or that the run's other settings leave without
effect, is not named.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

FLAG = re.compile(r"--[a-z]\w*(?:=\w+(?:[:.,]\w+)*)?")  # As written here.
CONTRAST = 30.0  # By default.
LAYERS = 10  # Of the flow on the style, by default.
MORE_CONTRAST = 3  # Times.

Settings = Mapping[str, Any]  # Of a run, resolved, by the names of its flags.


def content_collapsed(settings: Settings) -> str:
    """Of a content that says nothing."""
    per_batch = "batch_size" if settings["batch_size"] else _PER_GROUP
    return _either(
        _at_most_1(settings, "content_kl_weight")
        + _more_contrast(settings)
        + _times(settings, per_batch, 2)
        + _scale(settings, 0.5)
    )


def style_collapsed(settings: Settings, by_heart: bool = False) -> str:
    """Of a style that says nothing.

    Args:
        settings: The run's.
        by_heart: Whether it has learned observations by heart, too: longer, or
            drawn more finely, it would learn more of that.
    """
    weights = [
        *_at_most_1(settings, "style_kl_weight"),
        *_at_most_1(settings, "style_kl_start"),
    ]
    return _either(_together(weights) + _finer_or_longer(settings, by_heart))


def ignored(settings: Settings, by_heart: bool = False) -> str:
    """Of a latent with which nothing that is drawn changes, likewise."""
    return _either(_finer_or_longer(settings, by_heart))


def style_tells(settings: Settings, by_heart: bool = False) -> str:
    """Of a style that names the group, likewise."""
    missing = [] if settings["style_flow"] else [f"--style_flow={LAYERS}"]
    if not settings["style_given_content"]:
        missing.append("--style_given_content")
    return _either(
        _together(missing)
        + _more_contrast(settings)
        + ([] if by_heart else _epochs(settings, 2))
        + _times(settings, "style_dim", 0.5)
        + (["more data"] if by_heart else [])
    )


def far(settings: Settings) -> str:
    """Of a flow that has learned by heart."""
    return _either(
        _times(settings, "style_flow", 0.5)
        + _times(settings, "style_dim", 0.5)
        + ["more data"]
    )


def content_tells(settings: Settings, level: str) -> str:
    """Of a level whose content names the groups of another.

    Args:
        settings: The run's.
        level: Its name.
    """
    pairs = (pair.split(":") for pair in settings["level_dims"])
    dims = {name: int(dim) for name, dim in pairs}
    dims[level] = dims.get(level, settings["content_dim"] or 0) // 2
    fewer = ",".join(f"{name}:{dim}" for name, dim in dims.items())
    return _either(
        _more_contrast(settings)
        + ([f"--level_dims={fewer}"] if dims[level] else [])
        + ["data of more combinations"]
    )


def overfit(settings: Settings) -> str:
    """Of observations learned by heart."""
    hidden = settings["hidden_units"]
    halves = ",".join(str(units // 2) for units in hidden)
    used = settings["trunk"] != "linear" and not settings["networks"]
    smaller = [f"--hidden_units={halves}"] if used and min(hidden) > 1 else []
    return _either(
        _epochs(settings, 0.5) + smaller + _scale(settings, 2) + ["more data"]
    )


def short(settings: Settings, steps: int, least: int) -> str:
    """Of a training of fewer steps than tell much.

    Args:
        settings: The run's.
        steps: How many it took.
        least: How many would tell.
    """
    (more,) = _epochs(settings, math.ceil(least / max(steps, 1)))
    return f"{more} or more"


def still_gaining(settings: Settings) -> str:
    """Of a training that ended while it still gained."""
    return _either(_epochs(settings, 2))


_PER_GROUP = "observations_per_group"


def _either(changes: list[str]) -> str:
    """The changes as a list in words."""
    return " or ".join(filter(None, [", ".join(changes[:-1]), changes[-1]]))


def _together(changes: list[str]) -> list[str]:
    """The changes as one."""
    return [" and ".join(changes)] if changes else []


def _at_most_1(settings: Settings, name: str) -> list[str]:
    return [f"--{name}=1"] if settings[name] > 1 else []


def _times(settings: Settings, name: str, factor: float) -> list[str]:
    """So many times a whole number; nothing where it would be none."""
    value = math.floor((settings[name] or 0) * factor)
    return [f"--{name}={value}"] if value else []


def _epochs(settings: Settings, factor: float) -> list[str]:
    """So many times the training.

    In epochs, which every run has, and before which steps count for nothing.
    """
    return _times(settings, "epochs", factor) or [
        f"{'more' if factor > 1 else 'fewer'} --epochs"
    ]


def _finer_or_longer(settings: Settings, by_heart: bool) -> list[str]:
    """So that more is drawn, but where what is drawn is learned by heart."""
    if by_heart:
        return ["more data"]
    return _scale(settings, 0.5) + _epochs(settings, 2)


def _scale(settings: Settings, factor: float) -> list[str]:
    """Another scale, where the likelihood has one to set."""
    if settings["likelihood"] != "normal":
        return []
    scale = settings["observation_scale"] or 1
    return [f"--observation_scale={scale * factor:g}"]


def _more_contrast(settings: Settings) -> list[str]:
    """More of it, where content is made of evidence that it can weigh."""
    if settings["accumulation"] == "average":
        return []
    weight = MORE_CONTRAST * (settings["content_contrast"] or 0) or CONTRAST
    return [f"--content_contrast={weight:g}"]
