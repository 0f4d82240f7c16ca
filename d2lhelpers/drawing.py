"""Networks and blocks drawn to scale, from the modules themselves.

A drawing is an SVG that displays itself in a notebook. It brings its own paper, light or dark as
the reader's system is set, and a text alternative in both languages.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import nn

from ._graph import Node, trace_block
from ._svg import LETTER, Drawing, arrow, compose, polygon, tip, write
from .nets import Layer, layers_of
from .say import Text

__all__ = ["Drawing", "draw_block", "draw_network"]

_Place = tuple[float, float, float, float]
"""A box's centre from the left, top, width and height."""


def draw_network(
    net: nn.Module, image_shape: Sequence[int], *, depth: int | None = None
) -> Drawing:
    """Draw a network from the top down, each layer's output to scale.

    Maps are drawn as stacks, height and width on one scale and channels on another; vectors as
    strips on a third. Beside each stand the layer's name, output shape and number of parameters,
    as in ``layer_table``, and a square whose area is that number. Layers that
    keep the shape and multiply nothing, such as activations, are lines of text.

    Args:
        net, image_shape, depth: as for ``layer_table``.

    Raises:
        ValueError: as for ``layer_table``.

    >>> net = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(3456, 10))
    >>> print(draw_network(net, (1, 28, 28)).description.en)
    Drawing of a network, from the input to the output: input 1 × 28 × 28; 0 Conv2d: 6 × 24 × 24, \
156 parameters; 1 ReLU; 2 Flatten: 3456; 3 Linear: 10, 34,570 parameters. In all 34,726 parameters.
    """
    first = Layer("input", "", tuple(image_shape), 0, 0)
    layers = [first, *layers_of(net, image_shape, depth=depth)]
    scale = _Scale(layers)
    names = max(len(layer.label) for layer in layers) * LETTER
    shapes = max(len(layer.size) for layer in layers) * LETTER
    numbers = max(len(f"{layer.parameters:,}") for layer in layers) * LETTER
    left = scale.widest + 34
    right = left + max(names, shapes) + 16 + numbers + 10
    width = max(360, right + _SQUARE + 12)
    parts, y, below = [], 26.0, None
    for layer, is_line in zip(layers, _lines_of_text(layers), strict=True):
        height = 20.0 if is_line else max(38.0, scale.height(layer) + 14)
        middle = y + height / 2
        if is_line:
            parts.append(write(left, middle + 4, layer.label, "faint"))
        else:
            if below is not None:
                parts.append(arrow(scale.axis, below, middle - scale.height(layer) / 2))
            parts.append(scale.stack(layer, middle))
            parts.append(write(left, middle - 3, layer.label))
            parts.append(write(left, middle + 13, layer.size, "faint"))
            below = middle + scale.height(layer) / 2
        if layer.parameters:
            end = width - _SQUARE - 18
            parts.append(write(end, middle + 4, f"{layer.parameters:,}", anchor="end"))
            parts.append(_square(width - _SQUARE / 2 - 8, middle, layer.parameters, scale.most))
        y += height
    total = sum(layer.parameters for layer in layers)
    heading = write(width - _SQUARE - 18, 18, "parameters", "faint", anchor="end")
    return compose([heading, *parts], width, y + 8, _describe(layers, total))


def _lines_of_text(layers: Sequence[Layer]) -> list[bool]:
    """Which layers need no picture: they keep the shape and multiply nothing."""
    pairs = itertools.pairwise(layers)
    return [False, *(b.shape == a.shape and not b.multiply_adds for a, b in pairs)]


_SQUARE = 34.0  # side of the largest square, in units: less than a row is high


