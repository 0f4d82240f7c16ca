"""What ``train`` is given, checked before the first step, so that nothing fails late."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from .compute import Compute, copy_for_trial, main_output, random_state_kept
from .evaluation import count_batches, held_out_loaders
from .say import Text


def check_numbers(epochs, lr, seed) -> tuple[int, float | None, int]:
    """Python, NumPy and tensor scalars alike, as Python numbers.

    Raises:
        ValueError: out of range, or no number of that kind.
    """
    epochs = _whole("epochs", epochs)
    if epochs < 1:
        raise ValueError(
            Text(
                zh=f"epochs 是 {epochs}；至少要 1 轮。",
                en=f"epochs is {epochs}; expected an integer of at least 1.",
            )
        )
    if lr is not None:
        lr = _rate(lr)
    return epochs, lr, _whole("seed", seed)


def _whole(name: str, value) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(
            Text(
                zh=f"{name} 是 {value!r}；请给一个整数。",
                en=f"{name} is {value!r}; expected an integer.",
            )
        ) from None


def _rate(value) -> float:
    try:
        rate = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, RuntimeError):
        rate = math.nan
    if not 0 <= rate < math.inf:
        raise ValueError(
            Text(
                zh=f"lr 是 {value!r}；请给一个不小于 0 的数，例如 lr=0.1。",
                en=f"lr is {value!r}; expected a number of at least 0, such as lr=0.1.",
            )
        )
    return rate


# --------------------------------------------------------------------------------------- data


def check_data(data) -> None:
    """Refuse data without the loaders that training needs, and loaders that yield nothing.

    Raises:
        ValueError: a loader is missing, empty, or can be gone through only once.
    """
    if getattr(data, "train", None) is None:
        raise ValueError(
            Text(
                zh=f"data 是 {type(data).__name__}，没有 data.train。请给一个带有 train 和 test 的"
                "对象，例如 types.SimpleNamespace(train=…, test=…)。",
                en=f"data is a {type(data).__name__} without data.train; expected an object with "
                "the loaders train and test, such as types.SimpleNamespace(train=…, test=…).",
            )
        )
    if not held_out_loaders(data):
        raise ValueError(
            Text(
                zh="data.validation 和 data.test 都是 None；至少要有一个。",
                en="data.validation and data.test are both None; expected at least one.",
            )
        )
    for name in ("train", "validation", "test"):
        loader = getattr(data, name, None)
        if isinstance(loader, Iterator):
            raise ValueError(
                Text(
                    zh=f"data.{name} 是 {type(loader).__name__}，只能遍历一次，而训练要遍历多次。"
                    "请给列表或 DataLoader。",
                    en=f"data.{name} is a {type(loader).__name__}, which can be gone through only "
                    "once, but training does so more often; give a list or a DataLoader.",
                )
            )
        if loader is not None and _yields_nothing(loader):
            raise ValueError(empty(name))


def _yields_nothing(loader) -> bool:
    batches = count_batches(loader)
    return next(iter(loader), None) is None if batches is None else batches == 0


def first_batch(data) -> tuple[Tensor, Tensor]:
    """The first mini-batch of the images as they come, from ``data.test`` where there is one.

    Raises:
        ValueError: it is not ``(X, y)``.
    """
    name, loader = list(held_out_loaders(data).items())[-1]
    batch = next(iter(loader))
    is_pair = isinstance(batch, tuple | list) and len(batch) == 2
    if not is_pair or not all(isinstance(part, Tensor) for part in batch):
        given = type(batch).__name__
        if isinstance(batch, tuple | list):
            given += f" ({', '.join(type(part).__name__ for part in batch)})"
        raise ValueError(
            Text(
                zh=f"data.{name} 给出的是 {given}；每个小批量应当是张量 (X, y)："
                "图像 (B, C, H, W) 和标签 (B,)。",
                en=f"data.{name} yields a {given}; expected tensors (X, y), images (B, C, H, W) "
                "and labels (B,), in each mini-batch.",
            )
        )
    X, y = batch
    return X, y


def empty(name: str) -> Text:
    return Text(
        zh=f"data.{name} 是空的；至少要有一个小批量。",
        en=f"data.{name} is empty; expected at least one mini-batch.",
    )


def _smallest_batch(loader) -> int | None:
    """Images in the smallest mini-batch, where that can be told without loading any."""
    if isinstance(loader, list | tuple):
        return min(len(y) for _, y in loader)
    if count_batches(loader) is None or not isinstance(loader, DataLoader):
        return None
    if (
        isinstance(loader.dataset, IterableDataset)
        or type(loader.batch_sampler) is not BatchSampler
    ):
        return None
    rest = len(loader.sampler) % loader.batch_size
    return loader.batch_size if loader.drop_last or rest == 0 else rest


# ------------------------------------------------------------------------------- loss and net


def check_loss(loss) -> None:
    """Raises:
    ValueError: the loss is a class instead of an object, or no function.
    """
    if isinstance(loss, type):
        name = loss.__name__
        raise ValueError(
            Text(
                zh=f"loss 是类 {name}；请加上括号，写成 loss=nn.{name}()。",
                en=f"loss is the class {name}; add brackets, loss=nn.{name}().",
            )
        )
    if loss is not None and not callable(loss):
        raise ValueError(
            Text(
                zh=f"loss 是 {loss!r}；请给一个函数，例如 nn.CrossEntropyLoss()。",
                en=f"loss is {loss!r}; expected a function, such as nn.CrossEntropyLoss().",
            )
        )


def rehearse(net: nn.Module, loader, X: Tensor, y: Tensor, loss, compute: Compute) -> None:
    """Run a copy of ``net`` on two images, and on one where a mini-batch has no more.

    Whatever else is wrong with the net, the training itself will say.

    Args:
        net: in training mode, on the device of ``compute``.
        loader: of the training set.
        X, y: images (B, ...) and labels (B,), of which the first are used.
        loss: of scores (B, K) and labels (B,).
        compute: how the net will be run.

    Raises:
        ValueError: the net cannot be trained on a single image, or the loss is not one number.
    """
    X, y = compute.move(X[:1]), y[:1].to(compute.device)
    single = None
    with torch.no_grad(), random_state_kept(compute.device), compute.autocast():
        try:
            double = copy_for_trial(net)
            output = double(torch.cat([X, X]))
            values = loss(main_output(output).float(), torch.cat([y, y]))
        except Exception:
            return
        if _smallest_batch(loader) == 1:
            try:
                double(X)
            except Exception as error:
                single = error
    if values.ndim != 0:
        raise ValueError(
            Text(
                zh=f"loss 给出形状 {tuple(values.shape)}；应当是一个数，即小批量的平均损失"
                '（reduction="mean"）。',
                en=f"loss gives the shape {tuple(values.shape)}; expected one number, the mean "
                'loss of the mini-batch (reduction="mean").',
            )
        )
    if single is not None:
        raise ValueError(
            Text(
                zh=f"data.train 里有一个小批量只有 1 张图像，网络没法用它训练（{single}）。"
                "请换一个 batch_size，或者给 DataLoader 加上 drop_last=True。",
                en="a mini-batch of data.train holds a single image, on which the net cannot be "
                f"trained ({single}); change batch_size, or give the DataLoader drop_last=True.",
            )
        )
    if not isinstance(output, Tensor):
        warnings.warn(
            str(
                Text(
                    zh=f"训练时网络返回 {type(output).__name__}：只有主输出进入损失，"
                    "其余的（例如辅助分类器）不参加训练。",
                    en=f"In training the net returns {type(output).__name__}: only its main "
                    "output enters the loss; the others, such as auxiliary classifiers, do not.",
                )
            ),
            stacklevel=3,
        )
