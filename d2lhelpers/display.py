"""Pictures: images with their labels, curves, confusion matrices, filters and feature maps.

Every function returns a matplotlib figure and leaves it open in pyplot, so that a notebook
shows it at the end of the cell (end the call with ``;`` or it appears twice). Colours are those
of Okabe and Ito, "Color Universal Design" (2008), which readers with a colour vision
deficiency can tell apart; nothing is told by colour alone. Only `use_style` changes global settings
of matplotlib.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import statistics
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
import torch
from torch import Tensor, nn

from .metrics import evaluating

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "is_interactive",
    "plot_confusion",
    "plot_history",
    "run_table",
    "say",
    "show_feature_maps",
    "show_filters",
    "show_images",
    "show_worst",
    "use_style",
    "verdict",
]

_BLUE, _VERMILLION, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_ORANGE, _SKY, _BLACK = "#E69F00", "#56B4E9", "#000000"
_COLOURS = (_BLUE, _VERMILLION, _GREEN, _PURPLE, _ORANGE, _SKY, _BLACK)
_MARKERS = "osD^vPX"

_WIDEST = 9.0  # inches: what fits the column of a notebook
_STYLE = {
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


def _styled(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """Let ``draw`` draw in the course's style, without changing the style of anything else."""

    @functools.wraps(draw)
    def styled(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Figure:
        import matplotlib.pyplot as plt

        # Load the backend first. A notebook's backend changes settings as it loads (it turns
        # interactive mode on), and leaving the context would take them back: no figure would
        # appear any more.
        plt.draw_if_interactive()
        with plt.rc_context(_STYLE):
            figure = draw(*args, **kwargs)
        for ax in figure.axes:  # matplotlib makes ticks later, when the style has gone
            ax.tick_params(labelsize=_STYLE["axes.labelsize"])
        return figure

    return styled


def is_interactive() -> bool:
    """Whether a person is watching, so that a progress bar makes sense.

    True in a notebook of JupyterLab, Google Colab or VS Code, and in a terminal. False under
    papermill, nbconvert and pytest, into a pipe or a file, and wherever the environment
    variable ``D2L_BATCH`` is set to anything.

    A kernel cannot ask who displays its output. But Jupyter Server (2 and later) sets
    ``JPY_SESSION_NAME`` for the kernels of its notebooks, and VS Code passes on its
    ``VSCODE_PID``; a kernel that papermill or nbconvert starts has neither.
    """
    if os.environ.get("D2L_BATCH") or "PYTEST_VERSION" in os.environ:
        return False
    if "google.colab" in sys.modules:
        return True
    if "ipykernel.kernelapp" in sys.modules:
        front_ends = ("JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD")
        in_vs_code = hasattr(sys.modules.get("__main__"), "__vsc_ipynb_file__")
        return in_vs_code or any(name in os.environ for name in front_ends)
    return sys.stderr is not None and sys.stderr.isatty()


def use_style() -> None:
    """Give the notebook's own plots the fonts and colours of this module's figures."""
    import matplotlib.pyplot as plt

    plt.rcParams.update(_STYLE)
    plt.rcParams["axes.prop_cycle"] = plt.cycler(color=_COLOURS)


def say(zh: str, en: str) -> None:
    """Print a computed sentence in both languages, Chinese first.

    In a notebook each language is an output of its own, marked in its metadata with its ``lang``,
    so that an edition in one language can leave the other out.

    >>> say(zh="测试准确率 0.98。", en="Test accuracy 0.98.")
    测试准确率 0.98。
    Test accuracy 0.98.
    """
    if "ipykernel.kernelapp" not in sys.modules:
        print(f"{zh}\n{en}")
        return
    from IPython.display import display

    for lang, text in (("zh", zh), ("en", en)):
        # As Markdown a long sentence is wrapped like the prose around it.
        display({"text/plain": text, "text/markdown": text}, raw=True, metadata={"lang": lang})


def verdict(holds: bool | None, *, zh: str, en: str) -> None:
    """Say whether a claim held in its experiment; None says that this run cannot tell.

    >>> verdict(False, zh="二大于三。", en="Two is more than three.")
    ✗ 不成立：二大于三。
    ✗ Does not hold: Two is more than three.
    """
    mark_zh, mark_en = {
        True: ("✓ 成立", "✓ Holds"),
        False: ("✗ 不成立", "✗ Does not hold"),
        None: ("? 这次运行分不出", "? This run cannot tell"),
    }[holds]
    say(zh=f"{mark_zh}：{zh}", en=f"{mark_en}: {en}")


@_styled
def show_images(
    images: Tensor | np.ndarray,
    labels: Any = None,
    predictions: Any = None,
    *,
    data: Any = None,
    classes: Sequence[str] | None = None,
    mean: Any = None,
    std: Any = None,
    rows: int = 2,
    columns: int = 8,
    title: str | None = None,
) -> Figure:
    """Show images in a grid, in their true colours, with labels or with predictions.

    With both labels and predictions each image carries the predicted class; a mistake has a
    frame and reads "✗ predicted (true)".

    Args:
        images: (N, C, H, W), (N, H, W), or one image (C, H, W) or (H, W), where C is 1 or 3; a
            tensor on any device, or an array. Three axes of which the first is 1 or 3 are one
            image. Either uint8 from 0 to 255; or floating, from 0 to 1; or floating and
            normalised, where ``data`` or ``mean`` and ``std`` say how, which is then undone and
            the result clipped to [0, 1].
        labels: N true classes, as ints (a list, tensor or array) or as strings; or a single one.
        predictions: N predicted classes, in the same forms.
        data: where the images come from: an object with ``mean``, ``std``, ``classes`` and
            ``source``, such as ``load_cifar10()`` returns. The title names its source.
        classes: names of the classes, instead of those of ``data``.
        mean: the mean of each channel, in units of [0, 1] pixels, (C,) or one number,
            instead of that of ``data``.
        std: the standard deviation, likewise.
        rows: the most rows to show. The grid is smaller where there are fewer images; where there
            are more, the title says how many of them are shown.
        columns: the most columns to show.
        title: text above the grid.

    Raises:
        TypeError: ``images`` is neither tensor nor array, or neither uint8 nor floating.
        ValueError: another shape; NaN or infinity; floats outside [0, 1] and no way to undo the
            normalisation; labels that are too few, too many or outside ``classes``.
    """
    mean = getattr(data, "mean", None) if mean is None else mean
    std = getattr(data, "std", None) if std is None else std
    classes = getattr(data, "classes", None) if classes is None else classes
    if rows < 1 or columns < 1:
        raise ValueError(f"rows and columns must be at least 1; got {rows} and {columns}.")
    pixels = _true_colours(_batch(images), mean, std)
    total = len(pixels)
    true = _class_names(labels, classes, total, "labels")
    predicted = _class_names(predictions, classes, total, "predictions")

    count = min(total, rows * columns)
    source = getattr(data, "source", None)
    heading = " — ".join(part for part in (title, source) if part)
    if count < total:
        heading = f"{heading} ({count} of {total})" if heading else f"{count} of {total}"
    lines = 0 if true is predicted is None else 2 if true and predicted else 1
    figure, axes = _grid(count, columns, heading, lines=lines)
    for i, ax in enumerate(axes):
        _draw_image(ax, pixels[i])
        if not predicted:
            _caption(ax, true[i] if true else "")
        elif not true or predicted[i] == true[i]:
            _caption(ax, predicted[i])
        else:
            _caption(ax, f"✗ {predicted[i]}", f"({true[i]})", color=_VERMILLION, weight="bold")
            for spine in ax.spines.values():
                spine.set(visible=True, color=_VERMILLION, linewidth=2.5)
    return figure


def show_worst(scores: Tensor, labels: Tensor, *, data: Any) -> Figure:
    """Show the 16 test images with the largest losses: the most confident mistakes.

    Args:
        scores: class scores (N, K) of the test images, as ``predict`` returns.
        labels: their true classes, int64 (N,).
        data: an ``ImageData`` whose ``test`` yields the images in that order.

    Raises:
        ValueError: there are not as many scores as test images.
    """
    images = data.test.dataset.images
    if len(scores) != len(images):
        raise ValueError(
            f"scores holds {len(scores)} rows for {len(images)} test images; "
            "pass what predict(net, data.test) returns."
        )
    losses = nn.functional.cross_entropy(scores, labels, reduction="none")
    worst = losses.topk(min(16, len(losses))).indices
    return show_images(
        images[worst.to(images.device)],
        labels[worst],
        scores.argmax(dim=1)[worst],
        data=data,
        title="Largest losses on the test set",
    )


def run_table(runs: Mapping[str, Any]) -> str:
    """What each run cost and where it ended, a line for each.

    Training loss and accuracies are those of the last epoch; a run without a test set has a dash.
    Seconds are those of the median epoch.

    Args:
        runs: a dict from a name to a ``History``.

    Raises:
        ValueError: there is no run, or one holds no epoch.
    """
    _check_runs(runs, ("loss", "accuracy"))
    first = max(map(len, runs))
    lines = [
        f"{'':<{first}} parameters  multiply-adds  train loss   train  validation    test  s/epoch"
    ]
    for name, run in runs.items():
        train, validation, test = (
            f"{curve[-1]:.4f}" if curve else "-"
            for curve in (run.train_accuracy, run.validation_accuracy, run.test_accuracy)
        )
        seconds = statistics.median(run.seconds)  # robust against a moment's other work
        lines.append(
            f"{name:<{first}} {run.parameters:>10,} {run.multiply_adds:>14,}"
            f" {run.train_loss[-1]:>11.4f} {train:>7} {validation:>11} {test:>7} {seconds:>8.1f}"
        )
    return "\n".join(lines)


@_styled
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
    _check_runs(runs, metrics)
    if title is None and len(runs) == 1:
        title = next(iter(runs.values())).name
    sources = dict.fromkeys(run.source for run in runs.values())
    heading = " — ".join(part for part in (title, ", ".join(sources)) if part)
    labels = {"loss": "mean loss (nats)", "accuracy": "accuracy (fraction)"}

    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    width = min(_WIDEST, 4.2 * len(metrics) + 0.6)
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
    _set_heading(figure, heading)
    figure.legend(
        handles=legend,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handlelength=3,
    )
    return figure


@_styled
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
        1, 2, figsize=(_WIDEST, 3.3 + 0.2 * rows), sharey=True, layout="constrained"
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
    _set_heading(figure, f"{title} — {', '.join(sources)}")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


@_styled
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
    counts = _array(matrix, "matrix")
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
    width = min(_WIDEST, max(4.0, side + 2.2))
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
    _set_heading(figure, f"{heading} — {source}" if source else heading)
    return figure


@_styled
def show_filters(layer_or_weight: nn.Module | Tensor, *, title: str | None = None) -> Figure:
    """Show the filters of a first convolution as small pictures.

    Filters for 3 channels are shown in colour, each divided by its own largest weight: 0 is mid
    grey, and the three channels of a filter keep their proportions. Filters for 1 channel
    share one scale from blue (negative) to red (positive), with a colour bar.

    Args:
        layer_or_weight: a convolution, or its weight (N, C, H, W) with C = 1 or 3.
        title: text above the filters.

    Raises:
        TypeError: no weight to be found.
        ValueError: the weight has another shape, or NaN or infinity in it.
    """
    weight = layer_or_weight
    if isinstance(weight, nn.Module):
        weight = getattr(weight, "weight", None)
        if weight is None:
            raise TypeError(
                f"{type(layer_or_weight).__name__} has no weight. Pass the network's first "
                "convolution, or its weight."
            )
    weight = _array(weight, "layer_or_weight").astype(np.float32)
    if weight.ndim != 4 or weight.shape[1] not in (1, 3) or weight.size == 0:
        raise ValueError(
            f"Filters can be shown as pictures if they take 1 or 3 channels: the weight must be "
            f"(N, 1, H, W) or (N, 3, H, W); got {weight.shape}. Pass the network's first "
            "convolution; for deeper layers see show_feature_maps."
        )
    _check_finite(weight, "The weight")
    number, channels, height, width = weight.shape
    heading = title or f"{number} filters of {height}×{width} weights, {channels} channel" + (
        "s, each on its own scale" if channels == 3 else ""
    )
    # Full rows where a number of columns from 6 to 12 gives them.
    columns = next((n for n in range(min(12, number), 5, -1) if number % n == 0), 12)
    figure, axes = _grid(number, columns, heading, bar=channels == 1)
    if channels == 3:
        largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
        colours = 0.5 + weight / (2 * np.where(largest > 0, largest, 1))
        for ax, picture in zip(axes, colours, strict=True):
            _draw_image(ax, picture)
    else:
        _draw_maps(figure, axes, weight[:, 0], "weight", signed=True)
    return figure


@_styled
def show_feature_maps(
    net: nn.Module,
    image: Tensor,
    layer: nn.Module | str | int,
    *,
    count: int = 16,
    title: str | None = None,
) -> Figure:
    """Show what a layer makes of one image: its output, channel by channel, on one scale.

    The network runs in eval mode and without gradients, and is left as it was found.

    Args:
        net: the network.
        image: one image (C, H, W) as the network expects it (normalised), on any device.
        layer: the layer itself, its name ("features.3"), or its place among the network's
            direct children (0 is the first, -1 the last).
        count: the most channels to show, from the first on.
        title: text above the maps.

    Raises:
        TypeError: ``image`` is not a tensor, or ``layer`` none of the above.
        ValueError: ``image`` has another shape; ``layer`` is not in the network, is not reached, or
            its output is not a stack of maps (1, channels, H, W).
    """
    if not isinstance(image, Tensor):
        raise TypeError(f"image must be a torch.Tensor, not {type(image).__name__}.")
    if image.dim() != 3:
        raise ValueError(
            f"image must be one image (C, H, W); got {tuple(image.shape)}. "
            "Take one of a batch with X[0]."
        )
    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}.")
    name, module = _find_layer(net, layer)
    maps = _output_of(net, module, image, name)
    channels = len(maps)
    count = min(count, channels)
    kind = type(module).__name__
    heading = title or f"Feature maps of layer {name} ({kind})"
    if count < channels:
        heading += f": {count} of {channels} channels"
    figure, axes = _grid(count, columns=8, heading=heading, lines=1, bar=True)
    maps = maps[:count]
    _draw_maps(figure, axes, maps, "activation", signed=bool(maps.min() < 0))
    for i, ax in enumerate(axes):
        _caption(ax, f"channel {i}")
    return figure


