"""Charts of training runs: their curves, and what they cost against how good they are.

What is drawn stays open in pyplot, so that a notebook shows it at the end of the cell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ._style import COLOURS, MARKERS, WIDEST, describe_figure, set_heading
from .history import History, check_runs, curves_of
from .results import deviation, lists_of_runs, mean_accuracy, mean_text, median_seconds
from .say import Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.lines import Line2D

__all__ = ["plot_history", "plot_spreads"]

METRICS = {"loss": "mean loss (nats)", "accuracy": "accuracy (fraction)"}


def plot_history(histories: History | Mapping[str, History], *, title: str | None = None) -> None:
    """Plot loss and accuracy against the epoch, one colour and one marker for each run.

    Solid lines are training, dashed ones the set that was evaluated after every epoch:
    validation where there is one, else test. A test set that was used once, at the end, is a
    large marker in the last epoch. A run that diverged ends in a ×, where its curve was last
    finite. Losses that span a wide range have a logarithmic axis.

    Args:
        histories: a ``History`` as ``train`` returns, or a dict from a name to a ``History``.
        title: text above the panels. Left out, it is the run's own name where there is one run.
            The data source of the runs follows it.

    Raises:
        TypeError: something in ``histories`` is not a ``History``.
        ValueError: nothing to plot, an accuracy outside [0, 1], a run without curves.
    """
    runs = dict(histories) if isinstance(histories, Mapping) else {"": histories}
    check_runs(runs)
    for run in runs.values():
        if not run.train_loss:
            raise ValueError(
                Text(
                    zh=f"{run.name!r} 没有曲线：results.csv 只存训练最后的结果。"
                    "用 table 或 plot_spreads，或者重新训练。",
                    en=f"{run.name!r} has no curves: results.csv keeps what a run ended with. Use "
                    "table or plot_spreads, or train anew.",
                )
            )
    if title is None and len(runs) == 1:
        chapter, slash, name = next(iter(runs.values())).name.partition("/")
        title = name.replace("/", ", ") if slash else chapter
    sources = dict.fromkeys(run.source for run in runs.values())
    heading = " — ".join(part for part in (title, ", ".join(sources)) if part)

    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    width = min(WIDEST, 4.2 * len(METRICS) + 0.6)
    legend = _legend_of(runs)
    longest = max(len(line.get_label()) for line in legend)
    columns = max(1, min(len(legend), int(width / (0.75 + 0.075 * longest))))
    height = 3.3 + 0.2 * math.ceil(len(legend) / columns)
    epochs = max(len(run.train_loss) for run in runs.values())
    figure, axes = plt.subplots(1, len(METRICS), figsize=(width, height), layout="constrained")
    for (metric, label), ax in zip(METRICS.items(), axes, strict=True):
        for i, run in enumerate(runs.values()):
            _draw_run(ax, metric, run, i)
        ax.set(title=metric, xlabel="epoch", ylabel=label, xlim=(0.5, epochs + 0.5))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.grid(alpha=0.3)
    loss, accuracy = axes
    _fit_losses(loss)
    low, high = accuracy.get_ylim()
    accuracy.set_ylim(max(low, -0.02), min(high, 1.02))  # room for a marker at the end
    set_heading(figure, heading)
    figure.legend(
        handles=legend,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handlelength=3,
    )
    describe_figure(figure, _description_of(runs, heading))


def plot_spreads(networks: Mapping[str, History | Sequence[History]], *, title: str) -> None:
    """Plot test accuracy against multiply-adds and against training time, a mark a network.

    The bars are one standard deviation over the seeds, each way; one seed has none. A network of
    which a run diverged has no accuracy: it is a × at the foot of the panels.

    Args:
        networks: a dict from a name to a run, as ``train`` or ``read_results`` give it, or to a
            list of them, one a seed.
        title: text above the panels. The data source of the runs follows it.

    Raises:
        TypeError: it is no dict, or something in it is not a run.
        ValueError: there is no run, or one holds no epoch or no test accuracy.
    """
    networks = lists_of_runs(networks)
    import matplotlib.pyplot as plt

    rows = math.ceil(len(networks) / 4)
    figure, axes = plt.subplots(
        1, 2, figsize=(WIDEST, 3.3 + 0.2 * rows), sharey=True, layout="constrained"
    )
    zh, en = [], []
    for i, (name, runs) in enumerate(networks.items()):
        work, seconds = runs[0].multiply_adds, median_seconds(runs)
        mean, error = mean_accuracy(runs), deviation(runs)
        diverged = not math.isfinite(mean)
        label = f"{name} (diverged)" if diverged else name
        style = _style_of(i) | {"linestyle": "none", "label": label}
        for ax, x in zip(axes, (work, seconds), strict=True):
            if diverged:
                foot = ax.get_xaxis_transform()  # x as data, y as a fraction of the panel
                ax.plot(x, 0.03, **style | _CROSS, transform=foot)
            else:
                ax.errorbar(x, mean, error, **style | {"markersize": 6, "capsize": 4})
        accuracy = mean_text(mean, error)
        zh.append(
            f"{name}：{work:,} 次乘加，{seconds:.0f} 秒，"
            + ("发散" if diverged else f"测试准确率 {accuracy}")
        )
        en.append(
            f"{name}: {work:,} multiply-adds, {seconds:.0f} s, "
            + ("diverged" if diverged else f"test accuracy {accuracy}")
        )
    axes[0].set(xlabel="multiply-adds an image", ylabel="test accuracy (fraction)")
    axes[1].set(xlabel="training time (s)")
    for ax in axes:
        ax.set_xscale("log")
        _plain_ticks(ax.xaxis)
        ax.grid(alpha=0.3)
    sources = dict.fromkeys(run.source for runs in networks.values() for run in runs)
    heading = f"{title} — {', '.join(sources)}"
    set_heading(figure, heading)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    describe_figure(
        figure, Text(zh=f"{heading}。{'；'.join(zh)}。", en=f"{heading}. {'; '.join(en)}.")
    )


# --- what they share --------------------------------------------------------------------------


def _style_of(i: int) -> dict[str, str | int]:
    """Colour and marker of run ``i``: the first seven differ in both, 49 in the pair."""
    marker = MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]
    return {"color": COLOURS[i % len(COLOURS)], "marker": marker, "markersize": 4}


# The parts of a run, and how each is drawn: different in line as well as in marker.
_HELD_OUT = {"linestyle": "--", "markerfacecolor": "white"}
_PARTS = {"train": {"linestyle": "-"}, "validation": _HELD_OUT, "test": _HELD_OUT}
_ONCE = {"marker": "*", "markersize": 13, "linestyle": "none", "markeredgecolor": "white"}
_CROSS = {"marker": "x", "markersize": 10, "markeredgewidth": 2.5, "linestyle": "none"}


def _draw_run(ax: Axes, metric: str, run: History, i: int) -> None:
    epochs = len(run.train_loss)
    for name, values in curves_of(run, metric).items():
        if name in _PARTS:
            style = _style_of(i) | _PARTS[name] | {"markevery": math.ceil(epochs / 20)}
            ax.plot(range(1, epochs + 1), values, **style)
            finite = np.flatnonzero(np.isfinite(values))
            if len(finite) and finite[-1] < epochs - 1:
                last = finite[-1]
                ax.plot(last + 1, values[last], **_style_of(i) | _CROSS, zorder=3)
        elif math.isfinite(values[-1]):
            ax.plot(epochs, values[-1], **_style_of(i) | _ONCE)


def _fit_losses(ax: Axes) -> None:
    """Leave the many ordinary losses room beside a few very large ones, in the panel ``ax``."""
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in ax.lines])
    finite = drawn[np.isfinite(drawn)]
    if not len(finite) or finite.min() <= 0 or finite.max() <= 10 * np.median(finite):
        return
    highest = min(finite.max(), 1000 * np.median(finite))
    ax.set(yscale="log", ylim=(0.8 * finite.min(), 1.25 * highest))
    _plain_ticks(ax.yaxis)
    for line in ax.lines:
        if line.get_marker() == _CROSS["marker"]:
            line.set_ydata(np.minimum(line.get_ydata(), highest))


def _plain_ticks(axis: Axis) -> None:
    """Ticks at 1, 2, 5, 10, 20, ..., as numbers such as 0.05, 200 or 10 M."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axis.set_major_formatter(EngFormatter() if high >= 10_000 else "{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _legend_of(runs: Mapping[str, History]) -> list[Line2D]:
    """A line for each run, where there are several, then one for each way of drawing."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], label=name, **_style_of(i)) for i, name in enumerate(runs) if name]
    neutral = _style_of(0) | ({"color": "0.3", "marker": None} if lines else {})
    for name in dict.fromkeys(name for run in runs.values() for name in curves_of(run, "loss")):
        lines.append(Line2D([], [], label=name, **neutral | _PARTS.get(name, _ONCE)))
    for i, (name, run) in enumerate(runs.items()):
        if run.diverged:
            label = f"{name} diverged in epoch {len(run.train_loss)}".strip()
            lines.append(Line2D([], [], label=label, **_style_of(i) | _CROSS))
    return lines


def _description_of(runs: Mapping[str, History], heading: str) -> Text:
    """Where each curve starts and ends, for those who do not see it."""
    said = [_description_of_one(name, run) for name, run in runs.items()]
    zh, en = "".join(text.zh for text in said), " ".join(text.en for text in said)
    return Text(zh=f"{heading}。{zh}", en=f"{heading}. {en}")


def _description_of_one(name: str, run: History) -> Text:
    epochs = len(run.train_loss)
    zh, en = [f"{epochs} 轮"], [f"{epochs} epoch{'s' if epochs > 1 else ''}"]
    for metric, zh_metric in {"loss": "损失", "accuracy": "准确率"}.items():
        for curve, values in curves_of(run, metric).items():
            part = curve.partition(",")[0]
            finite = [f"{value:.3g}" for value in values if math.isfinite(value)]
            if finite:
                zh.append(
                    f"{_ZH[part]}{zh_metric} " + " 变成 ".join(finite[:: len(finite) - 1 or 1])
                )
                en.append(f"{part} {metric} " + " to ".join(finite[:: len(finite) - 1 or 1]))
    if run.diverged:
        zh.append(f"第 {epochs} 轮发散")
        en.append(f"diverged in epoch {epochs}")
    zh_name, en_name = (f"{name}：", f"{name}: ") if name else ("", "")
    return Text(zh=f"{zh_name}{'，'.join(zh)}。", en=f"{en_name}{', '.join(en)}.")


_ZH = {"train": "训练", "validation": "验证", "test": "测试"}
