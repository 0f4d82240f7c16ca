"""What the figures hold: pixels, texts, axes; and when a person is watching."""

import io
import sys
import types
import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from torch import nn

from d2lhelpers import display
from d2lhelpers.display import (
    is_interactive,
    plot_confusion,
    plot_history,
    plot_spreads,
    run_table,
    show_feature_maps,
    show_filters,
    show_images,
    show_worst,
)

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = torch.tensor([0.49, 0.48, 0.45]), torch.tensor([0.25, 0.24, 0.26])
DATA = types.SimpleNamespace(mean=MEAN, std=STD, classes=CLASSES, source="CIFAR-10 (JPEG copy)")


@pytest.fixture(autouse=True)
def no_figure_is_left():
    settings_before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == settings_before


def raw(n=4, channels=3, size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, channels, size, size)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


def normalised(images, mean=MEAN, std=STD):
    return (images / 255 - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)


def visible(figure):
    return [ax for ax in figure.axes if ax.get_visible()]


def pixels_of(figure):
    """The drawn images as floats in [0, 1] (N, H, W[, 3])."""
    return np.stack([np.asarray(ax.images[0].get_array()) for ax in visible(figure)])


def shown_as(images):
    """What ``pixels_of`` should find for images (N, C, H, W) of uint8."""
    pixels = np.asarray(images).transpose(0, 2, 3, 1) / 255
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def titles(figure):
    return [ax.get_title() for ax in visible(figure)]


def heading(figure):
    return figure.get_suptitle().replace("\n", " ")


def texts_of(figure):
    return [text for text in figure.findobj(matplotlib.text.Text) if text.get_text().strip()]


def assert_is_tidy(figure):
    """Open in pyplot, not too wide, nothing clipped, nothing too small, every glyph there."""
    assert isinstance(figure, Figure) and plt.fignum_exists(figure.number)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph, a layout that does not fit
        figure.savefig(io.BytesIO())
    assert figure.get_figwidth() <= 9.001
    for text in texts_of(figure):
        assert text.get_fontsize() >= 9, text
    edge = figure.bbox
    box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert box.x0 >= edge.x0 - 2 and box.x1 <= edge.x1 + 2
    assert box.y0 >= edge.y0 - 2 and box.y1 <= edge.y1 + 2


# --- is_interactive ---------------------------------------------------------------------------


@pytest.fixture
def bare(monkeypatch):
    """A plain Python process whose stderr is a pipe."""
    for name in ("D2L_BATCH", "PYTEST_VERSION", "JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD"):
        monkeypatch.delenv(name, raising=False)
    for name in ("google.colab", "ipykernel.kernelapp"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    return monkeypatch


def as_kernel(patch):
    patch.setitem(sys.modules, "ipykernel.kernelapp", types.ModuleType("kernelapp"))


def as_terminal(patch):
    patch.setattr(sys, "stderr", types.SimpleNamespace(isatty=lambda: True))


def test_a_pipe_is_not_interactive(bare):
    assert is_interactive() is False


def test_no_stderr_at_all(bare):
    bare.setattr(sys, "stderr", None)
    assert is_interactive() is False


def test_a_terminal_is(bare):
    as_terminal(bare)
    assert is_interactive() is True


def test_a_kernel_of_papermill_or_nbconvert_is_not(bare):
    as_kernel(bare)
    assert is_interactive() is False


@pytest.mark.parametrize("name", ["JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD"])
def test_a_kernel_of_a_front_end_is(bare, name):
    bare.setenv(name, "1")
    assert is_interactive() is False  # a script that a notebook started, into a pipe
    as_kernel(bare)
    assert is_interactive() is True


def test_a_kernel_of_vs_code_is(bare):
    as_kernel(bare)
    bare.setattr(sys.modules["__main__"], "__vsc_ipynb_file__", "a.ipynb", raising=False)
    assert is_interactive() is True


def test_colab_is(bare):
    bare.setitem(sys.modules, "google.colab", types.ModuleType("colab"))
    assert is_interactive() is True


@pytest.mark.parametrize("name", ["D2L_BATCH", "PYTEST_VERSION"])
def test_batch_and_pytest_overrule_everything(bare, name):
    as_kernel(bare)
    as_terminal(bare)
    bare.setenv("JPY_SESSION_NAME", "a.ipynb")
    bare.setitem(sys.modules, "google.colab", types.ModuleType("colab"))
    assert is_interactive() is True
    bare.setenv(name, "1")
    assert is_interactive() is False


# --- show_images ------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [torch.tensor, np.array], ids=["tensor", "array"])
def test_uint8_and_unit_floats_are_shown_as_they_are(channels, kind):
    images = raw(4, channels)
    for images_given in (kind(images.numpy()), kind(images.numpy() / 255)):
        figure = show_images(images_given)
        np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=1e-6)
        if channels == 1:
            for ax in visible(figure):
                assert ax.images[0].get_clim() == (0, 1)
                assert ax.images[0].get_cmap().name == "gray"
        assert_is_tidy(figure)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_normalised_images_are_shown_in_their_true_colours(dtype):
    images = raw(4)
    figure = show_images(normalised(images).to(dtype), data=DATA)
    error = {torch.float16: 1 / 255, torch.bfloat16: 2 / 255}.get(dtype, 1e-5)
    np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=error)


