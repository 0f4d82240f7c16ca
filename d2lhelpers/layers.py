"""What goes on inside a network, layer by layer: the size of its signals and gradients."""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from .device import device_of

__all__ = ["layer_gradients", "layer_signals"]


def layer_signals(net: nn.Module, X: Tensor) -> dict[str, float]:
    """How large the output of each convolution and fully connected layer is.

    The root mean square over the whole mini-batch, in the order of use, by the layer's name in
    ``net``. The network is run once, in the mode it is in, without gradients.

    Args:
        net: a network that takes ``X``.
        X: a mini-batch (N, ...) on any device.

    >>> net = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU())
    >>> _ = nn.init.constant_(net[0].weight, 0.5)
    >>> layer_signals(net, torch.ones(4, 2))
    {'0': 1.0}
    """
    signals: dict[str, float] = {}
    with ExitStack() as stack, torch.no_grad():
        for name, layer in _learned_layers(net).items():

            def record(module, inputs, output, name=name):
                signals[name] = output.float().square().mean().sqrt().item()

            stack.enter_context(layer.register_forward_hook(record))
        net(X.to(device_of(net)))
    return signals


def layer_gradients(net: nn.Module, X: Tensor, y: Tensor) -> dict[str, float]:
    """How large the gradient of each convolution's and fully connected layer's weight is.

    The Euclidean norm of the gradient of the mean cross-entropy, in the order in which the layers
    are registered, by the layer's name in ``net``; frozen weights have none and are left out. The
    network is run once, in the mode it is in; ``.grad`` of its parameters stays as it was.

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
    with torch.enable_grad():
        loss = nn.functional.cross_entropy(net(X.to(device)), y.to(device))
        gradients = torch.autograd.grad(loss, [layer.weight for layer in layers.values()])
    norms = (gradient.norm().item() for gradient in gradients)
    return dict(zip(layers, norms, strict=True))


def _learned_layers(net: nn.Module) -> dict[str, nn.Module]:
    return {name: m for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
