"""What is inside a network: layers, counts, signals, gradients, initial weights.

The table is not torchinfo's, which counts biases among the multiply-adds; papers do not. Nor is it
a pandas table, whose text sets names flush right: it is read in terminals and stored outputs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .device import device_of
from .say import Text
from .untouched import left_as_found, without_a_trace

__all__ = [
    "count_multiply_adds",
    "count_parameters",
    "init_he",
    "init_xavier",
    "layer_gradients",
    "layer_signals",
    "layer_table",
]


def init_xavier(module: nn.Module) -> None:
    """Xavier (Glorot) uniform weights for convolutions and fully connected layers; biases stay.

    For ``net.apply(init_xavier)``. Source: Glorot and Bengio, "Understanding the difficulty of
    training deep feedforward neural networks", 2010, equation 16.

    >>> from torch import nn
    >>> layer = nn.Linear(300, 300)
    >>> init_xavier(layer)
    >>> round(layer.weight.abs().max().item(), 2)  # the root of 6 / (300 + 300)
    0.1
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)


def init_he(module: nn.Module) -> None:
    """He (Kaiming) normal weights for convolutions and fully connected layers; biases zero.

    For ``net.apply(init_he)``. The variance 2/n, with n inputs to an output, keeps the size of the
    signal from layer to layer where ReLU follows. Source: He, Zhang, Ren and Sun, "Delving deep
    into rectifiers", 2015, equation 10.

    >>> from torch import nn
    >>> layer = nn.Linear(800, 1000)
    >>> init_he(layer)
    >>> round(layer.weight.std().item(), 2), layer.bias.any().item()
    (0.05, False)
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def count_parameters(net: nn.Module) -> int:
    """The number of trainable parameters of ``net``.

    A tensor that several layers share counts once; frozen parameters
    (``requires_grad=False``) and buffers, such as running means, do not count.

    >>> count_parameters(nn.Linear(10, 3))
    33
    """
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def count_multiply_adds(net: nn.Module, image_shape: Sequence[int]) -> int:
    """The multiply-adds that ``net`` spends on one image.

    The network runs once, in eval mode and without gradients, on a blank image. Its mode, its
    weights and the random numbers that follow are the same afterwards. Only convolutions and
    matrix products are counted, as papers do: biases, activations, pooling and normalisation
    are left out (well under one per cent of most networks).

    Counted with ``torch.utils.flop_counter.FlopCounterMode``, which reports two floating-point
    operations for each multiply-add.

    Args:
        net: a network that takes a batch of images (N, ...).
        image_shape: the shape of one image without the batch axis, e.g. (3, 32, 32).

    Raises:
        ValueError: ``image_shape`` is empty or holds something other than positive ints.

    >>> count_multiply_adds(nn.Conv2d(3, 8, kernel_size=5, padding=2), (3, 32, 32))
    614400
    >>> 8 * 32 * 32 * (3 * 5 * 5)  # outputs times the multiply-adds of each
    614400
    """
    return _run_once(net, image_shape).get_total_flops() // 2


def layer_table(net: nn.Module, image_shape: Sequence[int], *, depth: int | None = None) -> str:
    """The layers of ``net`` in the order of use: output shape, parameters, multiply-adds.

    One line for each module without modules of its own, for one image, and a line of totals. A
    module that is used several times has one line, with the shape of the first use and the
    multiply-adds of all. They are counted, and the network is left, as in
    ``count_multiply_adds``.

    Args:
        net: a network that takes a batch of images (N, \\*image_shape).
        image_shape: the shape of one image without the batch axis, e.g. (3, 32, 32).
        depth: modules nested deeper than this are summed up in the one that holds them; with 1,
            each child of ``net`` has one line. None shows all.

    Raises:
        ValueError: ``image_shape`` is empty or holds something other than positive ints, or
            ``depth`` is below 1.

    >>> net = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Flatten(), nn.Linear(6 * 24 * 24, 10))
    >>> print(layer_table(net, (1, 28, 28)))
    layer        output shape    parameters  multiply-adds
    0 Conv2d     6 × 24 × 24            156         86,400
    1 Flatten    3456                     0              0
    2 Linear     10                  34,570         34,560
    total                            34,726        120,960
    >>> print(layer_table(nn.Sequential(net, nn.Softmax(dim=1)), (1, 28, 28), depth=1))
    layer         output shape    parameters  multiply-adds
    0 Sequential  10                  34,726        120,960
    1 Softmax     10                       0              0
    total                             34,726        120,960
    """
    layers = layers_of(net, image_shape, depth=depth)
    rows = [(each.label, each.size, each.parameters, each.multiply_adds) for each in layers]
    rows.append(("total", "", count_parameters(net), count_multiply_adds(net, image_shape)))
    first = max(12, *(len(row[0]) + 1 for row in rows))
    second = max(15, *(len(row[1]) + 1 for row in rows))
    head = f"{'layer':<{first}} {'output shape':<{second}} {'parameters':>10} {'multiply-adds':>14}"
    lines = [f"{r[0]:<{first}} {r[1]:<{second}} {r[2]:>10,} {r[3]:>14,}" for r in rows]
    return "\n".join([head, *lines])


class Layer(NamedTuple):
    """A line of the layer table: a module of a network, or what it does with one image.

    Attributes:
        name: of the module within the network, "" for the network itself.
        kind: the module's class.
        shape: of its output for one image, without the batch axis.
        parameters: trainable ones.
        multiply_adds: for one image.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int

    @property
    def label(self) -> str:
        """Name and class, as in "0 Conv2d"."""
        return f"{self.name} {self.kind}".strip()

    @property
    def size(self) -> str:
        """The shape in words, as in "6 × 28 × 28"."""
        return " × ".join(map(str, self.shape))


