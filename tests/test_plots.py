"""What charts hold: curves, axes, numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figures import assert_is_tidy, drawn, heading, history
from records import record

import d2lhelpers as d2l
from d2lhelpers.history import History

plot_history, plot_spreads = drawn(d2l.plot_history), drawn(d2l.plot_spreads)
NAN = float("nan")


pytestmark = pytest.mark.usefixtures("no_figure_is_left")


# --- plot_history -----------------------------------------------------------------------------


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_one_history():
    run = history()
    figure = plot_history(run)
    assert heading(figure) == "LeNet — MNIST"
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
    assert len({line.get_color() for line in train}) == 3
    assert len({line.get_marker() for line in train}) == 3
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


def test_takes_what_training_returns():
    facts = dict.fromkeys(("seed", "parameters", "multiply_adds", "started"), 0)
    facts |= dict.fromkeys(("device", "precision", "log_dir"), "")
    facts |= {"train_loss": [0.5], "train_accuracy": [0.5]}
    run = History(name="07/small ResNet/no flips", source="MNIST", **facts)
    assert heading(plot_history(run)) == "small ResNet, no flips — MNIST"  # no path


# --- runs that diverge


def crosses(ax):
    lines = [line for line in ax.lines if line.get_marker() == "x"]
    return [tuple(np.ravel(line.get_data()).tolist()) for line in lines]


def diverging(**changes):
    """As ``train`` leaves it: each curve ends in NaN."""
    curves = {
        "train_loss": [2.3, 2.0, NAN],
        "train_accuracy": [0.1, 0.3, NAN],
        "test_loss": [2.2, 1.9, NAN],
        "test_accuracy": [0.2, 0.35, NAN],
    }
    return history(epochs=3, **curves | changes)


def test_a_run_that_diverged_ends_in_a_cross_where_it_was_last_finite():
    figure = plot_history({"good": history(epochs=3), "bad": diverging()}, title="T")
    loss, accuracy = figure.axes
    assert crosses(loss) == [(2, 2.0), (2, 1.9)] and crosses(accuracy) == [(2, 0.3), (2, 0.35)]
    assert legend_of(figure)[-1] == "bad diverged in epoch 3"
    assert accuracy.get_ylim()[0] > -0.03
    drawn_values = np.concatenate([line.get_ydata() for line in accuracy.lines])
    assert not (drawn_values == 0).any()
    assert_is_tidy(figure)
    assert "bad: 3 epochs" in figure.get_label() and "diverged in epoch 3" in figure.get_label()


def test_a_run_that_diverged_at_once_is_in_the_legend():
    nothing = {curve: [NAN] for curve in vars(diverging()) if curve.startswith(("train", "test"))}
    run = diverging(**nothing)
    figure = plot_history(run)
    assert crosses(figure.axes[0]) == []
    assert "diverged in epoch 1" in legend_of(figure)
    assert_is_tidy(figure)


def test_a_test_set_that_was_to_be_used_once_has_no_star_after_divergence():
    run = diverging(
        validation_loss=[2.2, 1.9, NAN],
        validation_accuracy=[0.2, 0.35, NAN],
        test_loss=[NAN],
        test_accuracy=[NAN],
    )
    figure = plot_history(run)
    assert "*" not in [line.get_marker() for ax in figure.axes for line in ax.lines]
    assert_is_tidy(figure)


@pytest.mark.parametrize("largest", [80.0, 1e6, 1e30])
def test_an_outlier_does_not_flatten_the_other_losses(largest):
    ordinary = [2.3, 1.8, 1.4, 1.2, 1.1, 1.0]
    runs = {
        "good": history(epochs=6, train_loss=ordinary, test_loss=[]),
        "bad": history(epochs=6, train_loss=[2.3, 3, 9, largest, NAN], test_loss=[]),
    }
    runs["bad"].train_loss.append(NAN)
    loss = plot_history(runs).axes[0]
    at = loss.transAxes.inverted().transform(loss.transData.transform([(1, 2.3), (1, 1.0)]))
    assert at[0, 1] - at[1, 1] > 0.08  # of the panel's height
    assert_is_tidy(plt.gcf())
    (cross,) = crosses(loss)
    assert cross[0] == 4 and cross[1] <= loss.get_ylim()[1]  # in sight


def test_ordinary_losses_have_a_linear_axis():
    assert plot_history(history()).axes[0].get_yscale() == "linear"


def test_a_logarithmic_axis_has_plain_numbers():
    losses = [2.3, 0.9, 0.2, 0.1, 0.05, 0.04, 0.03, 0.02]
    figure = plot_history(history(epochs=8, train_loss=losses, test_loss=[]))
    figure.canvas.draw()
    loss = figure.axes[0]
    low, high = loss.get_ylim()
    labels = [
        label.get_text()
        for label in loss.get_yticklabels()
        if low <= label.get_position()[1] <= high
    ]
    assert {"0.1", "1"} <= set(labels) and not any("$" in label for label in labels)


# --- plot_spreads


def runs_of(accuracies, work, seconds):
    """Runs of a network, one for each accuracy."""
    recipe = {"source": "CIFAR-10 (JPEG copy)", "multiply_adds": work, "seconds": [seconds]}
    return [
        record(seed=seed, test_accuracy=[accuracy], **recipe)
        for seed, accuracy in enumerate(accuracies)
    ]


def test_networks_are_plotted_by_work_and_by_time():
    networks = {
        "LeNet": runs_of([0.6], 1_000_000, 30),
        "VGG": runs_of([0.79, 0.80, 0.81], 20_000_000, 120),
    }
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
    with pytest.raises(ValueError, match="no history"):
        plot_spreads({}, title="Chapters")


def test_a_network_that_diverged_is_a_cross_without_an_accuracy():
    networks = {
        "LeNet": runs_of([0.6], 1_000_000, 30),
        "VGG": runs_of([0.8, NAN], 20_000_000, 120),
    }
    figure = plot_spreads(networks, title="Chapters")
    assert_is_tidy(figure)
    for ax, place in zip(figure.axes, (2e7, 120), strict=True):
        assert [x for x, _ in crosses(ax)] == [place]
        assert ax.get_ylim()[0] > 0.5  # the cross does not pull the axis down to 0
    assert "VGG (diverged)" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert "VGG: 20,000,000 multiply-adds, 120 s, diverged" in figure.get_label()
