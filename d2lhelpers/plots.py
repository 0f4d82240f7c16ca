"""Charts: curves of training, spreads over seeds, confusion matrices.

Every function returns a matplotlib figure and leaves it open in pyplot, so that a notebook
shows it at the end of the cell (end the call with ``;`` or it appears twice).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ._style import COLOURS, MARKERS, WIDEST, as_array, set_heading, styled
from .history import check_runs, curves_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_confusion", "plot_history", "plot_spreads"]


@styled
def plot_history(
    histories: Any,
    *,
    title: str | None = None,
    metrics: Sequence[str] = ("loss", "accuracy"),
) -> Figure:
    """Plot loss and accuracy against the epoch, one colour and one marker for each run.

    Solid lines are training, dashed ones the set that was evaluated after every epoch:
    validation where there is one, else test. A test set that was used once, at the end, is a
    large marker in the last epoch.

    Args:
        histories: a ``History`` as ``train`` returns, or a dict from a name to a ``History``.
        title: text above the panels. Left out, it is the run's own name where there is one run.
            The data source of the runs follows it.
        metrics: the panels to draw, of "loss" and "accuracy".

    Raises:
        TypeError: something in ``histories`` is not a ``History``.
        ValueError: nothing to plot, an unknown metric, an accuracy outside [0, 1].
    """
    runs = dict(histories) if isinstance(histories, Mapping) else {"": histories}
    check_runs(runs, metrics)
    if title is None and len(runs) == 1:
        title = next(iter(runs.values())).name
    sources = dict.fromkeys(run.source for run in runs.values())
    heading = " — ".join(part for part in (title, ", ".join(sources)) if part)
    labels = {"loss": "mean loss (nats)", "accuracy": "accuracy (fraction)"}

    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    width = min(WIDEST, 4.2 * len(metrics) + 0.6)
    legend = _legend_of(runs, metrics[0])
    longest = max(len(line.get_label()) for line in legend)
    columns = max(1, min(len(legend), int(width / (0.75 + 0.075 * longest))))
    height = 3.3 + 0.2 * math.ceil(len(legend) / columns)
    epochs = max(len(run.train_loss) for run in runs.values())
    figure, axes = plt.subplots(
        1, len(metrics), figsize=(width, height), layout="constrained", squeeze=False
    )
    for metric, ax in zip(metrics, axes[0], strict=True):
        for i, run in enumerate(runs.values()):
            _draw_run(ax, metric, run, i)
        ax.set(title=metric, xlabel="epoch", ylabel=labels[metric], xlim=(0.5, epochs + 0.5))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.grid(alpha=0.3)
        if metric == "accuracy":
            low, high = ax.get_ylim()
            ax.set_ylim(max(low, -0.02), min(high, 1.02))  # room for a marker at the end
    set_heading(figure, heading)
    figure.legend(
        handles=legend,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handlelength=3,
    )
    return figure


@styled
def plot_spreads(networks: Mapping[str, Any], *, title: str) -> Figure:
    """Plot test accuracy against multiply-adds and against training time, a mark a network.

    The bars are one standard deviation over the seeds, each way; one seed has none.

    Args:
        networks: a dict from a name to what ``results.spreads`` or ``over_seeds`` returns.
        title: text above the panels. The data source of the runs follows it.

    Raises:
        ValueError: nothing to plot.
    """
    if not networks:
        raise ValueError("there is no network to plot; pass a dict from a name to a Spread.")
    import matplotlib.pyplot as plt

    rows = math.ceil(len(networks) / 4)
    figure, axes = plt.subplots(
        1, 2, figsize=(WIDEST, 3.3 + 0.2 * rows), sharey=True, layout="constrained"
    )
    for i, (name, spread) in enumerate(networks.items()):
        style = _style_of(i) | {"linestyle": "none", "markersize": 6, "capsize": 4, "label": name}
        error = spread.deviation if len(spread.rows) > 1 else None
        for ax, x in zip(axes, (spread.rows[0]["multiply_adds"], spread.seconds), strict=True):
            ax.errorbar(x, spread.mean, error, **style)
    axes[0].set(xlabel="multiply-adds an image", ylabel="test accuracy (fraction)", xscale="log")
    axes[1].set(xlabel="training time (s)", xscale="log")
    for ax in axes:
        ax.grid(alpha=0.3)
    sources = dict.fromkeys(
        row["data_source"] for spread in networks.values() for row in spread.rows
    )
    set_heading(figure, f"{title} — {', '.join(sources)}")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


@styled
def plot_confusion(
    matrix: Tensor | np.ndarray,
    classes: Sequence[str],
    *,
    title: str | None = None,
    source: str | None = None,
) -> Figure:
    """Draw a confusion matrix: counts as numbers, the share of each true class as colour.

    Args:
        matrix: counts (C, C), true class by row and predicted class by column, as
            ``confusion_matrix`` returns.
        classes: the C class names.
        title: text above the matrix.
        source: the data that the counts come from, for the title.

    Raises:
        ValueError: the matrix is not square, not of the size of ``classes``, or holds something
            other than counts.
    """
    counts = as_array(matrix, "matrix")
    size = len(classes)
    if counts.shape != (size, size) or size == 0:
        raise ValueError(
            f"matrix must be square with a row for each of the {size} classes; "
            f"got shape {counts.shape}."
        )
    if not np.issubdtype(counts.dtype, np.integer) or counts.min() < 0:
        raise ValueError(
            "matrix must hold counts: integers, none of them negative; "
            f"got {counts.dtype} with a smallest value of {counts.min()}."
        )
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    import matplotlib.pyplot as plt

    side = 0.12 * max(map(len, classes)) + 0.11 * len(str(counts.max())) * size
    width = min(WIDEST, max(4.0, side + 2.2))
    figure, ax = plt.subplots(figsize=(width, width * 0.9), layout="constrained")
    drawn = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        colour = _readable_on(drawn.cmap(share[i, j]))
        ax.text(j, i, str(count), ha="center", va="center", color=colour)
    ax.set_xticks(range(size), classes, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(size), classes)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    figure.colorbar(drawn, label="share of the true class (fraction)", shrink=0.8)
    heading = title or "Confusion matrix (number of images)"
    set_heading(figure, f"{heading} — {source}" if source else heading)
    return figure


# --- curves and matrices ----------------------------------------------------------------------


def _style_of(i: int) -> dict[str, Any]:
    """Colour and marker of run ``i``: the first seven differ in both, 49 in the pair."""
    marker = MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]
    return {"color": COLOURS[i % len(COLOURS)], "marker": marker, "markersize": 4}


# The parts of a run, and how each is drawn: different in line as well as in marker.
_HELD_OUT = {"linestyle": "--", "markerfacecolor": "white"}
_PARTS = {"train": {"linestyle": "-"}, "validation": _HELD_OUT, "test": _HELD_OUT}
_ONCE = {"marker": "*", "markersize": 13, "linestyle": "none", "markeredgecolor": "white"}


def _draw_run(ax: Axes, metric: str, run: Any, i: int) -> None:
    epochs = len(run.train_loss)
    for name, values in curves_of(run, metric).items():
        if name in _PARTS:
            style = _style_of(i) | _PARTS[name] | {"markevery": math.ceil(epochs / 20)}
            ax.plot(range(1, epochs + 1), values, **style)
        else:
            ax.plot(epochs, values[-1], **_style_of(i) | _ONCE)


def _legend_of(runs: Mapping[str, Any], metric: str) -> list[Any]:
    """A line for each run, where there are several, then one for each way of drawing."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], label=name, **_style_of(i)) for i, name in enumerate(runs) if name]
    neutral = _style_of(0) | ({"color": "0.3", "marker": None} if lines else {})
    for name in dict.fromkeys(name for run in runs.values() for name in curves_of(run, metric)):
        lines.append(Line2D([], [], label=name, **neutral | _PARTS.get(name, _ONCE)))
    return lines


def _readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever contrasts more (WCAG 2's relative luminance)."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in colour[:3]
    )
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "white"