@settings(max_examples=15)
@given(st.integers(0, 99), st.sampled_from([1, 3]), st.floats(0.01, 0.99), st.floats(0.01, 2))
def test_any_normalisation_is_undone(seed, channels, mean, std):
    images = raw(2, channels, seed=seed)
    X = normalised(images, torch.full((channels,), mean), torch.full((channels,), std))
    for given_mean, given_std in ((mean, std), ([mean] * channels, np.full(channels, std))):
        figure = show_images(X, mean=given_mean, std=given_std)
        np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=1e-4)
        plt.close(figure)


def test_uint8_needs_no_normalisation_undone():
    images = raw(2)
    np.testing.assert_allclose(pixels_of(show_images(images, data=DATA)), shown_as(images))


def test_denormalised_values_are_clipped():
    figure = show_images(torch.tensor([[[[-9.0, 9.0, 0.0]]]]), mean=0.5, std=0.25)
    assert pixels_of(figure).ravel().tolist() == [0.0, 1.0, 0.5]


def test_explicit_mean_and_std_go_before_those_of_data():
    images = raw(2)
    X = normalised(images, torch.zeros(3), torch.ones(3) * 2)
    figure = show_images(X, data=DATA, mean=0.0, std=2.0)
    np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=1e-5)


def test_all_accepted_shapes():
    images = raw(5, 1)
    for shaped, count in (
        (images, 5),
        (images[:, 0], 5),  # (N, H, W)
        (images[0], 1),  # (1, H, W)
        (images[0, 0], 1),  # (H, W)
    ):
        assert pixels_of(show_images(shaped)).shape == (count, 6, 6)
        np.testing.assert_allclose(pixels_of(show_images(shaped)), shown_as(images)[:count])
    assert pixels_of(show_images(raw(1)[0])).shape == (1, 6, 6, 3)


def test_gradients_and_other_memory_layouts():
    images = raw(4)
    X = normalised(images).to(memory_format=torch.channels_last).requires_grad_()
    np.testing.assert_allclose(pixels_of(show_images(X, data=DATA)), shown_as(images), atol=1e-5)
    frozen = images.numpy()[::-1]
    frozen.flags.writeable = False
    np.testing.assert_allclose(pixels_of(show_images(frozen)), shown_as(frozen))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_on_a_gpu():
    images = raw(4)
    labels = torch.tensor([1, 2, 3, 4], device="cuda")
    data = types.SimpleNamespace(mean=MEAN.cuda(), std=STD.cuda(), classes=CLASSES, source="x")
    figure = show_images(normalised(images).cuda(), labels, labels, data=data)
    np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=1e-5)


def test_fewer_images_than_cells():
    figure = show_images(raw(11))
    assert len(visible(figure)) == 11 and len(figure.axes) == 16
    assert heading(figure) == ""
    assert len(show_images(raw(3)).axes) == 3
    assert_is_tidy(figure)


def test_more_images_than_cells():
    images = raw(100)
    figure = show_images(images)
    np.testing.assert_allclose(pixels_of(figure), shown_as(images[:16]))
    assert heading(figure) == "16 of 100"
    assert heading(show_images(images, rows=1, columns=3, title="A")) == "A (3 of 100)"
    assert "of" not in heading(show_images(images[:16], title="All"))


