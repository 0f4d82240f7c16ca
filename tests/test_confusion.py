"""What the chart of a confusion matrix holds."""

import matplotlib
import numpy as np
import pytest
import torch
from figures import CLASSES, assert_is_tidy, drawn, heading

import d2lhelpers as d2l

plot_confusion = drawn(d2l.plot_confusion)


pytestmark = pytest.mark.usefixtures("no_figure_is_left")


@pytest.mark.parametrize("kind", [torch.tensor, np.array], ids=["tensor", "array"])
def test_confusion(kind):
    figure = plot_confusion(kind([[6, 2], [0, 0]]), ("cat", "dog"), source="CIFAR-10")
    ax = figure.axes[0]
    mistakes = ax.images[0].get_array()
    assert mistakes.mask.tolist() == [[True, False], [False, True]]  # the diagonal has no colour
    assert (mistakes[0, 1], mistakes[1, 0], ax.images[0].get_clim()) == (0.25, 0, (0, 0.25))
    counts = {text.get_position(): text.get_text() for text in ax.texts}
    assert counts == {(0, 0): "6", (1, 0): "2", (0, 1): "0", (1, 1): "0"}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["cat", "dog"]
    assert ax.get_ylabel() == "true class" and ax.get_xlabel() == "predicted class"
    assert "cat taken for dog 2 times" in figure.get_label() and "6 of 8" in figure.get_label()
    assert heading(figure) == "Confusion matrix (number of images) — CIFAR-10"
    assert heading(plot_confusion(kind([[1]]), ["a"], title="T")) == "T"
    assert_is_tidy(figure)


def test_confusion_of_ten_classes_is_readable():
    counts = np.full((10, 10), 10_000)
    np.fill_diagonal(counts, 90_000 * np.linspace(0, 1, 10) ** 3)  # shares from 0 to 0.5
    counts[9] = 0, 0, 0, 0, 0, 0, 0, 0, 3_000, 12_000  # and beyond
    figure = plot_confusion(counts, CLASSES)
    assert_is_tidy(figure)
    ax = figure.axes[0]
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    for text in ax.texts:
        j, i = text.get_position()
        colour = ax.images[0].to_rgba(ax.images[0].get_array())[i, j]
        assert contrast(matplotlib.colors.to_rgb(text.get_color()), colour[:3]) >= 4.5


def contrast(one, other):
    """WCAG 2's contrast ratio; 4.5 is its minimum for text."""
    light = [
        np.dot(
            [0.2126, 0.7152, 0.0722],
            [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb],
        )
        for rgb in (one, other)
    ]
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize(
    "matrix", [np.zeros((2, 3), int), np.zeros((3, 3), int), np.eye(2), -np.eye(2, dtype=int)]
)
def test_confusion_refuses(matrix):
    with pytest.raises(ValueError, match="matrix must"):
        plot_confusion(matrix, ("cat", "dog"))
