"""Pictures of data and of what a network makes of it: images, mistakes, filters, feature maps.

Every function returns a matplotlib figure and leaves it open in pyplot, so that a notebook
shows it at the end of the cell (end the call with ``;`` or it appears twice).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ._style import VERMILLION, as_array, check_finite, grid, styled
from .nets import evaluating

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["show_feature_maps", "show_filters", "show_images", "show_worst"]


@styled
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
    figure, axes = grid(count, columns, heading, lines=lines)
    for i, ax in enumerate(axes):
        _draw_image(ax, pixels[i])
        if not predicted:
            _caption(ax, true[i] if true else "")
        elif not true or predicted[i] == true[i]:
            _caption(ax, predicted[i])
        else:
            _caption(ax, f"✗ {predicted[i]}", f"({true[i]})", color=VERMILLION, weight="bold")
            for spine in ax.spines.values():
                spine.set(visible=True, color=VERMILLION, linewidth=2.5)
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


@styled
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
    weight = as_array(weight, "layer_or_weight").astype(np.float32)
    if weight.ndim != 4 or weight.shape[1] not in (1, 3) or weight.size == 0:
        raise ValueError(
            f"Filters can be shown as pictures if they take 1 or 3 channels: the weight must be "
            f"(N, 1, H, W) or (N, 3, H, W); got {weight.shape}. Pass the network's first "
            "convolution; for deeper layers see show_feature_maps."
        )
    check_finite(weight, "The weight")
    number, channels, height, width = weight.shape
    heading = title or f"{number} filters of {height}×{width} weights, {channels} channel" + (
        "s, each on its own scale" if channels == 3 else ""
    )
    # Full rows where a number of columns from 6 to 12 gives them.
    columns = next((n for n in range(min(12, number), 5, -1) if number % n == 0), 12)
    figure, axes = grid(number, columns, heading, bar=channels == 1)
    if channels == 3:
        largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
        colours = 0.5 + weight / (2 * np.where(largest > 0, largest, 1))
        for ax, picture in zip(axes, colours, strict=True):
            _draw_image(ax, picture)
    else:
        _draw_maps(figure, axes, weight[:, 0], "weight", signed=True)
    return figure


@styled
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
    figure, axes = grid(count, columns=8, heading=heading, lines=1, bar=True)
    maps = maps[:count]
    _draw_maps(figure, axes, maps, "activation", signed=bool(maps.min() < 0))
    for i, ax in enumerate(axes):
        _caption(ax, f"channel {i}")
    return figure


# --- images -----------------------------------------------------------------------------------

_EXPECTED = "Expected (N, C, H, W), (N, H, W), (C, H, W) or (H, W) with 1 or 3 channels"


def _batch(images: Tensor | np.ndarray) -> np.ndarray:
    """Images of any accepted shape as (N, C, H, W)."""
    pixels = as_array(images, "images")
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
    check_finite(pixels, "images")
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
    maps = as_array(output[0], "output")
    check_finite(maps, f"The output of layer {name}")
    return maps
