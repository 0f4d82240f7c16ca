"""What the tests of pictures and charts share: sample images, and what a figure holds."""

import functools
import io
import types
import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from d2lhelpers.history import History

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = torch.tensor([0.49, 0.48, 0.45]), torch.tensor([0.25, 0.24, 0.26])
DATA = types.SimpleNamespace(mean=MEAN, std=STD, classes=CLASSES, source="CIFAR-10 (JPEG copy)")


def drawn(draw):
    """``draw`` for a test: it gives the figure, though a notebook has nothing to echo."""

    @functools.wraps(draw)
    def call(*arguments, **options):
        before = plt.get_fignums()
        assert draw(*arguments, **options) is None
        assert len(plt.get_fignums()) == len(before) + 1
        return plt.gcf()

    return call


def a_data_set(**changes):
    """What stands for an ``ImageData`` where only colours and names matter."""
    return types.SimpleNamespace(**vars(DATA) | changes)


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


def history(name="01/LeNet", source="MNIST", epochs=4, validation=False, **changes):
    curve = [1 / (epoch + 2) for epoch in range(epochs)]
    fields = {"seed": 0, "device": "CPU", "precision": "float32", "log_dir": "", "started": 0.0}
    fields |= {"parameters": 10, "multiply_adds": 1_000, "train_samples": 100}
    fields |= {
        "train_loss": curve,
        "train_accuracy": [1 - value for value in curve],
        "test_loss": [value + 0.1 for value in curve],
        "test_accuracy": [0.9 - value for value in curve],
        "seconds": [1.0] * epochs,
    }
    if validation:
        fields |= {f"validation_{m}": fields[f"test_{m}"] for m in ("loss", "accuracy")}
        fields |= {"test_loss": [0.3], "test_accuracy": [0.7]}
    return History(name=name, source=source, **fields | changes)
