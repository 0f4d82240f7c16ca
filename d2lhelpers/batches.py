"""A mini-batch, and what a net makes of it: images, class indices and scores that fit together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from .say import Text


def pair_of(batch, name: str, loader=None) -> tuple[Tensor, Tensor]:
    """The images (B, ...) and class indices (B,) of a mini-batch.

    Looks at shapes and types only, so that a GPU need not be waited for.

    Args:
        batch: what came from a loader.
        name: of that loader in messages, such as "data.train".
        loader: itself, where it is known.

    Raises:
        ValueError: it is anything else.
    """
    is_pair = isinstance(batch, tuple | list) and len(batch) == 2
    if is_pair and isinstance(loader, Dataset) and getattr(batch[1], "ndim", 0) == 0:
        raise ValueError(_dataset_itself(name))
    if not is_pair or not all(isinstance(part, Tensor) for part in batch):
        raise ValueError(_no_pair(batch, name))
    X, y = batch
    if y.ndim != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(_no_class_indices(y, name))
    if len(X) != len(y):
        raise ValueError(
            Text(
                zh=f"{name} 的一个小批量里有 {len(X)} 张图像，却有 {len(y)} 个标签；应一一对应。",
                en=f"a mini-batch of {name} holds {len(X)} images but {len(y)} labels; expected a "
                "label for each image.",
            )
        )
    return X, y


def generators_of(loader) -> list[torch.Generator]:
    """All that order and augmentation of a loader's images are drawn from, each once.

    They may be the loader's own, its samplers' or its dataset's, of a dataset within, or of a
    loader that a learner's own is wrapped around.
    """
    found, seen, places = [], set(), [loader]
    while places:
        place = places.pop(0)
        if id(place) in seen:
            continue
        seen.add(id(place))
        if isinstance(place, torch.Generator):
            found.append(place)
        places += [part for value in _held_by(place) for part in _several(value) if _draws(part)]
    return found


def _held_by(place) -> list:
    return [getattr(place, "generator", None), *getattr(place, "__dict__", {}).values()]


def _several(value) -> list:
    """What a list, a tuple or a dict holds, of many things the first few; else the thing itself."""
    if isinstance(value, dict):
        value = list(value.values())
    return list(value[:100]) if isinstance(value, list | tuple) else [value]


def _draws(part) -> bool:
    return isinstance(part, torch.Generator | DataLoader | Sampler | Dataset)


def _dataset_itself(name: str) -> Text:
    return Text(
        zh=f"{name} 是数据集，一次给出一张图像；应当是小批量的 loader。"
        "请写 DataLoader(数据集, batch_size=…)，训练集再加上 shuffle=True。",
        en=f"{name} is a dataset, which yields single images; expected a loader of mini-batches: "
        "DataLoader(dataset, batch_size=…), for training with shuffle=True.",
    )


def _no_pair(batch, name: str) -> Text:
    given = type(batch).__name__
    if isinstance(batch, tuple | list):
        given += f" ({', '.join(type(part).__name__ for part in batch)})"
    return Text(
        zh=f"{name} 给出的是 {given}；每个小批量应当是张量 (X, y)："
        "图像 (B, C, H, W) 和标签 (B,)。请在数据集或 collate_fn 里改。",
        en=f"{name} yields a {given}; expected tensors (X, y), images (B, C, H, W) "
        "and labels (B,), in each mini-batch; change the dataset, or its collate_fn.",
    )


def _no_class_indices(y: Tensor, name: str) -> Text:
    call = "y.long()"
    if y.ndim == 2:
        call = "y.flatten().long()" if y.shape[1] == 1 else "y.argmax(dim=1)"
    shape = tuple(y.shape)
    return Text(
        zh=f"{name} 的标签形状是 {shape}，类型是 {y.dtype}；应当是整数的类别 (B,)，例如 {call}。"
        "损失要用别的目标时，请在 loss 里由类别算出来，因为准确率也要用类别。",
        en=f"the labels of {name} have the shape {shape} and the type {y.dtype}; expected integer "
        f"class indices (B,), such as {call}. A loss that needs other targets should make them of "
        "class indices itself, as accuracy needs these too.",
    )


def check_scores(scores: Tensor, images: int) -> None:
    """Raises:
    ValueError: the net gave no floating-point scores (images, K), of two classes at least.
    """
    shape = tuple(scores.shape)
    is_table = len(shape) == 2 and shape[0] == images and shape[1] > 1
    if not is_table or not scores.is_floating_point():
        raise ValueError(
            Text(
                zh=f"{images} 张图像，网络给出形状 {shape}、类型 {scores.dtype}；应当是浮点数的类别"
                f"分数 ({images}, K)，K 是类别数，至少是 2。网络可以用 nn.Flatten() 和 "
                "nn.Linear(…, K) 结尾。",
                en=f"for {images} images the net gives the shape {shape} of {scores.dtype}; "
                f"expected floating-point class scores ({images}, K) of K classes, at least 2. "
                "End it with nn.Flatten() and nn.Linear(…, K), for example.",
            )
        )


def check_range(y: Tensor, classes: int, name: str, ignored: int = -100) -> None:
    """Raises:
    ValueError: a label is no index of one of so many ``classes``, nor the one to be ignored.
    """
    y = y[y != ignored]
    low, high = (int(y.min()), int(y.max())) if len(y) else (0, 0)
    if low < 0 or high >= classes:
        raise ValueError(
            Text(
                zh=f"{name} 的标签从 {low} 到 {high}，网络却给出 {classes} 个类别的分数，"
                f"标签应在 0 到 {classes - 1} 之间。请让标签从 0 数起，或改网络的最后一层。",
                en=f"the labels of {name} go from {low} to {high}, but the net gives scores for "
                f"{classes} classes, numbered 0 to {classes - 1}; count labels from 0, or change "
                "the net's last layer.",
            )
        )


def mean_loss(loss, scores: Tensor, y: Tensor) -> Tensor:
    """What ``loss`` makes of scores (B, K) and class indices (B,).

    Raises:
        ValueError: it cannot take them.
    """
    try:
        return loss(scores, y)
    except Exception as error:
        if loss is nn.functional.cross_entropy or isinstance(loss, nn.CrossEntropyLoss):
            check_range(y, scores.shape[1], "data.train", getattr(loss, "ignore_index", -100))
        (images, classes), labels = scores.shape, tuple(y.shape)
        call = f"nn.functional.one_hot(y, {classes}).float()"
        raise ValueError(
            Text(
                zh=f"loss 用不了分数 ({images}, {classes}) {scores.dtype} 和标签 {labels} "
                f"{y.dtype}：{error}。loss 要由分数和类别算出平均损失；需要别的目标，"
                f"就在 loss 里由类别算出来，例如 {call}。",
                en=f"loss cannot take the scores ({images}, {classes}) of {scores.dtype} and the "
                f"labels {labels} of {y.dtype}: {error}. It makes their mean loss of scores and "
                f"class indices; other targets it should make of these itself, such as {call}.",
            )
        ) from error


def check_image_type(net: nn.Module, X: Tensor, name: str) -> None:
    """To be asked where ``net`` failed: a net may well turn its images into floats itself.

    Raises:
        ValueError: the images are of another type than the weights.
    """
    dtypes = {p.dtype for p in net.parameters() if p.is_floating_point()}
    if len(dtypes) != 1 or X.dtype in dtypes:
        return
    (dtype,) = dtypes
    call = f"X.to({dtype})" + (" / 255" if X.dtype == torch.uint8 else "")
    raise ValueError(
        Text(
            zh=f"{name} 的图像类型是 {X.dtype}，网络的权重是 {dtype}；两者应当相同。"
            f"请在数据集里写 {call}。",
            en=f"the images of {name} are {X.dtype}, but the net's weights {dtype}; expected "
            f"the same type: {call} in the dataset.",
        )
    )


@contextmanager
def images_explained(net: nn.Module, X: Tensor, name: str) -> Iterator[None]:
    """``check_image_type`` instead of PyTorch's error, where it has that cause."""
    try:
        yield
    except Exception:
        check_image_type(net, X, name)
        raise