def test_the_title_names_the_source():
    assert heading(show_images(raw(16), data=DATA)) == "CIFAR-10 (JPEG copy)"
    figure = show_images(raw(40), data=DATA, title="Test images")
    assert heading(figure) == "Test images — CIFAR-10 (JPEG copy) (16 of 40)"


@pytest.mark.parametrize(
    "labels",
    [
        [3, 5, 0],
        (3, 5, 0),
        torch.tensor([3, 5, 0]),
        list(torch.tensor([3, 5, 0])),
        np.array([3, 5, 0], dtype=np.uint8),
        ["cat", "dog", "airplane"],
    ],
)
def test_labels_in_every_form(labels):
    assert titles(show_images(raw(3), labels, data=DATA)) == ["cat", "dog", "airplane"]
    assert titles(show_images(raw(3), labels, classes=CLASSES)) == ["cat", "dog", "airplane"]
    assert titles(show_images(raw(3), predictions=labels, data=DATA)) == ["cat", "dog", "airplane"]


@pytest.mark.parametrize("label", [7, torch.tensor(7), np.int64(7), "7"])
def test_one_image_and_its_label(label):
    assert titles(show_images(raw(1, 1)[0], label)) == ["7"]


def test_mistakes_have_a_mark_a_frame_and_the_true_class():
    figure = show_images(raw(3), torch.tensor([5, 3, 1]), torch.tensor([3, 3, 0]), data=DATA)
    assert titles(figure) == ["✗ cat\n(dog)", "cat", "✗ airplane\n(automobile)"]
    framed = [ax.spines["left"].get_visible() for ax in visible(figure)]
    assert framed == [True, False, True]
    assert to_hex(visible(figure)[0].title.get_color()).upper() == "#D55E00"
    assert to_hex(visible(figure)[1].title.get_color()) == "#000000"
    assert_is_tidy(figure)


def test_strings_against_ints():
    figure = show_images(raw(2), ["cat", "dog"], [3, 3], data=DATA)
    assert titles(figure) == ["cat", "✗ cat\n(dog)"]


def test_long_names_are_broken():
    names = ["a class with a very long name indeed"] * 16
    assert_is_tidy(show_images(raw(16), names, ["x"] * 16, title="A rather long title " * 9))


@pytest.mark.parametrize("channels_last", [np.zeros((5, 8, 8, 3)), np.zeros((8, 8, 1))])
def test_channels_last_is_refused(channels_last):
    with pytest.raises(ValueError, match=r"channels last.*Expected.*images\.transpose\("):
        show_images(channels_last)
    with pytest.raises(ValueError, match=r"images\.permute\("):
        show_images(torch.tensor(channels_last))


@pytest.mark.parametrize("shape", [(5,), (2, 4, 8, 8), (1, 2, 3, 8, 8), (0, 3, 8, 8), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="Expected"):
        show_images(np.zeros(shape))


@pytest.mark.parametrize("value", [-0.1, 1.1, 255.0])
def test_floats_outside_the_unit_range_need_a_normalisation(value):
    with pytest.raises(ValueError, match="pass data="):
        show_images(torch.full((2, 3, 4, 4), value))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("data", [None, DATA])
def test_nan_and_infinity_are_refused(value, data):
    images = torch.zeros(2, 3, 4, 4)
    images[1, 0, 0, 0] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        show_images(images, data=data)


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match="uint8"):
        show_images(torch.zeros(2, 3, 4, 4, dtype=torch.long))
    with pytest.raises(TypeError, match="list"):
        show_images([[0.0]])
    with pytest.raises(TypeError, match="labels must hold ints or strings"):
        show_images(raw(2), [0.5, 1.0])
    with pytest.raises(TypeError, match="labels must hold ints or strings"):
        show_images(raw(1), 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [1]}, "labels holds 1 classes for 2"),
        ({"labels": [1, 2, 3]}, "3 classes for 2"),
        ({"predictions": [1, 10], "data": DATA}, "predictions holds 10, but there are 10"),
        ({"labels": [1, -1], "data": DATA}, "holds -1"),
        ({"predictions": torch.zeros(2, 10)}, r"argmax\(1\)"),
        ({"rows": 0}, "at least 1"),
        ({"columns": 0}, "at least 1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        show_images(raw(2), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": 0.5}, "belong together"),
        ({"std": 0.5}, "belong together"),
        ({"mean": [0.5, 0.5], "std": 1.0}, "mean must hold one number, or one for each of the 3"),
        ({"mean": 0.5, "std": torch.ones(3, 1, 1)}, "std must hold one number"),
    ],
)
def test_a_mean_that_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        show_images(torch.zeros(2, 3, 4, 4), **options)


