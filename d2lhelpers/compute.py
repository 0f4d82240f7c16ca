"""How a network is run: device, precision, memory format, and which of its outputs counts."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .precision import has_bfloat16
from .randomness import seed_all
from .say import Text
from .untouched import evaluating, left_as_found


class Compute(NamedTuple):
    """Where and how forward passes are computed.

    ``memory_format`` is that of images, in training also that of the weights of convolutions;
    None until ``fitted`` has found the best one.
    """

    device: torch.device
    precision: str  # "float32" or "bfloat16"
    memory_format: torch.memory_format | None = None

    def move(self, X: Tensor) -> Tensor:
        order = self.memory_format if X.ndim == 4 else torch.preserve_format
        return X.to(self.device, memory_format=order)

    def move_labels(self, y: Tensor) -> Tensor:
        """As int64, the one integer type that PyTorch's losses take as class indices."""
        return y.to(self.device, torch.int64)

    def autocast(self):
        # Some devices refuse to make an autocast at all, even one that is off.
        is_mixed = self.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16) if is_mixed else nullcontext()

    def fitted(self, net: nn.Module, X: Tensor, *, weights_too: bool = False) -> Compute:
        """Channels last, where that is faster (CPU and CUDA) and the net can take it.

        A net cannot when its ``forward`` relies on the usual order, as ``x.view(x.size(0), -1)``
        after a convolution does, or when its ``backward`` does; one that reads memory by strides
        of its own gives other scores. So a copy of it is tried on two images, in the mode that the
        net is in and in evaluation mode, there also in the usual order. Hooks may rely on it too,
        and cannot be tried without their noticing: a net with hooks keeps the usual order.

        Args:
            net: on ``device``.
            X: images (B, ...), of which the first is used.
            weights_too: whether the net will be trained, its weights in that order.
        """
        if self.memory_format is not None:
            return self
        plain = self._replace(memory_format=torch.preserve_format)
        fast = self._replace(memory_format=torch.channels_last)
        if X.ndim != 4 or self.device.type == "mps" or _has_hooks(net):
            return plain
        try:
            with left_as_found(net, self.device):
                two = torch.cat([X[:1], X[:1]])  # batch normalisation refuses one
                double = copy_for_trial(net)
                usual = plain._scores(double, two)
                if weights_too:
                    double.to(memory_format=fast.memory_format)
                scores = fast._scores(double, two)
                with torch.set_grad_enabled(weights_too), fast.autocast():
                    output = double(fast.move(two))
                if weights_too:
                    main_output(output).float().sum().backward()
        except Exception:  # of whatever kind: has it another cause, it will be raised again
            return plain
        close = 0.01 * usual.abs().nan_to_num().max().item()
        is_same = torch.allclose(scores, usual, rtol=0.05, atol=close, equal_nan=True)
        return fast if is_same else plain

    def _scores(self, net: nn.Module, X: Tensor) -> Tensor:
        """In evaluation mode; whatever is random in it comes out the same each time."""
        seed_all(0, self.device)
        with evaluating(net), torch.no_grad(), self.autocast():
            return main_output(net(self.move(X))).float()


def main_output(output) -> Tensor:
    """The class scores among what a net returns.

    A tensor is taken as it is. Of several outputs, as torchvision's nets with auxiliary
    classifiers return in training mode, it is ``logits`` or ``out``, by key or by attribute, or
    else the first.

    Raises:
        TypeError: what is found so is no tensor.

    >>> main_output((torch.zeros(2, 3), torch.ones(2, 3))).sum().item()
    0.0
    >>> main_output({"aux": torch.ones(2, 3), "out": torch.zeros(2, 3)}).sum().item()
    0.0
    """
    if isinstance(output, Tensor):
        return output
    names = ("logits", "out")
    if isinstance(output, Mapping):
        found = [output[name] for name in names if name in output]
    else:
        found = [getattr(output, name) for name in names if hasattr(output, name)]
        found += output if isinstance(output, tuple | list) else ()
    if not found or not isinstance(found[0], Tensor):
        given = type(output).__name__
        raise TypeError(
            Text(
                zh=f"网络返回了 {given}，里面找不到类别分数。请返回张量 (B, K)；"
                "有多个输出时，把分数放在第一个，或者命名为 logits 或 out。",
                en=f"the net returns a {given} in which no class scores are found; return a "
                "tensor (B, K), or, of several outputs, the scores first or as logits or out.",
            )
        )
    return found[0]


def uncompiled(net: nn.Module) -> nn.Module:
    """The net that ``torch.compile`` was given, for what needs no speed."""
    return getattr(net, "_orig_mod", net)


def copy_for_trial(net: nn.Module) -> nn.Module:
    """A copy to try things on: neither compiled nor watched by the hooks of ``net``."""
    double = copy.deepcopy(uncompiled(net))
    for module in double.modules():
        module._compiled_call_impl = None
        for hooks in _hooks_of(module):
            hooks.clear()
    return double


def _has_hooks(net: nn.Module) -> bool:
    return any(any(_hooks_of(module)) for module in net.modules())


def _hooks_of(module: nn.Module) -> tuple[dict, ...]:
    return (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )


def resolve_precision(precision: str, device: torch.device) -> str:
    if precision not in ("float32", "bfloat16", "auto"):
        expected = '"float32", "bfloat16", "auto"'
        raise ValueError(
            Text(
                zh=f"precision 是 {precision!r}；可以用 {expected}。",
                en=f"precision is {precision!r}; expected one of {expected}.",
            )
        )
    if precision == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    return precision


def materialise(net: nn.Module, X: Tensor) -> None:
    """Give the lazy layers of ``net`` their weights; ``X`` are images (B, ...) on its device."""
    if any(map(nn.parameter.is_lazy, itertools.chain(net.parameters(), net.buffers()))):
        with torch.no_grad(), evaluating(net):
            net(X[:1])
