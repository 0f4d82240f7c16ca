"""What all figures of the course share: colours, fonts, grids of cells, headings.

Colours are those of Okabe and Ito, "Color Universal Design" (2008), which readers with a colour
vision deficiency can tell apart; nothing is told by colour alone. Only `use_style` changes global
settings of matplotlib.
"""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, VERMILLION, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_ORANGE, _SKY, _BLACK = "#E69F00", "#56B4E9", "#000000"
COLOURS = (_BLUE, VERMILLION, _GREEN, _PURPLE, _ORANGE, _SKY, _BLACK)
MARKERS = "osD^vPX"

WIDEST = 9.0  # inches: what fits the column of a notebook
STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so a figure looks the same everywhere
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 9,
    "figure.titlesize": 11,
    "image.interpolation": "nearest",
    "axes.spines.top": False,
    "axes.spines.right": False,
}

_Arguments = ParamSpec("_Arguments")


def styled(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """Let ``draw`` draw in the course's style, without changing the style of anything else."""

    @functools.wraps(draw)
    def styled(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Figure:
        import matplotlib.pyplot as plt

        # Load the backend first. A notebook's backend changes settings as it loads (it turns
        # interactive mode on), and leaving the context would take them back: no figure would
        # appear any more.
        plt.draw_if_interactive()
        with plt.rc_context(STYLE):
            figure = draw(*args, **kwargs)
        for ax in figure.axes:  # matplotlib makes ticks later, when the style has gone
            ax.tick_params(labelsize=STYLE["axes.labelsize"])
        return figure

    return styled


def use_style() -> None:
    """Give the notebook's own plots the fonts and colours of this module's figures."""
    import matplotlib.pyplot as plt

    plt.rcParams.update(STYLE)
    plt.rcParams["axes.prop_cycle"] = plt.cycler(color=COLOURS)


def as_array(value: Any, name: str) -> np.ndarray:
    """A tensor on any device, with gradients or without, or an array, as an array."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.float() if value.is_floating_point() else value).numpy()
    if isinstance(value, np.ndarray):
        return value
    raise TypeError(f"{name} must be a tensor or an array, not {type(value).__name__}.")


def check_finite(values: np.ndarray, name: str) -> None:
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} holds NaN or infinity, which has no colour. Look for the step that made it: "
            "often a division by a std of 0, or a training that diverged."
        )


def grid(
    count: int, columns: int, heading: str, lines: int = 0, bar: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` empty square cells.

    There is room for ``lines`` of text above each, and for a colour bar where ``bar`` is set.
    """
    import matplotlib.pyplot as plt

    columns = min(columns, count)
    rows = math.ceil(count / columns)
    margin = 0.9 if bar else 0.1
    usual = 1.1 if lines or bar else 0.75
    cell = min(max(usual, 4.5 / columns), 2.2, (WIDEST - margin) / columns)
    width = columns * cell + margin
    height = rows * (cell + 0.15 * lines) + 0.2 * len(wrapped(heading, width)) + 0.1
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, height),
        layout="compressed",
        squeeze=False,
    )
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    for ax in axes.flat[:count]:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    set_heading(figure, heading)
    return figure, list(axes.flat[:count])


def set_heading(figure: Figure, heading: str) -> None:
    if heading:
        figure.suptitle("\n".join(wrapped(heading, figure.get_figwidth())))


def wrapped(heading: str, width: float) -> list[str]:
    return textwrap.wrap(heading, int(width / 0.09))  # inches a character, at 11 points
