"""A network at work without learning: scores and accuracies, and how batches reach it."""

from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import nn

from .device import device_of, has_bfloat16
from .metrics import accuracy
from .nets import evaluating


class Evaluation(NamedTuple):
    """Mean loss and accuracy (a fraction in [0, 1]) over all samples of a data set."""

    loss: float
    accuracy: float


def predict(net: nn.Module, loader, *, precision: str = "float32"):
    """Class scores of ``net`` for every sample that ``loader`` yields, in its order.

    Runs in evaluation mode without gradients, on the device where ``net`` is; leaves the net's
    mode and the random state as they were.

    Args:
        net: maps images (B, C, H, W) to class scores (B, K).
        loader: yields ``(X, y)`` with y of shape (B,).
        precision: as for ``train``.

    Returns:
        scores float32 (N, K) and labels int64 (N,), both on the net's device.
    """
    device = device_of(net)
    precision = resolve_precision(precision, device)
    scores, labels = [], []
    with without_a_trace(net), autocast(device, precision):
        for X, y in loader:
            scores.append(net(to_device(X, device)).float())
            labels.append(y.to(device))
    if not scores:
        raise ValueError("the loader is empty; expected at least one batch to predict")
    return torch.cat(scores), torch.cat(labels)


def evaluate(net: nn.Module, loader, *, precision: str = "float32") -> Evaluation:
    """Mean cross-entropy and accuracy of ``net`` over all samples of ``loader``, from one pass.

    Args:
        net, loader, precision: as for ``predict``.
    """
    scores, labels = predict(net, loader, precision=precision)
    return Evaluation(nn.functional.cross_entropy(scores, labels).item(), accuracy(scores, labels))


def resolve_precision(precision: str, device: torch.device) -> str:
    if precision not in ("float32", "bfloat16", "auto"):
        raise ValueError(f'precision is {precision!r}; expected "float32", "bfloat16" or "auto"')
    if precision == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    return precision


@contextmanager
def without_a_trace(net: nn.Module):
    """Evaluation mode, no gradients, and the random state as if nothing had been drawn."""
    with evaluating(net), torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


def autocast(device: torch.device, precision: str):
    # Some devices refuse to make an autocast at all, even one that is off.
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def memory_format(device: torch.device) -> torch.memory_format:
    """Convolutions on CPU and CUDA are faster with channels last."""
    return torch.preserve_format if device.type == "mps" else torch.channels_last


def to_device(X: torch.Tensor, device: torch.device) -> torch.Tensor:
    return X.to(
        device, memory_format=memory_format(device) if X.ndim == 4 else torch.preserve_format
    )


def held_out(data):
    """Images as they come: augmentation may change even the size of training images."""
    return getattr(data, "validation", None) if data.test is None else data.test
