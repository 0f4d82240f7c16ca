"""What all figures of the course share: colours, sizes, grids of cells, headings, descriptions.

Colours are those of Okabe and Ito, "Color Universal Design" (2008), which readers with a colour
vision deficiency can tell apart; nothing is told by colour alone. Fonts and sizes are those of
matplotlib's settings, which only ``use_style`` changes, so that a reader's own settings hold.
"""

from __future__ import annotations

import math
import sys
import textwrap
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from .say import Text, describe_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, VERMILLION, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_ORANGE, _SKY, _BLACK = "#E69F00", "#56B4E9", "#000000"
COLOURS = (_BLUE, VERMILLION, _GREEN, _PURPLE, _ORANGE, _SKY, _BLACK)
MARKERS = "osD^vPX"

WIDEST = 9.0  # inches: what fits the column of a notebook


def use_style() -> None:
    """Give all figures that follow the sizes and colours of the course.

    A notebook then shows figures with images in them at 200 dots per inch, and other figures as
    SVG, beside a PNG for readers that show no SVG (JupyterLab where a notebook is not trusted).

    The font stays the one in force, DejaVu Sans unless you chose another: for Chinese in figures
    set ``plt.rcParams["font.sans-serif"]`` as usual, before or after.
    """
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "font.size": 9,
            "axes.titlesize": "medium",
            "axes.labelsize": "medium",
            "xtick.labelsize": "medium",
            "ytick.labelsize": "medium",
            "legend.fontsize": "medium",
            "figure.titlesize": "large",
            "image.interpolation": "nearest",
            "axes.formatter.min_exponent": 4,  # 100, not 10², on logarithmic axes
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "svg.hashsalt": "d2lhelpers",  # the same figure is the same file
        }
    )
    if "ipykernel.kernelapp" in sys.modules:
        _show_sharp_figures()


def _show_sharp_figures() -> None:
    import matplotlib_inline.backend_inline  # noqa: F401  registers its formats, replaced below
    from IPython import get_ipython
    from IPython.core.pylabtools import print_figure
    from matplotlib.figure import Figure

    def svg(figure: Figure) -> str | None:
        return None if _has_images(figure) else print_figure(figure, "svg", metadata={"Date": None})

    def png(figure: Figure) -> tuple[bytes, dict[str, int]]:
        scale = 2 if _has_images(figure) else 1
        data = print_figure(figure, "png", dpi=scale * figure.dpi)
        width, height = (int.from_bytes(data[at : at + 4]) for at in (16, 20))  # of its header
        return data, {"width": round(width / scale), "height": round(height / scale)}

    formatters = get_ipython().display_formatter.formatters
    formatters["image/svg+xml"].for_type(Figure, svg)
    formatters["image/png"].for_type(Figure, png)


def _has_images(figure: Figure) -> bool:
    return any(ax.images for ax in figure.axes)


def as_array(value: Tensor | np.ndarray, name: str) -> np.ndarray:
    """A tensor on any device, with gradients or without, or an array, as an array."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.float() if value.is_floating_point() else value).numpy()
    if isinstance(value, np.ndarray):
        return value
    given = type(value).__name__
    raise TypeError(
        Text(
            zh=f"{name} 应是张量或数组，得到的是 {given}。",
            en=f"{name} must be a tensor or an array, not {given}.",
        )
    )


def check_finite(values: np.ndarray, name: str | Text) -> None:
    """Refuse NaN and infinity; ``name`` is an argument's, or says in words what holds them."""
    zh, en = name if isinstance(name, Text) else (f"{name} ", name)
    if not np.isfinite(values).all():
        raise ValueError(
            Text(
                zh=f"{zh}里有 NaN 或无穷大，没有颜色可以表示。找出产生它的那一步："
                "多半是除以了等于 0 的标准差，或者训练发散了。",
                en=f"{en} holds NaN or infinity, which has no colour. Look for the step that "
                "made it: often a division by a std of 0, or a training that diverged.",
            )
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
    line = 1.2 * plt.rcParams["font.size"] / 72  # inches
    height = rows * (cell + line * lines) + 1.3 * line * len(wrapped(heading, width)) + 0.1
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


def caption(ax: Axes, *lines: str, **style: str) -> None:
    """Text above a cell of a grid, broken where it is wider than the cell."""
    width = ax.figure.get_figwidth() / ax.get_gridspec().ncols
    text = "\n".join(textwrap.fill(line, max(6, characters(width))) for line in lines)
    # Whatever font the reader chose, DejaVu Sans lends it signs that it may lack, such as "✗".
    families = [*ax.title.get_fontfamily(), "DejaVu Sans"]
    ax.set_title(text, pad=3, fontsize="medium", fontfamily=families, **style)


def set_heading(figure: Figure, heading: str) -> None:
    if heading:
        lines = wrapped(heading, figure.get_figwidth())
        figure.suptitle("\n".join(lines), fontsize="large")


def wrapped(heading: str, width: float) -> list[str]:
    return textwrap.wrap(heading, int(characters(width) / 1.1))


def characters(width: float) -> int:
    """How many characters of running text are about as wide as ``width`` inches."""
    import matplotlib.pyplot as plt

    return int(width / (0.0091 * plt.rcParams["font.size"]))


def describe_figure(figure: Figure, text: Text) -> None:
    """Let a notebook that shows ``figure`` also say what it shows, for those who do not see it.

    The figure's label is the English text.
    """
    figure.set_label(text.en)
    if "ipykernel.kernelapp" not in sys.modules:
        return

    def display_with_description() -> None:
        from IPython.display import display

        del figure._ipython_display_  # the next line displays the figure in the usual way
        kinds = ("image/png",) if _has_images(figure) else ("image/png", "image/svg+xml")
        display(figure, metadata={kind: {"alt": str(text)} for kind in kinds})
        describe_image(text)

    # matplotlib shows figures at the end of the cell, so that they can be changed until then.
    figure._ipython_display_ = display_with_description