def layers_of(
    net: nn.Module, image_shape: Sequence[int], *, depth: int | None = None
) -> list[Layer]:
    """The layers of ``net`` in the order of use; arguments and errors as for ``layer_table``."""
    if depth is not None and depth < 1:
        raise ValueError(
            Text(
                zh=f"depth 是 {depth}；应至少是 1，或用 None 表示列出所有的层。",
                en=f"depth is {depth}; expected at least 1, or None to show all layers.",
            )
        )
    used: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}

    def record(name: str):
        def hook(module, inputs, output):
            while isinstance(output, tuple | list):  # a recurrent layer gives its state as well
                output = output[0]
            used.setdefault(name, (module, tuple(output.shape[1:])))

        return hook

    shown = []
    for name, module in net.named_modules():
        level = name.count(".") + 1 if name else 0
        if level == depth or (not list(module.children()) and (depth is None or level < depth)):
            shown.append((name, module))
    handles = [module.register_forward_hook(record(name)) for name, module in shown]
    try:
        counter = _run_once(net, image_shape)
    finally:
        for handle in handles:
            handle.remove()
    flops = {
        name.partition(".")[2]: sum(by_operation.values()) // 2
        for name, by_operation in counter.get_flop_counts().items()
    }
    return [
        Layer(name, type(module).__name__, shape, count_parameters(module), flops.get(name, 0))
        for name, (module, shape) in used.items()
    ]


def _run_once(net: nn.Module, image_shape: Sequence[int]):
    """Run ``net`` on one blank image, leaving no trace, and give the counter that watched."""
    from torch.utils.flop_counter import FlopCounterMode

    shape = tuple(image_shape)
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(
            Text(
                zh="image_shape 应是正整数，没有批量那一维，例如 (3, 32, 32)；"
                f"得到的是 {image_shape!r}。",
                en="image_shape must hold positive ints, e.g. (3, 32, 32) without a batch axis; "
                f"got {image_shape!r}.",
            )
        )
    weight = next((p for p in net.parameters() if p.is_floating_point()), torch.empty(0))
    image = torch.zeros(1, *shape, dtype=weight.dtype, device=weight.device)
    counter = FlopCounterMode(display=False)
    with without_a_trace(net, weight.device), counter:
        net(image)
    return counter


def layer_signals(net: nn.Module, X: Tensor) -> dict[str, float]:
    """How large the output of each convolution and fully connected layer is.

    The root mean square over the whole mini-batch, in the order of use, by the layer's name in
    ``net``. The network is run once, in the mode it is in, without gradients; its buffers, such as
    running means, and the random state are afterwards as they were.

    Args:
        net: a network that takes ``X``.
        X: a mini-batch (N, ...) on any device.

    >>> net = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU())
    >>> _ = nn.init.constant_(net[0].weight, 0.5)
    >>> layer_signals(net, torch.ones(4, 2))
    {'0': 1.0}
    """
    signals: dict[str, float] = {}
    device = device_of(net)
    with ExitStack() as stack, torch.no_grad(), left_as_found(net, device):
        for name, layer in _learned_layers(net).items():

            def record(module, inputs, output, name=name):
                signals[name] = output.float().square().mean().sqrt().item()

            stack.enter_context(layer.register_forward_hook(record))
        net(X.to(device))
    return signals


def layer_gradients(net: nn.Module, X: Tensor, y: Tensor) -> dict[str, float]:
    """How large the gradient of each convolution's and fully connected layer's weight is.

    The Euclidean norm of the gradient of the mean cross-entropy, in the order in which the layers
    are registered, by the layer's name in ``net``; weights that are frozen or unused have none and
    are left out. The network is run once, in the mode it is in; ``.grad`` of its parameters, its
    buffers and the random state stay as they were.

    Args:
        net: maps ``X`` to class scores (N, K).
        X: a mini-batch (N, ...) on any device.
        y: class indices int64 (N,).

    >>> net = nn.Linear(1, 2)
    >>> for parameter in net.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> norms = layer_gradients(net, torch.ones(1, 1), torch.tensor([0]))
    >>> round(norms[""], 4)  # scores of zero: the gradient is (-1/2, 1/2)
    0.7071
    """
    layers = {
        name: layer for name, layer in _learned_layers(net).items() if layer.weight.requires_grad
    }
    device = device_of(net)
    weights = [layer.weight for layer in layers.values()]
    with torch.enable_grad(), left_as_found(net, device):
        loss = nn.functional.cross_entropy(net(X.to(device)), y.to(device))
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    found = zip(layers, gradients, strict=True)
    return {name: gradient.norm().item() for name, gradient in found if gradient is not None}


def _learned_layers(net: nn.Module) -> dict[str, nn.Module]:
    return {name: m for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
