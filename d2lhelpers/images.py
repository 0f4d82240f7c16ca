"""Grids of images: samples of a data set, predictions, the worst mistakes.

What is drawn stays open in pyplot, so that a notebook shows it at the end of the cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ._style import VERMILLION, as_array, caption, check_finite, describe_figure, grid
from .arguments import check_normalisation
from .say import Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .data import ImageData

__all__ = ["draw_image", "show_images", "show_worst"]

Classes = Tensor | np.ndarray | Sequence[int] | int


def show_images(
    images: Tensor | np.ndarray,
    labels: Classes | None = None,
    predictions: Classes | None = None,
    *,
    data: ImageData | None = None,
    rows: int = 2,
    columns: int = 8,
    title: str | None = None,
) -> None:
    """Show images in a grid, in their true colours, with labels or with predictions.

    With both labels and predictions each image carries the predicted class; a mistake has a
    frame and reads "✗ predicted (true)".

    Args:
        images: (N, C, H, W), (N, H, W), or one image (C, H, W) or (H, W), where C is 1 or 3; a
            tensor on any device, or an array. Three axes of which the first is 1 or 3 are one
            image. Either uint8 from 0 to 255; or floating, from 0 to 1; or floating and
            normalised, where ``data`` says how, which is then undone and the result clipped to
            [0, 1].
        labels: N true classes, ints in a tensor, an array or a list; or a single one.
        predictions: N predicted classes, in the same forms.
        data: where the images come from, as ``load_cifar10`` returns it; or any object with
            ``mean`` and ``std`` (one number, or one a channel, of pixels in [0, 1]) and, as far as
            there are any, ``classes`` (names) and ``source`` (for the title).
        rows: the most rows to show. The grid is smaller where there are fewer images; where there
            are more, the title says how many of them are shown.
        columns: the most columns to show.
        title: text above the grid.

    Raises:
        TypeError: ``images`` is neither tensor nor array, or neither uint8 nor floating; a class
            is no int; ``data`` has no mean and std.
        ValueError: another shape; NaN or infinity; floats outside [0, 1] and no ``data``; labels
            that are too few, too many or outside the classes.
    """
    if rows < 1 or columns < 1:
        raise ValueError(
            Text(
                zh=f"rows 和 columns 至少是 1，得到的是 {rows} 和 {columns}。",
                en=f"rows and columns must be at least 1; got {rows} and {columns}.",
            )
        )
    pixels = _true_colours(_batch(images), data)
    total = len(pixels)
    classes = getattr(data, "classes", None)
    true = _class_names(labels, classes, total, "labels")
    predicted = _class_names(predictions, classes, total, "predictions")

    count = min(total, rows * columns)
    heading = " — ".join(part for part in (title, getattr(data, "source", None)) if part)
    if count < total:
        heading = f"{heading} ({count} of {total})" if heading else f"{count} of {total}"
    lines = 0 if true is predicted is None else 2 if true and predicted else 1
    figure, axes = grid(count, columns, heading, lines=lines)
    for i, ax in enumerate(axes):
        draw_image(ax, pixels[i])
        if not predicted:
            caption(ax, true[i] if true else "")
        elif not true or predicted[i] == true[i]:
            caption(ax, predicted[i])
        else:
            caption(ax, f"✗ {predicted[i]}", f"({true[i]})", color=VERMILLION, weight="bold")
            for spine in ax.spines.values():
                spine.set(visible=True, color=VERMILLION, linewidth=2.5)
    describe_figure(figure, _description(heading, count, true, predicted))


def show_worst(scores: Tensor, labels: Tensor, *, data: ImageData) -> None:
    """Show the 16 test images with the largest losses: the most confident mistakes.

    Args:
        scores: class scores (N, K) of the test images, as ``predict(net, data.test)`` returns; a
            tensor on any device, or an array.
        labels: their true classes (N,), as it returns them beside the scores.
        data: the ``ImageData`` that they were predicted from.

    Raises:
        TypeError: scores or labels are neither tensor nor array.
        ValueError: the labels are not those of ``data``'s test images in their order, so that the
            scores belong to other images; ``data`` does not hold its test images; the scores are
            not finite, or not of every class.
    """
    test = getattr(getattr(data, "test", None), "dataset", None)
    if not (hasattr(test, "images") and hasattr(test, "labels")):
        raise ValueError(
            Text(
                zh="data.test 里没有可以按编号取出的测试图像。请给 load_mnist 或 load_cifar10 返回"
                "的带测试集的数据；自己的数据请用 show_images(X, y, scores.argmax(1))。",
                en="data.test holds no test images that could be looked up: give data with a test "
                "set as load_mnist or load_cifar10 returns it, or, for data of your own, use "
                "show_images(X, y, scores.argmax(1)).",
            )
        )
    scores = torch.tensor(as_array(scores, "scores")).float()
    labels = torch.tensor(as_array(labels, "labels")).long()
    if len(scores) != len(labels) or labels.tolist() != test.labels.tolist():
        raise ValueError(
            Text(
                zh=f"这些得分不是 data 的 {len(test.labels)} 张测试图像按顺序的得分："
                "labels 对不上。是不是来自别的数据，或来自打乱顺序的 loader？"
                "请传 predict(net, data.test) 返回的两个张量。",
                en=f"These are not the scores of the {len(test.labels)} test images of data in "
                "their order: the labels differ. Do they come from other data, or from a loader "
                "that shuffles? Pass both tensors that predict(net, data.test) returns.",
            )
        )
    of_each_class = scores.ndim == 2 and labels.min() >= 0 and labels.max() < scores.shape[1]
    if not of_each_class or not scores.isfinite().all():
        raise ValueError(
            Text(
                zh=f"scores 的形状是 {tuple(scores.shape)}；应是 (N, K)：每张图像、每个类别一个"
                "有限的数。如果里面有 NaN，多半是训练发散了。",
                en=f"scores has shape {tuple(scores.shape)}; expected (N, K), a finite number for "
                "each image and class. NaN in it comes mostly of a training that diverged.",
            )
        )
    losses = nn.functional.cross_entropy(scores, labels, reduction="none")
    worst = losses.topk(min(16, len(losses))).indices
    show_images(
        test.images[worst.to(test.images.device)],
        labels[worst],
        scores.argmax(dim=1)[worst],
        data=data,
        title="Largest losses on the test set",
    )


def draw_image(ax: Axes, picture: np.ndarray) -> None:
    """Draw one picture (C, H, W) in [0, 1], grey where C is 1."""
    if len(picture) == 1:
        ax.imshow(picture[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        ax.imshow(picture.transpose(1, 2, 0), interpolation="nearest")


def _description(
    heading: str, count: int, true: list[str] | None, predicted: list[str] | None
) -> Text:
    """What a grid shows, for those who do not see it."""
    zh, en = f"{count} 张图像", f"{count} image{'s' if count > 1 else ''}"
    if heading:
        zh, en = f"{heading}：{zh}", f"{heading}: {en}"
    if true and predicted:
        pairs = list(zip(predicted[:count], true[:count], strict=True))
        right = sum(a == b for a, b in pairs)
        zh += f"，{right} 张认对"
        en += f", {right} predicted right"
        mistakes = dict.fromkeys((a, b) for a, b in pairs if a != b)
        if mistakes:
            zh += "；认错的：" + "、".join(f"{b} 认成 {a}" for a, b in mistakes)
            en += "; mistakes: " + ", ".join(f"{b} taken for {a}" for a, b in mistakes)
    elif true or predicted:
        names = (true or predicted)[:count]
        zh += "，依次是 " + "、".join(names)
        en += ", in order: " + ", ".join(names)
    return Text(zh=f"{zh}。", en=f"{en}.")


# --- pixels -----------------------------------------------------------------------------------


def _batch(images: Tensor | np.ndarray) -> np.ndarray:
    """Images of any accepted shape as (N, C, H, W)."""
    pixels = as_array(images, "images")
    shape = pixels.shape
    if pixels.ndim == 2:
        pixels = pixels[None, None]
    elif pixels.ndim == 3:
        pixels = pixels[None] if shape[0] in (1, 3) else pixels[:, None]
    is_last = len(shape) in (3, 4) and shape[-3] not in (1, 3) and shape[-1] in (1, 3)
    if not is_last and pixels.ndim == 4 and pixels.shape[1] in (1, 3) and pixels.size:
        return pixels
    zh, en = "", ""
    if is_last:
        call = "permute" if isinstance(images, Tensor) else "transpose"
        order = (0, 3, 1, 2) if len(shape) == 4 else (2, 0, 1)
        zh = f"通道好像在最后：请用 images.{call}{order}。"
        en = f" This looks like channels last: use images.{call}{order}."
    raise ValueError(
        Text(
            zh=f"images 的形状是 {shape}；应是 (N, C, H, W)、(N, H, W)、(C, H, W) 或 (H, W)，"
            f"1 或 3 个通道，至少一张图像。{zh}",
            en=f"images has shape {shape}; expected (N, C, H, W), (N, H, W), (C, H, W) or (H, W) "
            f"with 1 or 3 channels, at least one image.{en}",
        )
    )


def _true_colours(pixels: np.ndarray, data: ImageData | None) -> np.ndarray:
    """Pixels (N, C, H, W) as float32 in [0, 1], the normalisation of ``data`` undone."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / 255
    if not np.issubdtype(pixels.dtype, np.floating):
        raise TypeError(
            Text(
                zh=f"images 应是 uint8（0 到 255）或浮点数，得到的是 {pixels.dtype}。"
                "如果值是 0 到 255，请用 images.to(torch.uint8)（数组用 images.astype('uint8')）。",
                en=f"images must be uint8 (0 to 255) or floating; got {pixels.dtype}. Use "
                "images.to(torch.uint8) (for arrays images.astype('uint8')) if they hold 0 to 255.",
            )
        )
    pixels = pixels.astype(np.float32)
    check_finite(pixels, "images")
    if data is not None:
        check_normalisation(data)
        mean, std = (_channel(getattr(data, name), pixels, name) for name in ("mean", "std"))
        return np.clip(pixels * std + mean, 0, 1)
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 1:
        raise ValueError(
            Text(
                zh=f"images 里的浮点数从 {low:.3g} 到 {high:.3g}，而像素应在 [0, 1] 里。"
                "标准化过的图像请传 data=（load_mnist 等的返回值）；0 到 255 的请传 uint8。",
                en=f"images holds floats from {low:.3g} to {high:.3g}, but pixels lie in [0, 1]. "
                "If the images are normalised, pass data= (what load_mnist or load_cifar10 "
                "returned), and they are shown in their true colours; if they hold 0 to 255, pass "
                "uint8.",
            )
        )
    return pixels