class _Scale:
    """How large a network's outputs are drawn: the largest of each kind fills its room."""

    def __init__(self, layers: Sequence[Layer]):
        maps = [layer.shape for layer in layers if len(layer.shape) == 3]
        vectors = [layer.shape[0] for layer in layers if len(layer.shape) == 1]
        self.pixel = 84 / max((max(h, w) for _, h, w in maps), default=1)
        self.channel = 40 / max((c for c, _, _ in maps), default=1)
        self.unit = 120 / max(vectors, default=1)
        self.widest = max(self.size(layer)[0] for layer in layers)
        self.axis = 12 + self.widest / 2
        self.most = max(1, *(layer.parameters for layer in layers))

    def size(self, layer: Layer) -> tuple[float, float]:
        if len(layer.shape) == 3:
            channels, height, width = layer.shape
            depth = self.depth(channels)
            return max(2, width * self.pixel) + depth, max(2, height * self.pixel) + 0.6 * depth
        return max(3, layer.shape[0] * self.unit) if len(layer.shape) == 1 else 20.0, 8.0

    def depth(self, channels: int) -> float:
        return max(1.5, channels * self.channel)

    def height(self, layer: Layer) -> float:
        return self.size(layer)[1]

    def stack(self, layer: Layer, middle: float) -> str:
        """A layer's output around the drawing's axis: front, top and side, or a strip."""
        width, height = self.size(layer)
        x, y = self.axis - width / 2, middle - height / 2
        if len(layer.shape) != 3:
            return (
                f'<rect class="d2l-face" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="8"/>'
            )
        depth = self.depth(layer.shape[0])
        w, h, up = width - depth, height - 0.6 * depth, 0.6 * depth
        top = polygon([(x, y + up), (x + depth, y), (x + width, y), (x + w, y + up)])
        side = polygon([(x + w, y + up), (x + width, y), (x + width, y + h), (x + w, y + height)])
        front = (
            f'<rect class="d2l-face" x="{x:.1f}" y="{y + up:.1f}" '
            f'width="{w:.1f}" height="{h:.1f}"/>'
        )
        return top + side + front


def draw_block(block: nn.Module, image_shape: Sequence[int]) -> Drawing:
    """Draw a block's branches and joins, from the top down, as data flows through them.

    Each box is a layer: its class and window, and its name, output shape and parameters as in
    ``layer_table``. What is computed without a layer, such as a sum or a concatenation, is a
    rounded box.

    Args:
        block: a module that ``torch.fx`` can trace: no ``if`` on values of tensors.
        image_shape: the shape of what goes in, without the batch axis, e.g. (64, 32, 32).

    Raises:
        ValueError: the block cannot be traced, or does not take such an input.

    >>> block = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    >>> draw_block(block, (3, 32, 32)).description.en.split("; ")[1]
    '0 Conv2d 3×3: 8 × 32 × 32, 224 parameters, from input'
    """
    nodes = trace_block(block, image_shape)
    columns = 1 + max(node.column for node in nodes)
    widest = max(len(line) for node in nodes for line in _lines(node)) * LETTER + 18
    step = max(100.0, widest + _GAP)
    width = max(240.0, columns * step + 12)
    margin = (width - columns * step) / 2
    tops, y = {}, 12.0
    for rank in range(1 + max(node.rank for node in nodes)):
        row = [node for node in nodes if node.rank == rank]
        height = max(12 + 16 * len(_lines(node)) for node in row)
        for node in row:
            tops[node.name] = y
        y += height + 22
    places = {node.name: _place(node, margin, step, tops, columns) for node in nodes}
    parts, lane = [], margin + columns * step + _GAP
    for node in nodes:
        for source in node.sources:
            start, end = places[source], places[node.name]
            if _is_blocked(start, end, list(places.values())):
                parts.append(_detour(start, end, lane))
                lane += 16
            else:
                parts.append(_wire(start, end))
    width = max(width, lane + 8)
    parts += [_box(node, places[node.name]) for node in nodes]
    return compose(parts, width, y - 10, _describe_block(nodes))


_GAP = 14.0  # between boxes side by side, and before the line of a shortcut


def _lines(node: Node) -> list[str]:
    if not node.is_layer:
        return [node.label, node.size] if node.size else [node.label]
    lines = [f"{node.kind} {node.window}".strip(), node.layer_name, node.size]
    return lines + ([f"{node.parameters:,}"] if node.parameters else [])


def _place(node: Node, margin: float, step: float, tops: dict[str, float], columns: int) -> _Place:
    """Centre, top, width and height of a node's box; a node that all branches meet in is wide."""
    height = 12 + 16 * len(_lines(node))
    wide = step - _GAP
    x = margin + step * (node.column + 0.5)
    if node.is_centred and columns > 1:
        x = margin + step * columns / 2
    return x, tops[node.name], wide, height