# --- images -----------------------------------------------------------------------------------

_EXPECTED = "Expected (N, C, H, W), (N, H, W), (C, H, W) or (H, W) with 1 or 3 channels"


def _array(value: Any, name: str) -> np.ndarray:
    """A tensor on any device, with gradients or without, or an array, as an array."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.float() if value.is_floating_point() else value).numpy()
    if isinstance(value, np.ndarray):
        return value
    raise TypeError(f"{name} must be a tensor or an array, not {type(value).__name__}.")


def _batch(images: Tensor | np.ndarray) -> np.ndarray:
    """Images of any accepted shape as (N, C, H, W)."""
    pixels = _array(images, "images")
    shape = pixels.shape
    if pixels.ndim in (3, 4) and shape[-3] not in (1, 3) and shape[-1] in (1, 3):
        order = (0, 3, 1, 2) if pixels.ndim == 4 else (2, 0, 1)
        call = "permute" if isinstance(images, Tensor) else "transpose"
        raise ValueError(
            f"images has shape {shape}, which looks like channels last. {_EXPECTED}: "
            f"use images.{call}{order}."
        )
    if pixels.ndim == 2:
        pixels = pixels[None, None]
    elif pixels.ndim == 3:
        pixels = pixels[None] if shape[0] in (1, 3) else pixels[:, None]
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or pixels.size == 0:
        raise ValueError(f"images has shape {shape}. {_EXPECTED}, at least one image.")
    return pixels


def _true_colours(pixels: np.ndarray, mean: Any, std: Any) -> np.ndarray:
    """Pixels (N, C, H, W) as float32 in [0, 1], any normalisation undone."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / 255
    if not np.issubdtype(pixels.dtype, np.floating):
        raise TypeError(
            f"images must be uint8 (0 to 255) or floating; got {pixels.dtype}. Use "
            "images.to(torch.uint8) (for arrays: images.astype('uint8')) if they hold 0 to 255."
        )
    pixels = pixels.astype(np.float32)
    _check_finite(pixels, "images")
    if (mean is None) != (std is None):
        raise ValueError("mean and std belong together: pass both or neither, or pass data=.")
    if mean is not None:
        return np.clip(pixels * _channel(std, pixels, "std") + _channel(mean, pixels, "mean"), 0, 1)
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 1:
        raise ValueError(
            f"images holds floats from {low:.3g} to {high:.3g}, but pixels lie in [0, 1]. If the "
            "images are normalised, pass data= (what load_mnist or load_cifar10 returned) or "
            "mean= and std=, and they are shown in their true colours; if they hold 0 to 255, "
            "pass uint8."
        )
    return pixels