def test_nothing_is_drawn_when_refused():
    with pytest.raises(ValueError, match="labels"):
        show_images(raw(2), [1])
    assert plt.get_fignums() == []


# --- plot_history -----------------------------------------------------------------------------


def history(name="01/LeNet", source="MNIST", epochs=4, validation=False, **changes):
    curve = [1 / (epoch + 2) for epoch in range(epochs)]
    fields = {
        "train_loss": curve,
        "train_accuracy": [1 - value for value in curve],
        "validation_loss": [],
        "validation_accuracy": [],
        "test_loss": [value + 0.1 for value in curve],
        "test_accuracy": [0.9 - value for value in curve],
    }
    if validation:
        fields |= {f"validation_{m}": fields[f"test_{m}"] for m in ("loss", "accuracy")}
        fields |= {"test_loss": [0.3], "test_accuracy": [0.7]}
    return types.SimpleNamespace(name=name, source=source, **fields | changes)


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


# --- show_filters -----------------------------------------------------------------------------


def test_colour_filters_are_symmetric_about_grey():
    weight = torch.zeros(3, 3, 2, 2)
    weight[0, 0, 0, 0], weight[0, 1, 1, 1] = 0.2, -0.1
    weight[1] = -3.0
    figure = show_filters(weight)
    pictures = pixels_of(figure)
    assert pictures.shape == (3, 2, 2, 3)
    np.testing.assert_allclose(pictures[0, 0, 0], [1, 0.5, 0.5])
    np.testing.assert_allclose(pictures[0, 1, 1], [0.5, 0.25, 0.5])
    assert (pictures[1] == 0).all() and (pictures[2] == 0.5).all()
    assert heading(figure).startswith("3 filters of 2×2 weights, 3 channels")
    assert_is_tidy(figure)


def test_grey_filters_share_a_symmetric_scale():
    layer = nn.Conv2d(1, 6, 5)
    with torch.no_grad():
        layer.weight[2, 0, 1, 1] = -0.75
    figure = show_filters(layer, title="T")
    *cells, bar = visible(figure)
    assert [ax.images[0].get_clim() for ax in cells] == [(-0.75, 0.75)] * 6
    for ax, weight in zip(cells, layer.weight.detach().numpy(), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), weight[0])
    assert bar.get_ylabel() == "weight" and heading(figure) == "T"
    assert_is_tidy(figure)


@pytest.mark.parametrize("number", [1, 7, 96])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_number_of_filters(number, channels):
    figure = show_filters(torch.ones(number, channels, 3, 3, dtype=torch.float16))
    assert len(visible(figure)) == number + (channels == 1)
    assert_is_tidy(figure)


@pytest.mark.parametrize("layer", [nn.Conv2d(16, 8, 3), nn.Linear(3, 3), torch.zeros(4, 4)])
def test_deeper_filters_are_refused(layer):
    with pytest.raises(ValueError, match="1 or 3 channels"):
        show_filters(layer)


def test_filters_of_what_has_none():
    with pytest.raises(TypeError, match="ReLU has no weight"):
        show_filters(nn.ReLU())
    with pytest.raises(TypeError, match="list"):
        show_filters([1])
    with pytest.raises(ValueError, match="NaN"):
        show_filters(torch.full((1, 1, 2, 2), float("nan")))


# --- show_feature_maps ------------------------------------------------------------------------


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 20, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Sequential(nn.Conv2d(20, 4, 3)),
        nn.Flatten(),
    )


IMAGE = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(1))


