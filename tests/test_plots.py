"""What charts hold: curves, axes, numbers."""

import types

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from figures import (
    CLASSES,
    assert_is_tidy,
    heading,
    history,
)

from d2lhelpers import plot_confusion, plot_history, plot_spreads


@pytest.fixture(autouse=True)
def no_figure_is_left():
    settings_before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == settings_before


# --- plot_history -----------------------------------------------------------------------------


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_one_history():
    run = history()
    figure = plot_history(run)
    assert heading(figure) == "01/LeNet — MNIST"
    loss, accuracy = figure.axes
    for ax, metric in ((loss, "loss"), (accuracy, "accuracy")):
        train, test = ax.lines
        assert list(train.get_xdata()) == list(test.get_xdata()) == [1, 2, 3, 4]
        assert list(train.get_ydata()) == getattr(run, f"train_{metric}")
        assert list(test.get_ydata()) == getattr(run, f"test_{metric}")
        assert (train.get_linestyle(), test.get_linestyle()) == ("-", "--")
        assert train.get_marker() == test.get_marker() == "o"
        assert train.get_color() == test.get_color()
        assert ax.get_xlabel() == "epoch" and ax.get_title() == metric
        assert all(tick == round(tick) for tick in ax.get_xticks())
    assert loss.get_ylabel() == "mean loss (nats)"
    assert accuracy.get_ylabel() == "accuracy (fraction)"
    assert legend_of(figure) == ["train", "test"]
    assert_is_tidy(figure)


def test_several_histories_differ_in_colour_and_marker():
    runs = {name: history(name) for name in ("sigmoid", "tanh", "ReLU")}
    figure = plot_history(runs, title="By activation function")
    assert heading(figure) == "By activation function — MNIST"
    assert legend_of(figure) == ["sigmoid", "tanh", "ReLU", "train", "test"]
    train = figure.axes[0].lines[::2]
    assert len({line.get_color() for line in train}) == len({line.get_marker() for line in train})
    assert [line.get_color() for line in train] == ["#0072B2", "#D55E00", "#009E73"]
    assert [line.get_color() for line in figure.legends[0].get_lines()[:3]] == [
        line.get_color() for line in train
    ]
    assert_is_tidy(figure)


def test_every_source_is_named_once():
    runs = {"a": history(source="MNIST"), "b": history(), "c": history(source="CIFAR-10")}
    assert heading(plot_history(runs, title="T")) == "T — MNIST, CIFAR-10"


@pytest.mark.parametrize("epochs", [1, 5])
def test_a_test_set_used_once(epochs):
    figure = plot_history(history(epochs=epochs, validation=True))
    assert legend_of(figure) == ["train", "validation", "test, once at the end"]
    _, validation, test = figure.axes[1].lines
    assert len(validation.get_ydata()) == epochs and validation.get_linestyle() == "--"
    assert list(test.get_xdata()) == [epochs] and list(test.get_ydata()) == [0.7]
    assert test.get_marker() == "*"
    assert_is_tidy(figure)


def test_a_test_set_used_once_without_a_validation_set():
    figure = plot_history(history(test_loss=[0.3], test_accuracy=[0.7]))
    assert legend_of(figure) == ["train", "test, once at the end"]
    assert list(figure.axes[1].lines[1].get_xdata()) == [4]


def test_without_any_evaluation():
    run = history(test_loss=[], test_accuracy=[])
    assert legend_of(plot_history(run)) == ["train"]


@pytest.mark.parametrize("epochs", [1, 2, 16, 200])
def test_epochs_are_integers_on_the_axis(epochs):
    figure = plot_history(history(epochs=epochs))
    for ax in figure.axes:
        low, high = ax.get_xlim()
        ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
        assert ticks and all(tick == round(tick) and tick >= 1 for tick in ticks)
    assert_is_tidy(figure)


def test_metrics_to_draw():
    figure = plot_history(history(), metrics=("accuracy",))
    assert [ax.get_title() for ax in figure.axes] == ["accuracy"]


