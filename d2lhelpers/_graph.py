"""How data flows through a block: layers and joins as a graph, in ranks and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import fx, nn

from .nets import Layer, layers_of
from .say import Text

_WORDS = {
    "add": "sum",
    "iadd": "sum",
    "add_": "sum",
    "cat": "concatenate",
    "concat": "concatenate",
    "mul": "product",
    "relu_": "relu",
}
"""What joins are called in a drawing; other functions keep their own names."""


@dataclass(frozen=True)
class Node:
    """A box of a drawing: the input, a layer, or something computed or kept without a layer.

    Attributes:
        name: unique within the block.
        label: name and class of a layer as in the layer table; else what is computed.
        layer_name, kind: the two parts of a layer's label.
        window: of a convolution or pooling, as in "3×3" or "3×3, stride 2".
        shape: of the output for one image; () where it is no tensor.
        parameters: of a layer.
        is_layer: whether it is a module.
        sources: names of the nodes that it takes its input from.
        source_labels: their labels.
        rank: the longest way from the input, in nodes.
        column: of the branch, from the left.
        is_centred: whether all of the data passes here: no branch goes around it.
    """

    name: str
    label: str
    layer_name: str
    kind: str
    window: str
    shape: tuple[int, ...]
    parameters: int
    is_layer: bool
    sources: tuple[str, ...]
    source_labels: tuple[str, ...]
    rank: int
    column: int
    is_centred: bool

    @property
    def is_input(self) -> bool:
        """Whether it is the input, which alone has a shape without being a layer."""
        return bool(self.shape) and not self.is_layer

    @property
    def size(self) -> str:
        """The shape in words, as in "64 × 32 × 32"."""
        return " × ".join(map(str, self.shape))


def trace_block(block: nn.Module, image_shape: Sequence[int]) -> list[Node]:
    """The block's nodes in the order of use, for one image of this shape.

    Raises:
        ValueError: ``torch.fx`` cannot trace the block.
    """
    layers = {layer.name: layer for layer in layers_of(block, image_shape)}
    try:
        steps = [node for node in fx.symbolic_trace(block).graph.nodes if node.op != "output"]
    except Exception as error:
        kind = type(block).__name__
        raise ValueError(
            Text(
                zh=f"画不出 {kind}：torch.fx 跟踪不了它的 forward（{error}）。"
                "forward 里不要有取决于张量数值的 if，或改用 draw_network。",
                en=f"{kind} cannot be drawn: torch.fx cannot trace its forward ({error}). "
                "Leave out any if on values of tensors, or use draw_network.",
            )
        ) from error
    ranks: dict[fx.Node, int] = {}
    for step in steps:
        ranks[step] = 1 + max((ranks[source] for source in step.all_input_nodes), default=-1)
    columns = _columns(steps)
    labels = {step: _label(step, layers) for step in steps}
    nodes = []
    for step in steps:
        layer = layers.get(str(step.target)) if step.op == "call_module" else None
        nodes.append(
            Node(
                name=step.name,
                label=labels[step],
                layer_name=layer.name if layer else "",
                kind=layer.kind if layer else "",
                window=_window(block.get_submodule(layer.name)) if layer else "",
                shape=tuple(image_shape) if step.op == "placeholder" else _shape(layer),
                parameters=layer.parameters if layer else 0,
                is_layer=layer is not None,
                sources=tuple(source.name for source in step.all_input_nodes),
                source_labels=tuple(labels[source] for source in step.all_input_nodes),
                rank=ranks[step],
                column=columns[step],
                is_centred=_is_passed_by_all(step, steps, ranks),
            )
        )
    return nodes


def _shape(layer: Layer | None) -> tuple[int, ...]:
    return layer.shape if layer else ()


def _label(step: fx.Node, layers: dict[str, Layer]) -> str:
    if step.op == "placeholder":
        return "input"
    if step.op == "call_module":
        return layers[str(step.target)].label
    name = step.target if isinstance(step.target, str) else step.target.__name__
    return _WORDS.get(name, name)


def _window(module: nn.Module) -> str:
    size, stride = getattr(module, "kernel_size", None), getattr(module, "stride", 1)
    if size is None:
        return ""
    height, width = size if isinstance(size, tuple) else (size, size)
    step = stride[0] if isinstance(stride, tuple) else stride
    return f"{height}×{width}" + (f", stride {step}" if step != 1 else "")


def _columns(steps: Sequence[fx.Node]) -> dict[fx.Node, int]:
    """A column for each branch: a node's first user goes on below it, the others begin new ones."""
    columns: dict[fx.Node, int] = {}
    taken: set[fx.Node] = set()
    following = 0
    for step in steps:
        free = [source for source in step.all_input_nodes if source not in taken]
        if free and len(step.all_input_nodes) == 1:
            columns[step] = columns[free[0]]
            taken.add(free[0])
        elif len(step.all_input_nodes) > 1:
            columns[step] = min(columns[source] for source in step.all_input_nodes)
        else:
            columns[step] = following
        following = max(following, columns[step] + 1)
    return columns


def _is_passed_by_all(step: fx.Node, steps: Sequence[fx.Node], ranks: dict[fx.Node, int]) -> bool:
    """No other node is beside it, and no wire goes around it."""
    rank = ranks[step]
    beside = any(other is not step and ranks[other] == rank for other in steps)
    around = any(
        ranks[source] < rank < ranks[other] for other in steps for source in other.all_input_nodes
    )
    return not beside and not around
