"""How good and how large is a network: accuracy, confusion matrix, parameters, multiply-adds.

Every accuracy in the course goes through one check of shapes and types (:func:`_predicted`),
because ``y_hat == y`` on tensors of shapes (N, 1) and (N,) silently gives N×N comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = [
    "accuracy",
    "confusion_matrix",
    "correct_mask",
    "count_correct",
    "count_multiply_adds",
    "count_parameters",
    "is_higher",
    "layer_table",
    "standard_error",
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
    """The number of right predictions; arguments and errors as in :func:`correct_mask`.

    >>> count_correct(torch.tensor([3, 1, 2]), torch.tensor([3, 1, 0]))
    2
    """
    return int(correct_mask(y_hat, y).sum())


def accuracy(y_hat: Tensor, y: Tensor) -> float:
    """The share of right predictions, a fraction in [0, 1] (not a percentage).

    Arguments and errors as in :func:`correct_mask`. Over several batches add up
    :func:`count_correct` and divide once: a mean of batch accuracies is wrong as soon as
    the last batch is smaller.

    >>> accuracy(torch.tensor([3, 1, 2, 2]), torch.tensor([3, 1, 0, 2]))
    0.75
    """
    return count_correct(y_hat, y) / len(y)


def confusion_matrix(y_hat: Tensor, y: Tensor, num_classes: int | None = None) -> Tensor:
    """Count how often each true class (row) was predicted as each class (column).

    Args:
        y_hat: class scores (N, C) or class indices (N,), as in :func:`correct_mask`.
        y: true class indices (N,).
        num_classes: the number of rows and columns. Left out, it is C where ``y_hat`` holds
            scores, else the largest index in ``y_hat`` and ``y`` plus one.

    Returns:
        Counts, int64 (num_classes, num_classes), on the device of the inputs. Their sum is N
        and their diagonal holds the right predictions.

    Raises:
        TypeError: as in :func:`correct_mask`, or ``num_classes`` is not an int.
        ValueError: as in :func:`correct_mask`; an index is negative or not below
            ``num_classes``; scores hold NaN.

    >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
    tensor([[1, 1],
            [0, 1]])
    """
    predicted = _predicted(y_hat, y)
    if y_hat.dim() == 2 and bool(y_hat.isnan().any()):
        raise ValueError(
            "y_hat holds NaN, which predicts no class. Look for the step of the training where "
            "the loss became NaN (a learning rate that is too large is the usual cause)."
        )
    if num_classes is None:
        largest = max(int(predicted.max()), int(y.max())) + 1
        num_classes = y_hat.shape[1] if y_hat.dim() == 2 else largest
    elif not isinstance(num_classes, int) or isinstance(num_classes, bool):
        raise TypeError(f"num_classes must be an int, not {type(num_classes).__name__}.")
    for name, indices in (("y_hat", predicted), ("y", y)):
        low, high = int(indices.min()), int(indices.max())
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"{name} holds class indices from {low} to {high}; with {num_classes} classes "
                f"they must lie between 0 and {num_classes - 1}."
            )
    cell = y.long() * num_classes + predicted.long()
    return torch.bincount(cell, minlength=num_classes**2).reshape(num_classes, num_classes)


def standard_error(accuracy: float, samples: int) -> float:
    """Standard error of an accuracy (a fraction) that was measured on so many samples.

    The binomial sqrt(p (1 - p) / n): how far another test set of the same size would move it.

    Raises:
        ValueError: ``accuracy`` is outside [0, 1], or there are no samples.

    >>> round(standard_error(0.98, samples=10_000), 4)
    0.0014
    """
    if not 0 <= accuracy <= 1 or samples < 1:
        raise ValueError(
            f"accuracy must be a fraction in [0, 1] and samples at least 1; "
            f"got {accuracy!r} and {samples!r}."
        )
    return (accuracy * (1 - accuracy) / samples) ** 0.5


def is_higher(a: float, b: float, samples: int) -> bool | None:
    """Whether accuracy ``a`` is higher than ``b``, both measured on so many samples.

    None where they differ by less than two standard errors of the difference: too close to call.

    >>> is_higher(0.98, 0.95, samples=10_000), is_higher(0.95, 0.98, samples=10_000)
    (True, False)
    >>> print(is_higher(0.980, 0.979, samples=10_000))
    None
    """
    error = (standard_error(a, samples) ** 2 + standard_error(b, samples) ** 2) ** 0.5
    return a > b if abs(a - b) > 2 * error else None


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
    :func:`count_multiply_adds`.

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
    if depth is not None and depth < 1:
        raise ValueError(f"depth is {depth}; expected at least 1, or None to show all layers.")
    used: dict[str, tuple[nn.Module, str]] = {}

    def record(name: str):
        def hook(module, inputs, output):
            used.setdefault(name, (module, " × ".join(map(str, output.shape[1:]))))

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
    rows = [
        (
            f"{name} {type(module).__name__}".strip(),
            shape,
            count_parameters(module),
            flops.get(name, 0),
        )
        for name, (module, shape) in used.items()
    ]
    rows.append(("total", "", count_parameters(net), counter.get_total_flops() // 2))
    first = max(12, *(len(row[0]) + 1 for row in rows))
    second = max(15, *(len(row[1]) + 1 for row in rows))
    head = f"{'layer':<{first}} {'output shape':<{second}} {'parameters':>10} {'multiply-adds':>14}"
    lines = [f"{r[0]:<{first}} {r[1]:<{second}} {r[2]:>10,} {r[3]:>14,}" for r in rows]
    return "\n".join([head, *lines])


def _run_once(net: nn.Module, image_shape: Sequence[int]):
    """Run ``net`` on one blank image, leaving no trace, and give the counter that watched."""
    from torch.utils.flop_counter import FlopCounterMode

    shape = tuple(image_shape)
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(
            f"image_shape must hold positive ints, e.g. (3, 32, 32) without a batch axis; "
            f"got {image_shape!r}."
        )
    weight = next((p for p in net.parameters() if p.is_floating_point()), torch.empty(0))
    image = torch.zeros(1, *shape, dtype=weight.dtype, device=weight.device)
    gpus = [weight.device] if weight.device.type == "cuda" else []
    counter = FlopCounterMode(display=False)
    with torch.random.fork_rng(gpus), evaluating(net), torch.no_grad(), counter:
        net(image)
    return counter


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
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _predicted(y_hat: Tensor, y: Tensor) -> Tensor:
    """Check ``y_hat`` against ``y`` and give the predicted class indices (N,)."""
    for name, value in (("y_hat", y_hat), ("y", y)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, not {type(value).__name__}.")
    if y.dim() != 1:
        raise ValueError(
            f"y must hold one class index per sample, shape (N,); got {_describe(y)}. "
            "Use y.flatten() if the extra axes have size 1."
        )
    if not _is_integer(y):
        raise TypeError(
            f"y must hold class indices of an integer dtype; got {_describe(y)}. "
            "Use y.long() if the values are whole numbers."
        )
    if y_hat.dim() not in (1, 2) or (y_hat.dim() == 2 and y_hat.shape[1] < 2):
        raise ValueError(
            "y_hat must be class scores (N, C) with C >= 2, or class indices (N,); "
            f"got {_describe(y_hat)}. Use y_hat.flatten() if it holds indices (N, 1)."
        )
    if y_hat.dim() == 2 and not y_hat.is_floating_point():
        raise TypeError(
            f"y_hat with two axes must be class scores of a floating dtype; got {_describe(y_hat)}."
        )
    if y_hat.dim() == 1 and not _is_integer(y_hat):
        raise TypeError(
            "y_hat with one axis must be class indices of an integer dtype; "
            f"got {_describe(y_hat)}. Pass the scores (N, C), or scores.argmax(dim=1)."
        )
    if len(y_hat) != len(y):
        raise ValueError(
            f"y_hat holds {len(y_hat)} predictions for {len(y)} labels; they must match one by one."
        )
    if len(y) == 0:
        raise ValueError("The batch is empty: there is nothing to take the accuracy of.")
    if y_hat.device != y.device:
        raise ValueError(
            f"y_hat is on {y_hat.device} but y is on {y.device}. Move one: y = y.to(y_hat.device)."
        )
    return y_hat.argmax(dim=1) if y_hat.dim() == 2 else y_hat


def _is_integer(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _describe(tensor: Tensor) -> str:
    return f"shape {tuple(tensor.shape)} of {tensor.dtype}"