def test_maps_are_what_the_layer_puts_out_before_an_inplace_relu(net):
    figure = show_feature_maps(net, IMAGE, 0)
    with torch.no_grad():
        expected = net[0](IMAGE[None])[0]
    *cells, bar = visible(figure)
    for i, ax in enumerate(cells):
        np.testing.assert_allclose(ax.images[0].get_array(), expected[i], rtol=1e-5, atol=1e-6)
    limit = expected[:16].abs().max().item()
    assert {ax.images[0].get_clim() for ax in cells} == {cells[0].images[0].get_clim()}
    assert cells[0].images[0].get_clim() == pytest.approx((-limit, limit))
    assert titles(figure)[:2] == ["channel 0", "channel 1"] and len(cells) == 16
    assert heading(figure) == "Feature maps of layer 0 (Conv2d): 16 of 20 channels"
    assert bar.get_ylabel() == "activation"
    assert_is_tidy(figure)


def test_maps_after_dropout_are_those_of_eval_mode(net):
    figure = show_feature_maps(net, IMAGE, 2, count=20)
    with torch.no_grad():
        expected = net[0](IMAGE[None])[0].relu()
    *cells, _ = visible(figure)
    for ax, picture in zip(cells, expected, strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), picture, rtol=1e-5, atol=1e-6)
    assert cells[0].images[0].get_clim()[0] == 0
    assert heading(figure) == "Feature maps of layer 2 (Dropout)"


def test_a_layer_by_number_name_or_itself(net):
    shown = [
        pixels_of_maps(show_feature_maps(net, IMAGE, layer))
        for layer in (3, -2, "3", "3.0", net[3], net[3][0])
    ]
    assert shown[0].shape == (4, 4, 4)
    assert all((maps == shown[0]).all() for maps in shown)


def pixels_of_maps(figure):
    return np.stack([np.asarray(ax.images[0].get_array()) for ax in visible(figure)[:-1]])


def test_a_shared_layer_by_either_name(net):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 3, 1)
            self.second = self.first

        def forward(self, X):
            return self.second(self.first(X))

    assert heading(show_feature_maps(Twice(), IMAGE, "second")).startswith(
        "Feature maps of layer second"
    )


def test_the_net_is_left_as_it_was(net):
    net[2].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    show_feature_maps(net.requires_grad_(), IMAGE.clone().requires_grad_(), 0)
    assert [net.training, net[0].training, net[2].training] == [True, True, False]
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(RuntimeError):
        show_feature_maps(net, torch.zeros(7, 6, 6), 0)
    assert net.training and not any(module._forward_hooks for module in net.modules())


def test_maps_of_other_dtypes(net):
    assert_is_tidy(show_feature_maps(net.double(), IMAGE, 0, count=1))
    assert_is_tidy(show_feature_maps(net.bfloat16(), IMAGE, 1, count=9))


def test_maps_that_are_all_zero():
    figure = show_feature_maps(nn.Sequential(nn.ReLU()), -torch.ones(2, 3, 3), 0)
    assert visible(figure)[0].images[0].get_clim() == (0, 1)
    assert_is_tidy(figure)


@pytest.mark.parametrize(
    ("image", "layer", "message"),
    [
        (IMAGE[None], 0, r"one image \(C, H, W\).*X\[0\]"),
        (IMAGE[0], 0, "one image"),
        (IMAGE, 5, "5 direct children; got 5"),
        (IMAGE, "body", "no layer named 'body'. It has: 0, 1, 2, 3, 3.0, 4"),
        (IMAGE, nn.ReLU(), "ReLU is not a layer"),
        (IMAGE, 4, r"\(1, 64\).*before the network is flattened"),
        (IMAGE * float("nan"), 0, "NaN"),
    ],
)
def test_maps_that_are_refused(net, image, layer, message):
    with pytest.raises(ValueError, match=message):
        show_feature_maps(net, image, layer)


def test_maps_of_a_layer_that_is_not_used():
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            self.spare = nn.Conv2d(3, 3, 1)

        def forward(self, X):
            return X

    with pytest.raises(ValueError, match="did not use layer spare"):
        show_feature_maps(Lazy(), IMAGE, "spare")


def test_wrong_types_and_counts_of_maps(net):
    with pytest.raises(TypeError, match="ndarray"):
        show_feature_maps(net, IMAGE.numpy(), 0)
    with pytest.raises(TypeError, match="float"):
        show_feature_maps(net, IMAGE, 0.0)
    with pytest.raises(ValueError, match="count"):
        show_feature_maps(net, IMAGE, 0, count=0)


