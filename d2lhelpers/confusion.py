"""A confusion matrix as a chart.

What is drawn stays open in pyplot, so that a notebook shows it at the end of the cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ._style import WIDEST, as_array, describe_figure, set_heading
from .say import Text

__all__ = ["plot_confusion"]


def plot_confusion(
    matrix: Tensor | np.ndarray,
    classes: Sequence[str],
    *,
    title: str | None = None,
    source: str | None = None,
) -> None:
    """Draw a confusion matrix: counts as numbers, the share of each true class as colour.

    Right answers, on the diagonal, have no colour, so that the mistakes have the whole scale.

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
            Text(
                zh=f"matrix 应是方阵，{size} 个类别各占一行，得到的形状是 {counts.shape}。",
                en=f"matrix must be square with a row for each of the {size} classes; got shape "
                f"{counts.shape}.",
            )
        )
    if not np.issubdtype(counts.dtype, np.integer) or counts.min() < 0:
        raise ValueError(
            Text(
                zh=f"matrix 应是个数，也就是不小于 0 的整数；得到的是 {counts.dtype}，"
                f"最小值 {counts.min()}。",
                en="matrix must hold counts: integers, none of them negative; got "
                f"{counts.dtype} with a smallest value of {counts.min()}.",
            )
        )
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mistakes = np.ma.masked_where(np.eye(size, dtype=bool), share)
    largest = mistakes.max() if size > 1 else 0

    import matplotlib.pyplot as plt

    side = 0.12 * max(map(len, classes)) + 0.11 * len(str(counts.max())) * size
    width = min(WIDEST, max(4.0, side + 2.2))
    figure, ax = plt.subplots(figsize=(width, width * 0.9), layout="constrained")
    colours = plt.get_cmap("Blues").with_extremes(bad="white")
    drawn = ax.imshow(mistakes, cmap=colours, vmin=0, vmax=largest or 1, interpolation="nearest")
    for (i, j), count in np.ndenumerate(counts):
        colour = "black" if i == j else _readable_on(drawn.cmap(drawn.norm(share[i, j])))
        weight = "bold" if i == j else "normal"
        ax.text(j, i, str(count), ha="center", va="center", color=colour, weight=weight)
    ax.set_xticks(range(size), classes, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(size), classes)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    figure.colorbar(drawn, label="mistakes, share of the true class (fraction)", shrink=0.8)
    heading = title or "Confusion matrix (number of images)"
    heading = f"{heading} — {source}" if source else heading
    set_heading(figure, heading)
    wrong = np.where(np.eye(size, dtype=bool), 0, counts)
    worst = [divmod(int(k), size) for k in wrong.ravel().argsort(kind="stable")[::-1][:3]]
    worst = [(classes[i], classes[j], wrong[i, j]) for i, j in worst if wrong[i, j]]
    right, total = np.trace(counts), counts.sum()
    describe_figure(
        figure,
        Text(
            zh=f"{heading}：{total:,} 张图像里认对 {right:,} 张"
            + "".join(f"；{a} 认成 {b} 有 {n:,} 次" for a, b, n in worst)
            + "。",
            en=f"{heading}: {right:,} of {total:,} images are right"
            + "".join(f"; {a} taken for {b} {n:,} times" for a, b, n in worst)
            + ".",
        ),
    )


def _readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever contrasts more (WCAG 2's relative luminance)."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in colour[:3]
    )
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "white"