def _channel(value: float | Sequence[float] | Tensor, pixels: np.ndarray, name: str) -> np.ndarray:
    """One number a channel, ready to be broadcast against (N, C, H, W)."""
    value = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value, np.float32)
    channels = pixels.shape[1]
    if value.size not in (1, channels) or value.ndim > 1:
        raise ValueError(
            Text(
                zh=f"data.{name} 应是一个数，或 {channels} 个通道各一个，"
                f"得到的形状是 {value.shape}。这些图像是不是来自别的数据？",
                en=f"data.{name} must hold one number, or one for each of the {channels} "
                f"channels; got shape {value.shape}. Do these images come from other data?",
            )
        )
    return value.reshape(-1, 1, 1)


# --- classes ----------------------------------------------------------------------------------


def _class_names(
    values: Classes | None, classes: Sequence[str] | None, count: int, name: str
) -> list[str] | None:
    """The names of ``count`` classes, their numbers where they have no names; None stays None."""
    if values is None:
        return None
    if isinstance(values, Tensor | np.ndarray):
        if values.ndim > 1:
            shape = tuple(values.shape)
            raise ValueError(
                Text(
                    zh=f"{name} 应是每张图像一个类别，形状 (N,)，得到的是 {shape}。"
                    "如果是得分 (N, C)，请传 scores.argmax(1)。",
                    en=f"{name} must be one class per image, shape (N,); got {shape}. For class "
                    "scores (N, C) pass scores.argmax(1).",
                )
            )
        values = values.tolist()
    values = list(values) if isinstance(values, Iterable) else [values]
    if len(values) != count:
        raise ValueError(
            Text(
                zh=f"{name} 有 {len(values)} 个类别，图像却有 {count} 张。",
                en=f"{name} holds {len(values)} classes for {count} images.",
            )
        )
    return [_class_name(value, classes, name) for value in values]


def _class_name(value: int, classes: Sequence[str] | None, name: str) -> str:
    try:
        index = value.__index__()  # ints, numpy's ints and integer tensors of one element
    except (AttributeError, TypeError):
        raise TypeError(
            Text(
                zh=f"{name} 里应是整数，得到的是 {value!r}。",
                en=f"{name} must hold ints; got {value!r}.",
            )
        ) from None
    if classes is None:
        return str(index)
    if not 0 <= index < len(classes):
        raise ValueError(
            Text(
                zh=f"{name} 里有 {index}，可是只有 {len(classes)} 个类别，从 0 数起。",
                en=f"{name} holds {index}, but there are {len(classes)} classes, from 0 on.",
            )
        )
    return str(classes[index])