def _channel(value: Any, pixels: np.ndarray, name: str) -> np.ndarray:
    """One number a channel, ready to be broadcast against (N, C, H, W)."""
    value = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value, np.float32)
    channels = pixels.shape[1]
    if value.size not in (1, channels) or value.ndim > 1:
        raise ValueError(
            f"{name} must hold one number, or one for each of the {channels} channels; "
            f"got shape {value.shape}."
        )
    return value.reshape(-1, 1, 1)


def _check_finite(values: np.ndarray, name: str) -> None:
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} holds NaN or infinity, which has no colour. Look for the step that made it: "
            "often a division by a std of 0, or a training that diverged."
        )


def _class_names(
    values: Any, classes: Sequence[str] | None, count: int, name: str
) -> list[str] | None:
    """Class names of ints or strings; None where there are none."""
    if values is None:
        return None
    if isinstance(values, Tensor | np.ndarray):
        if values.ndim > 1:
            raise ValueError(
                f"{name} must be one class per image, shape (N,); got {tuple(values.shape)}. "
                "For class scores (N, C) pass scores.argmax(1)."
            )
        values = values.tolist()
    if isinstance(values, str) or not isinstance(values, Iterable):
        values = [values]
    values = list(values)
    if len(values) != count:
        raise ValueError(f"{name} holds {len(values)} classes for {count} images.")
    return [_class_name(value, classes, name) for value in values]