# --- all of them ------------------------------------------------------------------------------


def test_importing_does_not_import_matplotlib():
    import subprocess

    code = "import sys, d2lhelpers.display; sys.exit('matplotlib' in sys.modules)"
    folder = display.__file__.rsplit("d2lhelpers", 1)[0]
    assert subprocess.run([sys.executable, "-c", code], cwd=folder).returncode == 0


def test_a_notebook_shows_every_figure_once():
    import nbformat
    from nbclient import NotebookClient

    cells = [
        "import torch\nfrom d2lhelpers import display\nprint(display.is_interactive())",
        "display.show_images(torch.rand(2, 3, 8, 8));",
        "display.show_images(torch.rand(2, 3, 8, 8));",
        "display.plot_confusion(torch.eye(2).long(), ['cat', 'dog']);",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    folder = display.__file__.rsplit("d2lhelpers", 1)[0]
    client = NotebookClient(notebook, resources={"metadata": {"path": folder}})
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)
        patch.delenv("JPY_SESSION_NAME", raising=False)
        client.execute()
    first, *others = (cell.outputs for cell in notebook.cells)
    assert first[0].text == "False\n"
    assert [[output.output_type for output in outputs] for outputs in others] == [
        ["display_data"]
    ] * 3


def test_style_for_plots_of_ones_own():
    with plt.rc_context():
        display.use_style()
        _, axes = plt.subplots()
        (line,) = axes.plot([0, 1])
        assert line.get_color() == "#0072B2" and axes.title.get_fontsize() == 9


def test_sentences_in_both_languages(capsys):
    display.say(zh="中文。", en="English.")
    for holds, marks in {True: "✓", False: "✗", None: "?"}.items():
        display.verdict(holds, zh="甲。", en="A.")
        lines = capsys.readouterr().out.splitlines()[-2:]
        assert [line[0] for line in lines] == [marks] * 2
        assert lines[0].endswith("：甲。") and lines[1].endswith(": A.")


# --- tables and mistakes ----------------------------------------------------------------------


def test_run_table():
    runs = {
        "one": history(
            epochs=2, parameters=1_234, multiply_adds=5_678_900, seconds=[1.4, 1.5, 20.0]
        ),
        "another": history(epochs=2, validation=True, parameters=1, multiply_adds=2, seconds=[3]),
    }
    head, one, another = run_table(runs).splitlines()
    assert one.split()[:3] == ["one", "1,234", "5,678,900"]
    assert one.split()[-1] == "1.5" and another.split()[-1] == "3.0"
    columns = ("train loss", "train ", "validation", "test")
    curves = ("train_loss", "train_accuracy", "validation_accuracy", "test_accuracy")
    for name, line in zip(runs, (one, another), strict=True):
        assert len(line) == len(head)
        for column, curve in zip(columns, curves, strict=True):
            end = head.rindex(column) + len(column.strip())
            values = getattr(runs[name], curve, [])
            assert line[:end].split()[-1] == (f"{values[-1]:.4f}" if values else "-")
    with pytest.raises(ValueError, match="empty"):
        run_table({})


def test_worst_mistakes_come_first():
    images = raw(n=20)
    test = types.SimpleNamespace(dataset=types.SimpleNamespace(images=images))
    data = types.SimpleNamespace(test=test, **vars(DATA))
    labels = torch.zeros(20, dtype=torch.int64)
    scores = torch.zeros(20, 10)
    scores[7, 3], scores[2, 1], scores[5, 0] = 9, 5, 9  # two mistakes, one sure answer
    figure = show_worst(scores, labels, data=data)
    assert heading(figure).startswith("Largest losses on the test set — CIFAR-10 (JPEG copy)")
    assert len(visible(figure)) == 16
    assert [ax.get_title() for ax in visible(figure)[:2]] == [
        "✗ cat\n(airplane)",
        "✗ automobile\n(airplane)",
    ]
    assert np.allclose(pixels_of(figure)[0], images[7].permute(1, 2, 0) / 255)
    with pytest.raises(ValueError, match="19 rows for 20 test images"):
        show_worst(scores[:19], labels[:19], data=data)


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
