"""How good a network is: accuracy and confusion matrix.

Every accuracy in the course goes through one check of shapes and types (``_predicted``),
because ``y_hat == y`` on tensors of shapes (N, 1) and (N,) silently gives N×N comparisons.

Plain functions, not torchmetrics: a lesson shows what is counted, with no object that keeps a state
to be updated and reset.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .say import Text

__all__ = [
    "accuracy",
    "confusion_matrix",
    "correct_mask",
    "count_correct",
]


def correct_mask(y_hat: Tensor, y: Tensor) -> Tensor:
    """Which predictions are right.

    Nothing is copied to the CPU and nothing waits for the GPU, so a training loop can add up
    ``correct_mask(y_hat, y).sum()`` batch after batch and read the total once.

    Args:
        y_hat: class scores (N, C) of a floating dtype, C >= 2 (logits or probabilities; the
            largest wins, the first of equals), or class indices (N,) of an integer dtype.
        y: true class indices (N,) of an integer dtype, on the same device.

    Returns:
        A bool tensor (N,) on the device of the inputs. A row of scores that holds a NaN
        predicts nothing and counts as wrong.

    Raises:
        TypeError: an input is not a tensor, indices are not integers, scores are not floating.
        ValueError: shapes other than the above, an empty batch, different N or devices.

    >>> scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    >>> correct_mask(scores, torch.tensor([1, 1, 1]))
    tensor([ True, False,  True])
    """
    mask = _predicted(y_hat, y) == y
    return mask & ~y_hat.isnan().any(dim=1) if y_hat.dim() == 2 else mask


def count_correct(y_hat: Tensor, y: Tensor) -> int:
    """The number of right predictions; arguments and errors as in ``correct_mask``.

    >>> count_correct(torch.tensor([3, 1, 2]), torch.tensor([3, 1, 0]))
    2
    """
    return int(correct_mask(y_hat, y).sum())


def accuracy(y_hat: Tensor, y: Tensor) -> float:
    """The share of right predictions, a fraction in [0, 1] (not a percentage).

    Over several batches add up the right ones and divide once: a mean of batch accuracies is wrong
    as soon as the last batch is smaller.

    Args:
        y_hat: class scores (N, C) of a floating dtype, C >= 2, or class indices (N,) of an integer
            dtype. Scores that hold a NaN predict nothing and count as wrong.
        y: true class indices (N,) of an integer dtype, on the same device.

    Raises:
        TypeError: an input is not a tensor, indices are not integers, scores are not floating.
        ValueError: shapes other than the above, an empty batch, different N or devices.

    >>> accuracy(torch.tensor([3, 1, 2, 2]), torch.tensor([3, 1, 0, 2]))
    0.75
    """
    return count_correct(y_hat, y) / len(y)


def confusion_matrix(y_hat: Tensor, y: Tensor, num_classes: int | None = None) -> Tensor:
    """Count how often each true class (row) was predicted as each class (column).

    Args:
        y_hat, y: as for ``accuracy``.
        num_classes: the number of rows and columns. Left out, it is C where ``y_hat`` holds
            scores, else the largest index in ``y_hat`` and ``y`` plus one.

    Returns:
        Counts, int64 (num_classes, num_classes), on the device of the inputs. Their sum is N
        and their diagonal holds the right predictions.

    Raises:
        TypeError: as for ``accuracy``, or ``num_classes`` is not an int.
        ValueError: as for ``accuracy``; an index is negative or not below
            ``num_classes``; scores hold NaN.

    >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
    tensor([[1, 1],
            [0, 1]])
    """
    predicted = _predicted(y_hat, y)
    if y_hat.dim() == 2 and bool(y_hat.isnan().any()):
        raise ValueError(
            Text(
                zh="y_hat 里有 NaN，没有预测任何类别。找出训练中损失变成 NaN 的那一步"
                "（多半是学习率太大）。",
                en="y_hat holds NaN, which predicts no class. Look for the step of the training "
                "where the loss became NaN (a learning rate that is too large is the usual cause).",
            )
        )
    if num_classes is None:
        largest = max(int(predicted.max()), int(y.max())) + 1
        num_classes = y_hat.shape[1] if y_hat.dim() == 2 else largest
    elif not isinstance(num_classes, int) or isinstance(num_classes, bool):
        given = type(num_classes).__name__
        raise TypeError(
            Text(
                zh=f"num_classes 应是 int，得到的是 {given}。",
                en=f"num_classes must be an int, not {given}.",
            )
        )
    for name, indices in (("y_hat", predicted), ("y", y)):
        low, high = int(indices.min()), int(indices.max())
        if low < 0 or high >= num_classes:
            raise ValueError(
                Text(
                    zh=f"{name} 里的类别从 {low} 到 {high}；有 {num_classes} 个类别，"
                    f"应在 0 到 {num_classes - 1} 之间。",
                    en=f"{name} holds class indices from {low} to {high}; with {num_classes} "
                    f"classes they must lie between 0 and {num_classes - 1}.",
                )
            )
    cell = y.long() * num_classes + predicted.long()
    return torch.bincount(cell, minlength=num_classes**2).reshape(num_classes, num_classes)


def _predicted(y_hat: Tensor, y: Tensor) -> Tensor:
    """Check ``y_hat`` against ``y`` and give the predicted class indices (N,)."""
    for name, value in (("y_hat", y_hat), ("y", y)):
        if not isinstance(value, Tensor):
            given = type(value).__name__
            raise TypeError(
                Text(
                    zh=f"{name} 应是 torch.Tensor，得到的是 {given}。",
                    en=f"{name} must be a torch.Tensor, not {given}.",
                )
            )
    if y.dim() != 1:
        raise ValueError(
            Text(
                zh=f"y 应是每个样本一个类别，形状 (N,)；{_describe(y).zh}。"
                "多出来的维大小是 1 时，用 y.flatten()。",
                en="y must hold one class index per sample, shape (N,); got "
                f"{_describe(y).en}. Use y.flatten() if the extra axes have size 1.",
            )
        )
    if not _is_integer(y):
        raise TypeError(
            Text(
                zh=f"y 应是整数类型的类别；{_describe(y).zh}。如果值都是整数，用 y.long()。",
                en="y must hold class indices of an integer dtype; got "
                f"{_describe(y).en}. Use y.long() if the values are whole numbers.",
            )
        )
    if y_hat.dim() not in (1, 2) or (y_hat.dim() == 2 and y_hat.shape[1] < 2):
        raise ValueError(
            Text(
                zh="y_hat 应是每个类别的得分 (N, C)，C >= 2，或类别 (N,)；"
                f"{_describe(y_hat).zh}。如果它是类别 (N, 1)，用 y_hat.flatten()。",
                en="y_hat must be class scores (N, C) with C >= 2, or class indices (N,); got "
                f"{_describe(y_hat).en}. Use y_hat.flatten() if it holds indices (N, 1).",
            )
        )
    if y_hat.dim() == 2 and not y_hat.is_floating_point():
        raise TypeError(
            Text(
                zh=f"两维的 y_hat 应是浮点数的得分；{_describe(y_hat).zh}。",
                en="y_hat with two axes must be class scores of a floating dtype; got "
                f"{_describe(y_hat).en}.",
            )
        )
    if y_hat.dim() == 1 and not _is_integer(y_hat):
        raise TypeError(
            Text(
                zh=f"一维的 y_hat 应是整数类型的类别；{_describe(y_hat).zh}。"
                "请传得分 (N, C)，或 scores.argmax(dim=1)。",
                en="y_hat with one axis must be class indices of an integer dtype; got "
                f"{_describe(y_hat).en}. Pass the scores (N, C), or scores.argmax(dim=1).",
            )
        )
    if len(y_hat) != len(y):
        raise ValueError(
            Text(
                zh=f"y_hat 有 {len(y_hat)} 个预测，标签却有 {len(y)} 个；应一一对应。",
                en=f"y_hat holds {len(y_hat)} predictions for {len(y)} labels; they must match "
                "one by one.",
            )
        )
    if len(y) == 0:
        raise ValueError(
            Text(
                zh="这一批是空的，没有准确率可言。",
                en="The batch is empty: there is nothing to take the accuracy of.",
            )
        )
    if y_hat.device != y.device:
        raise ValueError(
            Text(
                zh=f"y_hat 在 {y_hat.device} 上，y 却在 {y.device} 上。"
                "移动其中一个：y = y.to(y_hat.device)。",
                en=f"y_hat is on {y_hat.device} but y is on {y.device}. Move one: "
                "y = y.to(y_hat.device).",
            )
        )
    return y_hat.argmax(dim=1) if y_hat.dim() == 2 else y_hat


def _is_integer(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _describe(tensor: Tensor) -> Text:
    shape = tuple(tensor.shape)
    return Text(
        zh=f"得到的形状是 {shape}，类型是 {tensor.dtype}", en=f"shape {shape} of {tensor.dtype}"
    )