def _box(node: Node, place: _Place) -> str:
    x, y, width, height = place
    kind, corner = ("box", 3) if node.is_layer else ("join", 12)
    parts = [
        f'<rect class="d2l-{kind}" x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="{corner}"/>'
    ]
    for i, line in enumerate(_lines(node)):
        shade = "ink" if i == 0 else "faint"
        parts.append(write(x, y + 19 + 16 * i, line, shade, anchor="middle"))
    return "".join(parts)


def _wire(start: _Place, end: _Place) -> str:
    """A line from a box's lower edge to another's upper one, bent where they are not in line."""
    x, y = start[0], start[1] + start[3]
    u, v = end[0], end[1] - 6
    bend = v - 8
    path = (
        f"M{x:.1f} {y:.1f}V{v:.1f}"
        if abs(x - u) < 1
        else (f"M{x:.1f} {y:.1f}V{bend:.1f}H{u:.1f}V{v:.1f}")
    )
    return f'<path class="d2l-line" d="{path}"/>' + tip(u, v + 6)


def _is_blocked(start: _Place, end: _Place, boxes: Sequence[_Place]) -> bool:
    """Whether a box lies straight below ``start`` and above ``end``."""
    return any(start[1] < y < end[1] and abs(x - start[0]) < width / 2 for x, y, width, _ in boxes)


def _detour(start: _Place, end: _Place, lane: float) -> str:
    """A line from one box's right side to another's, past all boxes: a shortcut."""
    x, y = start[0] + start[2] / 2, start[1] + start[3] / 2
    u, v = end[0] + end[2] / 2, end[1] + end[3] / 2
    path = f'<path class="d2l-line" d="M{x:.1f} {y:.1f}H{lane:.1f}V{v:.1f}H{u + 4:.1f}"/>'
    points = f"{u + 6:.1f},{v - 3.5:.1f} {u + 6:.1f},{v + 3.5:.1f} {u:.1f},{v:.1f}"
    return f'{path}<polygon class="d2l-tip" points="{points}"/>'


def _square(x: float, y: float, number: int, most: int) -> str:
    side = _SQUARE * math.sqrt(number / most)
    return (
        f'<rect class="d2l-bar" x="{x - side / 2:.2f}" y="{y - side / 2:.2f}" '
        f'width="{side:.2f}" height="{side:.2f}"/>'
    )


def _describe(layers: Sequence[Layer], total: int) -> Text:
    first, *others = layers
    zh, en = [f"输入 {first.size}"], [f"input {first.size}"]
    for layer, is_line in zip(others, _lines_of_text(layers)[1:], strict=True):
        size = "" if is_line else layer.size
        zh.append(layer.label + (size and f"：{size}") + _many(layer.parameters, "，{:,} 个参数"))
        en.append(
            layer.label + (size and f": {size}") + _many(layer.parameters, ", {:,} parameters")
        )
    return Text(
        zh=f"网络的图，从输入到输出：{'；'.join(zh)}。共 {total:,} 个参数。",
        en=f"Drawing of a network, from the input to the output: {'; '.join(en)}. "
        f"In all {total:,} parameters.",
    )


def _describe_block(nodes: Sequence[Node]) -> Text:
    zh, en = [], []
    for node in nodes:
        if node.is_input:
            zh.append(f"输入 {node.size}")
            en.append(f"input {node.size}")
            continue
        window = f" {node.window}" if node.window else ""
        size = f"{window}: {node.size}" if node.is_layer else ""
        zh.append(
            node.label
            + size.replace(": ", "：")
            + _many(node.parameters, "，{:,} 个参数")
            + (f"，来自 {'、'.join(node.source_labels)}" if node.sources else "")
        )
        en.append(
            node.label
            + size
            + _many(node.parameters, ", {:,} parameters")
            + (f", from {' and '.join(node.source_labels)}" if node.sources else "")
        )
    return Text(
        zh=f"模块的图，从输入到输出：{'；'.join(zh)}。",
        en=f"Drawing of a block, from the input to the output: {'; '.join(en)}.",
    )


def _many(number: int, words: str) -> str:
    return words.format(number) if number else ""
