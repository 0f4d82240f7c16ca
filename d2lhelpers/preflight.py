"""Data, net and loss put together on trial before the first step, so that nothing fails late."""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from .batches import check_image_type, check_range, check_scores, generators_of, pair_of
from .compute import Compute, copy_for_trial, main_output
from .evaluation import check_loader, count_batches, held_out_loaders
from .randomness import random_state_kept
from .say import Text
from .untouched import left_as_found


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
        if loader is not None:
            check_loader(loader, f"data.{name}")
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


def first_batches(data) -> dict[str, tuple[Tensor, Tensor]]:
    """The first mini-batch of each loader that there is, by name; ``data.test`` is the last.

    That of training is left out where worker processes live on between epochs: they, unlike
    generators, cannot be put back to where they were.

    Raises:
        ValueError: one is not ``(X, y)``.
    """
    loaders = {"train": data.train} | held_out_loaders(data)
    if getattr(data.train, "persistent_workers", False):
        del loaders["train"]
    found = itertools.chain.from_iterable(map(generators_of, loaders.values()))
    states = [(generator, generator.get_state()) for generator in found]
    try:
        return {
            f"data.{name}": pair_of(next(iter(loader)), f"data.{name}", loader)
            for name, loader in loaders.items()
        }
    finally:
        for generator, state in states:
            generator.set_state(state)


def empty(name: str) -> Text:
    return Text(
        zh=f"data.{name} 是空的；至少要有一个小批量。",
        en=f"data.{name} is empty; expected at least one mini-batch.",
    )


def _smallest_batch(loader) -> int | None:
    """Images in the smallest mini-batch, where that can be told without loading any."""
    if isinstance(loader, list | tuple):
        return min(len(pair_of(batch, "data.train")[1]) for batch in loader)
    if count_batches(loader) is None or not isinstance(loader, DataLoader):
        return None
    batches = loader.batch_sampler  # DataLoader(batch_sampler=…) has no batch_size of its own
    if isinstance(loader.dataset, IterableDataset) or type(batches) is not BatchSampler:
        return None
    rest = len(batches.sampler) % batches.batch_size
    return batches.batch_size if batches.drop_last or rest == 0 else rest


# ------------------------------------------------------------------------------- loss and net


def rehearse(net: nn.Module, data, batches: dict, loss, compute: Compute) -> None:
    """Run a copy of ``net`` on two images, and on one where a mini-batch has no more.

    Whatever else is wrong with the net, the training itself will say.

    Args:
        net: in training mode, on the device of ``compute``.
        data: what it is trained on.
        batches: of ``first_batches``.
        loss: of scores (B, K) and labels (B,).
        compute: how the net will be run.

    Raises:
        ValueError: images, labels, scores and loss do not fit together, or the net cannot be
            trained on a single image.
    """
    name, (X, y) = next(iter(batches.items()))
    X, y = compute.move(X[:1]), compute.move_labels(y[:1])
    single = None
    with left_as_found(net, compute.device), compute.autocast():
        try:
            double = copy_for_trial(net)
            output = double(torch.cat([X, X]))
            scores = main_output(output).float()
        except Exception:
            check_image_type(net, X, name)
            return
        if _smallest_batch(data.train) == 1:
            try:
                double(X)
            except Exception as error:
                single = error
    check_scores(scores, 2)
    _check_labels(batches, scores.shape[1], loss)
    if not scores.requires_grad:
        raise ValueError(
            Text(
                zh="网络给出的分数没有梯度，学不到东西。forward 里不要用 .detach()、.item()、"
                "torch.no_grad()，也不要转成 NumPy。",
                en="the net's scores have no gradient, so nothing can be learned; use no "
                ".detach(), .item(), torch.no_grad() or NumPy in its forward.",
            )
        )
    with random_state_kept(compute.device):
        _check_loss_value(loss, scores, y)
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


def _check_labels(batches: dict, classes: int, loss) -> None:
    """Which labels an own loss takes is not known; held out it is always cross-entropy."""
    for name, (_, y) in batches.items():
        if name != "data.train":
            check_range(y, classes, name)
        elif loss is nn.functional.cross_entropy or isinstance(loss, nn.CrossEntropyLoss):
            check_range(y, classes, name, getattr(loss, "ignore_index", -100))


def _check_loss_value(loss, scores: Tensor, y: Tensor) -> None:
    """Whether ``loss`` gives the mean of a mini-batch: two equal images have that of one."""
    scores = torch.cat([scores[:1], scores[:1]])
    try:
        if isinstance(loss, nn.Module):
            loss = copy.deepcopy(loss)  # which may count its calls
        two, one = loss(scores, torch.cat([y, y])), loss(scores[:1], y)
    except Exception:  # the training will say
        return
    zh = en = None
    if not isinstance(two, Tensor):
        given = type(two).__name__
        zh, en = f"是 {given}，不是张量", f"a {given}, no tensor"
    elif two.ndim != 0:
        zh, en = f"形状是 {tuple(two.shape)}", f"the shape {tuple(two.shape)}"
    elif not two.requires_grad:
        zh, en = "没有梯度", "a number without a gradient"
    elif _is_double(two.item(), one.item()):
        zh, en = "是各图像损失的和", "the sum over the images"
    if zh is not None:
        raise ValueError(
            Text(
                zh=f"loss 给出的结果{zh}；应当是张量里的一个数，即小批量的平均损失"
                '（reduction="mean"），由分数算出，不用 .item() 和 .detach()。',
                en=f"loss gives {en}; expected a tensor of one number, the mean loss of the "
                'mini-batch (reduction="mean"), computed from the scores without .item() or '
                ".detach().",
            )
        )


def _is_double(two: float, one: float) -> bool:
    return math.isclose(two, 2 * one, rel_tol=1e-4) and not math.isclose(two, one, rel_tol=1e-4)
