"""A network at work without learning: scores and accuracies."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .arguments import check_net
from .batches import check_range, check_scores, images_explained, pair_of
from .compute import Compute, main_output, resolve_precision
from .device import device_of
from .metrics import accuracy
from .say import Text
from .untouched import without_a_trace


class Evaluation(NamedTuple):
    """Mean loss and accuracy (a fraction in [0, 1]) over all samples of a data set."""

    loss: float
    accuracy: float


def predict(
    net: nn.Module, loader: Iterable[tuple[Tensor, Tensor]], *, precision: str = "float32"
) -> tuple[Tensor, Tensor]:
    """Class scores of ``net`` for every sample that ``loader`` yields, in its order.

    Runs in evaluation mode without gradients, on the device where ``net`` is; leaves the net's
    modes and weights and the random state as they were.

    Args:
        net: maps images (B, C, H, W) to class scores (B, K). Of several outputs it is ``logits``
            or ``out``, or else the first, that counts.
        loader: yields ``(X, y)`` with y of shape (B,); a list of them will do.
        precision: as for ``train``.

    Returns:
        scores float32 (N, K) and labels int64 (N,), both on the net's device.

    Raises:
        ValueError: the net is none, the loader yields nothing, or other than images and class
            indices, or there is no such precision.
    """
    check_net(net, loader)
    check_loader(loader, "loader")
    device = device_of(net)
    return predict_with(Compute(device, resolve_precision(precision, device)), net, loader)


def check_loader(loader, name: str) -> None:
    """Raises:
    ValueError: what is given as ``name`` is nothing to go through, or a class.
    """
    can_be_read = hasattr(loader, "__iter__") or hasattr(loader, "__getitem__")
    if can_be_read and not isinstance(loader, type):
        return
    given = type(loader).__name__
    has_parts = hasattr(loader, "test") or hasattr(loader, "train")
    example = "data.test" if has_parts else "[(X, y)]"
    raise ValueError(
        Text(
            zh=f"{name} 是 {given}，没有小批量可取；请给其中一个加载器或列表，例如 {example}。",
            en=f"{name} is a {given}, which yields no mini-batches; give a loader or a list, "
            f"such as {example}.",
        )
    )


def predict_with(
    compute: Compute, net: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """``predict`` where the caller knows the device that the net is on."""
    scores, labels = [], []
    with without_a_trace(net, compute.device):
        for batch in loader:
            X, y = pair_of(batch, "loader", loader)
            compute = compute.fitted(net, X)
            with images_explained(net, X, "loader"), compute.autocast():
                scores.append(main_output(net(compute.move(X))).float())
            labels.append(compute.move_labels(y))
    if not scores:
        raise ValueError(
            Text(
                zh="这个 loader 是空的；至少要有一个小批量才能预测。",
                en="the loader is empty; expected at least one mini-batch to predict.",
            )
        )
    return torch.cat(scores), torch.cat(labels)


def evaluate(
    net: nn.Module, loader: Iterable[tuple[Tensor, Tensor]], *, precision: str = "float32"
) -> Evaluation:
    """Mean cross-entropy and accuracy of ``net`` over all samples of ``loader``, from one pass.

    Args:
        net, loader, precision: as for ``predict``.
    """
    return measure(*predict(net, loader, precision=precision))


def measure(scores: Tensor, labels: Tensor) -> Evaluation:
    """Args: scores float (N, K) and labels int64 (N,)."""
    check_scores(scores, len(labels))
    check_range(labels, scores.shape[1], "loader")
    return Evaluation(nn.functional.cross_entropy(scores, labels).item(), accuracy(scores, labels))


def held_out_loaders(data) -> dict:
    """Those of ``data.validation`` and ``data.test`` that there are, by name."""
    loaders = {part: getattr(data, part, None) for part in ("validation", "test")}
    return {part: loader for part, loader in loaders.items() if loader is not None}


def count_batches(loader: Iterable) -> int | None:
    """Mini-batches in one pass; None where the loader does not know."""
    try:
        return len(loader)
    except TypeError:
        return None