def _class_name(value: Any, classes: Sequence[str] | None, name: str) -> str:
    if isinstance(value, str):
        return value
    try:
        index = value.__index__()  # ints, numpy's ints and integer tensors of one element
    except (AttributeError, TypeError):
        raise TypeError(f"{name} must hold ints or strings; got {value!r}.") from None
    if classes is None:
        return str(index)
    if not 0 <= index < len(classes):
        raise ValueError(f"{name} holds {index}, but there are {len(classes)} classes.")
    return str(classes[index])


def _grid(
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
    cell = min(max(usual, 4.5 / columns), 2.2, (_WIDEST - margin) / columns)
    width = columns * cell + margin
    height = rows * (cell + 0.15 * lines) + 0.2 * len(_wrapped(heading, width)) + 0.1
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
    _set_heading(figure, heading)
    return figure, list(axes.flat[:count])


def _set_heading(figure: Figure, heading: str) -> None:
    if heading:
        figure.suptitle("\n".join(_wrapped(heading, figure.get_figwidth())))


def _wrapped(heading: str, width: float) -> list[str]:
    return textwrap.wrap(heading, int(width / 0.09))  # inches a character, at 11 points


def _draw_image(ax: Axes, picture: np.ndarray) -> None:
    """Draw one picture (C, H, W) in [0, 1], grey where C is 1."""
    if len(picture) == 1:
        ax.imshow(picture[0], cmap="gray", vmin=0, vmax=1)
    else:
        ax.imshow(picture.transpose(1, 2, 0))


def _caption(ax: Axes, *lines: str, **style: Any) -> None:
    """Text above a cell, broken where it is wider than the cell."""
    characters = max(6, int(ax.figure.get_figwidth() / ax.get_gridspec().ncols / 0.085))
    text = "\n".join(textwrap.fill(line, characters) for line in lines)
    ax.set_title(text, pad=3, **style)


def _draw_maps(
    figure: Figure, axes: list[Axes], maps: np.ndarray, label: str, signed: bool
) -> None:
    """Draw maps (N, H, W) on one colour scale with a colour bar.

    The scale starts at 0; a ``signed`` one is symmetric about 0, which is its palest colour.
    """
    limit = float(np.abs(maps).max()) or 1.0
    low, cmap = (-limit, "RdBu_r") if signed else (0, "viridis")
    for ax, picture in zip(axes, maps, strict=True):
        drawn = ax.imshow(picture, cmap=cmap, vmin=low, vmax=limit)
    rows = axes[0].get_gridspec().nrows
    figure.colorbar(drawn, ax=axes, label=label, aspect=min(12 * rows, 30), pad=0.01)


# --- curves and matrices ----------------------------------------------------------------------


def _check_runs(runs: Mapping[str, Any], metrics: Sequence[str]) -> None:
    unknown = [metric for metric in metrics if metric not in ("loss", "accuracy")]
    if isinstance(metrics, str) or unknown or not metrics:
        raise ValueError(f'metrics must be of ("loss", "accuracy"); got {metrics!r}.')
    if not runs:
        raise ValueError("There is no history in the dict: it is empty; expected at least one.")
    for name, run in runs.items():
        if not hasattr(run, "train_loss"):
            raise TypeError(
                "Expected a History, as train returns, or a dict from a name to a History; "
                f"got a {type(run).__name__}."
            )
        if len(run.train_loss) == 0:
            raise ValueError(f"The history {name or run.name!r} holds no epoch yet: train first.")
        for value in itertools.chain.from_iterable(_curves(run, "accuracy").values()):
            if value < 0 or value > 1:
                raise ValueError(
                    f"The history {name or run.name!r} holds an accuracy of {value}; accuracies "
                    "are fractions from 0 to 1, not percentages."
                )


# The parts of a run, and how each is drawn: different in line as well as in marker.
_HELD_OUT = {"linestyle": "--", "markerfacecolor": "white"}
_PARTS = {"train": {"linestyle": "-"}, "validation": _HELD_OUT, "test": _HELD_OUT}
_ONCE = {"marker": "*", "markersize": 13, "linestyle": "none", "markeredgecolor": "white"}


def _style_of(i: int) -> dict[str, Any]:
    """Colour and marker of run ``i``: the first seven differ in both, 49 in the pair."""
    marker = _MARKERS[(i + i // len(_COLOURS)) % len(_MARKERS)]
    return {"color": _COLOURS[i % len(_COLOURS)], "marker": marker, "markersize": 4}


def _curves(run: Any, metric: str) -> dict[str, list[float]]:
    """What there is to draw, by name; a single value is called "..., once at the end"."""
    curves = {}
    for part in _PARTS:
        values = getattr(run, f"{part}_{metric}", [])
        # With a validation set, the test set is used once, even if there is only one epoch.
        is_once = len(values) < len(run.train_loss) or (part == "test" and "validation" in curves)
        if values:
            curves[f"{part}, once at the end" if is_once else part] = values
    return curves


def _draw_run(ax: Axes, metric: str, run: Any, i: int) -> None:
    epochs = len(run.train_loss)
    for name, values in _curves(run, metric).items():
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
    for name in dict.fromkeys(name for run in runs.values() for name in _curves(run, metric)):
        lines.append(Line2D([], [], label=name, **neutral | _PARTS.get(name, _ONCE)))
    return lines


def _readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever contrasts more (WCAG 2's relative luminance)."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in colour[:3]
    )
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "white"


# --- layers -----------------------------------------------------------------------------------


def _find_layer(net: nn.Module, layer: nn.Module | str | int) -> tuple[str, nn.Module]:
    """The name of a layer within ``net``, and the layer."""
    layers = dict(net.named_modules(remove_duplicate=False))
    if isinstance(layer, str):
        if layer not in layers:
            known = ", ".join(name for name in layers if name)
            raise ValueError(f"The network has no layer named {layer!r}. It has: {known}.")
        return layer, layers[layer]
    if isinstance(layer, int):
        children = list(net.children())
        if not -len(children) <= layer < len(children):
            raise ValueError(f"The network has {len(children)} direct children; got {layer}.")
        layer = children[layer]
    if not isinstance(layer, nn.Module):
        raise TypeError(f"layer must be a module, a name or an int, not {type(layer).__name__}.")
    for name, module in layers.items():
        if module is layer:
            return name or "(the whole network)", module
    raise ValueError(f"This {type(layer).__name__} is not a layer of the network.")


def _output_of(net: nn.Module, module: nn.Module, image: Tensor, name: str) -> np.ndarray:
    """The maps (channels, H, W) that ``module`` puts out while ``net`` sees ``image``."""
    outputs = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        # A copy: a ReLU with inplace=True would overwrite the layer's output a moment later.
        outputs.append(output.detach().clone() if isinstance(output, Tensor) else output)

    weight = next(net.parameters(), image)
    handle = module.register_forward_hook(keep)
    try:
        with evaluating(net), torch.no_grad():
            net(image[None].to(weight.device, weight.dtype))
    finally:
        handle.remove()
    if not outputs:
        raise ValueError(f"The network did not use layer {name} for this image.")
    output = outputs[-1]
    if not isinstance(output, Tensor) or output.dim() != 4:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"Layer {name} does not put out maps (1, channels, H, W) but {shape}. "
            "Choose a convolution, a pooling or an activation before the network is flattened."
        )
    maps = _array(output[0], "output")
    _check_finite(maps, f"The output of layer {name}")
    return maps