def test_twenty_runs_with_long_names_stay_tidy():
    runs = {f"residual network, {n} layers, no augmentation": history(str(n)) for n in range(20)}
    figure = plot_history(runs)
    assert_is_tidy(figure)
    looks = {(line.get_color(), line.get_marker()) for line in figure.axes[0].lines}
    assert len(looks) == 20


def test_accuracy_axis_stays_near_the_unit_range():
    low, high = plot_history(history(train_accuracy=[0, 1, 0, 1])).axes[1].get_ylim()
    assert -0.03 < low < 0 and 1 < high < 1.03


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({}, "no history"),
        (history(epochs=0), "no epoch"),
        (history(test_accuracy=[98.5] * 4), "not percentages"),
        ({"a": history(validation_accuracy=[-0.5] * 4)}, "fractions"),
    ],
)
def test_histories_that_are_refused(runs, message):
    with pytest.raises(ValueError, match=message):
        plot_history(runs)


def test_what_is_no_history_is_refused():
    with pytest.raises(TypeError, match="got a list"):
        plot_history([0.1, 0.2])
    with pytest.raises(ValueError, match="metrics"):
        plot_history(history(), metrics=("f1",))
    with pytest.raises(ValueError, match="metrics"):
        plot_history(history(), metrics="loss")


def test_takes_what_training_returns():
    training = pytest.importorskip("d2lhelpers.training")
    parameters = {"name": "a/b", "source": "MNIST"}
    fields = training.History.__dataclass_fields__
    empty = {"str": "", "int": 0, "float": 0.0, str: "", int: 0, float: 0.0}
    for name, field in fields.items():
        if name.startswith(("train_", "test_")):
            parameters[name] = [0.5]
        elif field.type in empty:
            parameters.setdefault(name, empty[field.type])
    assert heading(plot_history(training.History(**parameters))) == "a/b — MNIST"


# --- plot_confusion ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.tensor, np.array], ids=["tensor", "array"])
def test_confusion(kind):
    figure = plot_confusion(kind([[6, 2], [0, 0]]), ("cat", "dog"), source="CIFAR-10")
    ax = figure.axes[0]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    counts = {text.get_position(): text.get_text() for text in ax.texts}
    assert counts == {(0, 0): "6", (1, 0): "2", (0, 1): "0", (1, 1): "0"}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["cat", "dog"]
    assert ax.get_ylabel() == "true class" and ax.get_xlabel() == "predicted class"
    assert figure.axes[1].get_ylabel() == "share of the true class (fraction)"
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
        colour = ax.images[0].cmap(ax.images[0].norm(ax.images[0].get_array()[i, j]))
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


def test_networks_are_plotted_by_work_and_by_time():
    def spread(mean, deviation, work, seconds, seeds):
        row = {"multiply_adds": work, "data_source": "CIFAR-10 (JPEG copy)"}
        return types.SimpleNamespace(
            mean=mean, deviation=deviation, seconds=seconds, rows=[row] * seeds
        )

    networks = {"LeNet": spread(0.6, 0.0, 1e6, 30, 1), "VGG": spread(0.8, 0.01, 2e7, 120, 3)}
    figure = plot_spreads(networks, title="Chapters")
    assert heading(figure) == "Chapters — CIFAR-10 (JPEG copy)"
    work, time = figure.axes
    for ax, places in ((work, (1e6, 2e7)), (time, (30, 120))):
        one, several = ax.containers
        assert [mark.lines[0].get_xydata().tolist() for mark in (one, several)] == [
            [[places[0], 0.6]],
            [[places[1], 0.8]],
        ]
        assert not one.has_yerr  # a single seed says nothing about spread
        (bar,) = several.lines[2][0].get_segments()
        assert bar[:, 1] == pytest.approx([0.79, 0.81])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["LeNet", "VGG"]
    assert (work.get_xlabel(), time.get_xlabel()) == (
        "multiply-adds an image",
        "training time (s)",
    )
    with pytest.raises(ValueError, match="no network"):
        plot_spreads({}, title="Chapters")
