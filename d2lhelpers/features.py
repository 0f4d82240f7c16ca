"""What a network makes of an image: its first filters, and the feature maps of a layer.

What is drawn stays open in pyplot, so that a notebook shows it at the end of the cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ._style import as_array, caption, check_finite, describe_figure, grid
from .device import device_of
from .images import draw_image
from .say import Text
from .untouched import evaluating

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["show_feature_maps", "show_filters"]


def show_filters(weight: Tensor, *, title: str | None = None) -> None:
    """Show the filters of a first convolution as small pictures.

    Filters for 3 channels are shown in colour, each divided by its own largest weight: 0 is mid
    grey, and the three channels of a filter keep their proportions. Filters for 1 channel
    share one scale from blue (negative) to red (positive), with a colour bar.

    Args:
        weight: of the convolution, (N, C, H, W) with C = 1 or 3, on any device.
        title: text above the filters.

    Raises:
        TypeError: ``weight`` is no tensor.
        ValueError: the weight has another shape, or NaN or infinity in it.
    """
    if isinstance(weight, nn.Module):
        raise TypeError(
            Text(
                zh=f"show_filters 要卷积的权重，得到的是 {type(weight).__name__} 层；"
                "请传它的 .weight，例如 net[0].weight。",
                en=f"show_filters takes the weight of a convolution, not the layer "
                f"{type(weight).__name__}; pass its .weight, as in net[0].weight.",
            )
        )
    weight = as_array(weight, "weight").astype(np.float32)
    if weight.ndim != 4 or weight.shape[1] not in (1, 3) or weight.size == 0:
        raise ValueError(
            Text(
                zh=f"滤波器能画成图，输入要是 1 或 3 个通道：权重的形状应是 (N, 1, H, W) 或 "
                f"(N, 3, H, W)，得到的是 {weight.shape}。请传第一个卷积的权重；更深的层用 "
                "show_feature_maps。",
                en="Filters can be shown as pictures if they take 1 or 3 channels: the weight must "
                f"be (N, 1, H, W) or (N, 3, H, W); got {weight.shape}. Pass the weight of the "
                "network's first convolution; for deeper layers see show_feature_maps.",
            )
        )
    check_finite(weight, "weight")
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
            draw_image(ax, picture)
    else:
        _draw_maps(figure, axes, weight[:, 0], "weight", signed=True)
    size, low, high = f"{height}×{width}", weight.min(), weight.max()
    describe_figure(
        figure,
        Text(
            zh=f"{heading}：{number} 个 {size} 的滤波器，{channels} 个输入通道，"
            f"权重从 {low:.2g} 到 {high:.2g}。",
            en=f"{heading}: {number} filters of {size} for {channels} input "
            f"channel{'s' if channels > 1 else ''}, weights from {low:.2g} to {high:.2g}.",
        ),
    )


def show_feature_maps(
    net: nn.Module,
    image: Tensor,
    layer: nn.Module,
    *,
    count: int = 16,
    title: str | None = None,
) -> None:
    """Show what a layer makes of one image: its output, channel by channel, on one scale.

    The network runs in eval mode and without gradients, and is left as it was found.

    Args:
        net: the network.
        image: one image (C, H, W) as the network expects it (normalised), on any device.
        layer: a layer of the network, such as ``net[0]``.
        count: the most channels to show, from the first on.
        title: text above the maps.

    Raises:
        TypeError: ``image`` is not a tensor, or ``layer`` not a module.
        ValueError: ``image`` has another shape; ``layer`` is not in the network, is not reached, or
            its output is not a stack of maps (1, channels, H, W).
    """
    _check_image(image)
    if count < 1:
        raise ValueError(
            Text(
                zh=f"count 至少是 1，得到的是 {count}。",
                en=f"count must be at least 1; got {count}.",
            )
        )
    name = _name_of(net, layer)
    maps = _output_of(net, layer, image, name)
    channels = len(maps)
    maps = maps[:count]
    kind = type(layer).__name__
    heading = title or f"Feature maps of {name.en} ({kind})"
    if count < channels:
        heading += f": {count} of {channels} channels"
    figure, axes = grid(len(maps), columns=8, heading=heading, lines=1, bar=True)
    _draw_maps(figure, axes, maps, "activation", signed=bool(maps.min() < 0))
    for i, ax in enumerate(axes):
        caption(ax, f"channel {i}")
    size, low, high = "×".join(map(str, maps.shape[1:])), maps.min(), maps.max()
    strongest = int(np.abs(maps).mean(axis=(1, 2)).argmax())
    describe_figure(
        figure,
        Text(
            zh=f"{heading}：{kind} 层对一张图像的输出，{len(maps)} 个通道，每个 {size}，"
            f"数值从 {low:.2g} 到 {high:.2g}，平均反应最强的是 channel {strongest}。",
            en=f"{heading}: what the {kind} layer puts out for one image, {len(maps)} "
            f"channel{'s' if len(maps) > 1 else ''} of {size}, values from {low:.2g} to "
            f"{high:.2g}; channel {strongest} responds most strongly on average.",
        ),
    )


def _draw_maps(
    figure: Figure, axes: list[Axes], maps: np.ndarray, label: str, signed: bool
) -> None:
    """Draw maps (N, H, W) on one colour scale with a colour bar.

    The scale starts at 0; a ``signed`` one is symmetric about 0, which is its palest colour.
    """
    limit = float(np.abs(maps).max()) or 1.0
    low, cmap = (-limit, "RdBu_r") if signed else (0, "viridis")
    for ax, picture in zip(axes, maps, strict=True):
        drawn = ax.imshow(picture, cmap=cmap, vmin=low, vmax=limit, interpolation="nearest")
    rows = axes[0].get_gridspec().nrows
    figure.colorbar(drawn, ax=axes, label=label, aspect=min(12 * rows, 30), pad=0.01)


def _check_image(image: Tensor) -> None:
    if not isinstance(image, Tensor):
        given = type(image).__name__
        raise TypeError(
            Text(
                zh=f"image 应是 torch.Tensor，得到的是 {given}。",
                en=f"image must be a torch.Tensor, not {given}.",
            )
        )
    if image.dim() != 3:
        given = tuple(image.shape)
        raise ValueError(
            Text(
                zh=f"image 应是一张图像 (C, H, W)，得到的是 {given}。一批里取一张：X[0]。",
                en=f"image must be one image (C, H, W); got {given}. Take one of a batch with "
                "X[0].",
            )
        )


def _name_of(net: nn.Module, layer: nn.Module) -> Text:
    """What to call ``layer``, by its name in ``net``."""
    if not isinstance(layer, nn.Module):
        raise TypeError(
            Text(
                zh=f"layer 应是网络里的一层，例如 net[0]，得到的是 {layer!r}。",
                en=f"layer must be a layer of the network, such as net[0]; got {layer!r}.",
            )
        )
    for name, module in net.named_modules():
        if module is layer:
            if not name:
                return Text(zh="整个网络", en="the whole network")
            return Text(zh=f"第 {name} 层", en=f"layer {name}")
    kind = type(layer).__name__
    raise ValueError(
        Text(
            zh=f"这个 {kind} 不是 net 里的一层；请从同一个 net 里取，例如 net[0]。",
            en=f"This {kind} is not a layer of net; take one from the same net, such as net[0].",
        )
    )


def _output_of(net: nn.Module, layer: nn.Module, image: Tensor, name: Text) -> np.ndarray:
    """The maps (channels, H, W) that ``layer`` puts out while ``net`` sees ``image``."""
    outputs = []

    def keep(module, inputs, output) -> None:
        # A copy: a ReLU with inplace=True would overwrite the layer's output a moment later.
        outputs.append(output.detach().clone() if isinstance(output, Tensor) else output)

    dtype = next(net.parameters(), image).dtype
    handle = layer.register_forward_hook(keep)
    try:
        with evaluating(net), torch.no_grad():
            net(image[None].to(device_of(net), dtype))
    finally:
        handle.remove()
    if not outputs:
        raise ValueError(
            Text(
                zh=f"处理这张图像时，网络没有用到{name.zh}。",
                en=f"The network did not use {name.en} for this image.",
            )
        )
    output = outputs[-1]
    if not isinstance(output, Tensor) or output.dim() != 4:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            Text(
                zh=f"{name.zh}的输出不是特征图 (1, channels, H, W)，而是 {shape}。"
                "请选展平之前的卷积、池化或激活函数。",
                en=f"The output of {name.en} is no stack of maps (1, channels, H, W) but {shape}. "
                "Choose a convolution, a pooling or an activation before the network is flattened.",
            )
        )
    maps = as_array(output[0], "output")
    check_finite(maps, name)
    return maps
