"""A net after a ``with`` block as it was before it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from .randomness import random_state_kept


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Put ``net`` in eval mode for a ``with`` block, then every module back in its own mode.

    ``net.train()`` afterwards would not do: it would also wake the modules that a caller
    had put in eval mode by hand, such as a frozen batch normalisation.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout().eval())
    >>> with evaluating(net):
    ...     net.training
    False
    >>> net.training, net[1].training
    (True, False)
    """
    with _modes_kept(net):
        net.eval()
        yield


@contextmanager
def left_as_found(net: nn.Module, device: torch.device) -> Iterator[None]:
    """Buffers, such as running means, and the random state are the same after a ``with`` block."""
    kept = [
        (module, name, buffer, buffer.clone())
        for module in net.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if not nn.parameter.is_lazy(buffer)
    ]
    with random_state_kept(device):
        try:
            yield
        finally:
            for module, name, buffer, value in kept:
                buffer.data.copy_(value)
                setattr(module, name, buffer)  # a forward may have put another one there


@contextmanager
def without_a_trace(net: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode, no gradients, and the random state as if nothing had been drawn."""
    with evaluating(net), torch.no_grad(), random_state_kept(device):
        yield


@contextmanager
def weights_in(net: nn.Module, memory_format: torch.memory_format) -> Iterator[None]:
    """The weights of convolutions in ``memory_format``, and after the block each in its own."""
    came = []
    if memory_format is not torch.preserve_format:
        weights = itertools.filterfalse(nn.parameter.is_lazy, net.parameters())
        came = [(weight, weight.data) for weight in weights if weight.ndim == 4]
    for weight, data in came:
        weight.data = data.to(memory_format=memory_format)
    try:
        yield
    finally:
        for weight, data in came:
            weight.data = data.copy_(weight.data)


@contextmanager
def in_training_mode(net: nn.Module) -> Iterator[None]:
    """Training mode for a ``with`` block, except where a layer of the net was put in ``eval()``.

    A net that is in ``eval()`` as a whole is woken as a whole. Afterwards every layer is in the
    mode in which it came.
    """
    with _modes_kept(net):
        if not net.training:
            net.train()
        yield


@contextmanager
def _modes_kept(net: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in net.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
