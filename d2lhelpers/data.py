"""MNIST and CIFAR-10 as ready-made loaders of batches.

``d2lhelpers.sources`` finds the images, or makes synthetic ones if it has to. They stay in memory
as uint8, and a batch is made by indexing them all at once: no picture is ever opened one by one.
"""

import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import DataLoader

from . import sources
from .dataset import Augmentation, ImageDataset, ImageLoader, mean_and_std
from .formats import DataSet
from .say import Text


@dataclass(frozen=True)
class ImageData:
    """A data set, split and ready for training.

    Attributes:
        name: "MNIST" or "CIFAR-10".
        train: shuffled loader of (X, y): X float32 (B, C, H, W), y int64 (B,). The last batch may
            be smaller. ``train.generator`` draws its order and its augmentations.
        validation: loader in fixed order without augmentation, or None if none was asked for.
        test: likewise; None in a copy that ``without_test`` made.
        classes: the class names, in the order of the labels.
        source: where the images come from, in words: "MNIST", "CIFAR-10", "CIFAR-10 (JPEG copy)",
            "synthetic stand-in for MNIST", ...
        is_real: False for a stand-in.
        mean, std: float32 (C,), in units of [0, 1] pixels, on the CPU; all three loaders
            normalise with them.
    """

    name: str
    train: DataLoader
    validation: DataLoader | None
    test: DataLoader | None
    classes: tuple[str, ...]
    source: str
    is_real: bool
    mean: torch.Tensor
    std: torch.Tensor

    def without_test(self) -> "ImageData":
        """A copy without the test set, for trainings that must not see it; loaders are shared.

        Example:
            >>> load_mnist(64, train_size=640, source="synthetic").without_test()
            ImageData(synthetic stand-in for MNIST: 640 train; batches of 64)
        """
        return replace(self, test=None)

    def __repr__(self) -> str:
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        sizes = ", ".join(
            f"{len(loader.dataset)} {split}" for split, loader in splits.items() if loader
        )
        return f"ImageData({self.source}: {sizes}; batches of {self.train.batch_size})"


# ----------------------------------------------------------------------------- what is called


def load_mnist(
    batch_size: int = 100,
    *,
    validation_size: int = 0,
    train_size: int | None = None,
    test_size: int | None = None,
    source: str = "auto",
    root: str | os.PathLike | None = None,
    device: torch.device | str | None = None,
    augment: tuple[Augmentation, ...] = (),
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    seed: int = 0,
) -> ImageData:
    """Load MNIST: handwritten digits, 60,000 + 10,000 grey images of 28×28 pixels.

    Args:
        batch_size: images a batch.
        validation_size: how many training images to set aside. They are chosen by a fixed
            permutation, so that the split is the same in every chapter and for every ``seed``.
        train_size: use only so many of the remaining training images; None uses all.
        test_size: use only so many test images; None uses all, in their own order.
        source: "auto" (disk, then network, then stand-in), "real" (never the stand-in) or
            "synthetic" (the stand-in, without looking further).
        root: folder with the data; see ``d2lhelpers.sources.data_root``.
        device: where images are kept and batches are made; None is the CPU.
        augment: functions ``f(images, generator) -> images`` on uint8 batches (N, C, H, W), for
            training only.
        mean: subtracted from pixels in [0, 1]: a number, one a channel, or None for the mean of
            the training images in use. ``mean=0, std=1`` leaves plain [0, 1] pixels.
        std: divides the result; None for the standard deviation of the training images in use.
        seed: for the order of the training images and their augmentation.

    Returns:
        An ``ImageData``.

    Raises:
        FileNotFoundError: ``source="real"`` and neither disk nor network has the data.
        TypeError: a size is not an integer, or ``augment`` is not a tuple of functions.
        ValueError: a size, ``source``, ``mean`` or ``std`` is out of range.

    Warns:
        StandInWarning: the stand-in is used; once per process.
        DamagedDataWarning: a file on disk is damaged and was not used.
        UnsavedDataWarning: what was downloaded could not be kept.

    Example:
        >>> data = load_mnist(64, train_size=640, test_size=100, source="synthetic")
        >>> data
        ImageData(synthetic stand-in for MNIST: 640 train, 100 test; batches of 64)
        >>> X, y = next(iter(data.train))
        >>> X.shape, y.shape
        (torch.Size([64, 1, 28, 28]), torch.Size([64]))
    """
    return _load(
        "MNIST",
        batch_size=batch_size,
        validation_size=validation_size,
        train_size=train_size,
        test_size=test_size,
        source=source,
        root=root,
        device=device,
        augment=augment,
        mean=mean,
        std=std,
        seed=seed,
    )


def load_cifar10(
    batch_size: int = 100,
    *,
    validation_size: int = 0,
    train_size: int | None = None,
    test_size: int | None = None,
    source: str = "auto",
    root: str | os.PathLike | None = None,
    device: torch.device | str | None = None,
    augment: tuple[Augmentation, ...] = (),
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    seed: int = 0,
) -> ImageData:
    """Load CIFAR-10: photographs of ten kinds of things, 50,000 + 10,000 of 32×32 pixels in colour.

    Arguments, result, errors and warnings are those of ``load_mnist``; images have 3 channels. The
    classes of the stand-in are shapes ("disc", "ring", ...), not airplanes.

    Example:
        >>> data = load_cifar10(validation_size=500, train_size=1000, test_size=100,
        ...                     source="synthetic")
        >>> data
        ImageData(synthetic stand-in for CIFAR-10: 1000 train, 500 validation, 100 test; batches of 100)
        >>> X, y = next(iter(data.validation))
        >>> X.shape, data.mean.shape
        (torch.Size([100, 3, 32, 32]), torch.Size([3]))
    """  # noqa: E501
    return _load(
        "CIFAR-10",
        batch_size=batch_size,
        validation_size=validation_size,
        train_size=train_size,
        test_size=test_size,
        source=source,
        root=root,
        device=device,
        augment=augment,
        mean=mean,
        std=std,
        seed=seed,
    )


# -------------------------------------------------------------------------------- loading


def _load(
    name: str,
    *,
    batch_size: int,
    validation_size: int,
    train_size: int | None,
    test_size: int | None,
    source: str,
    root: str | os.PathLike | None,
    device: torch.device | str | None,
    augment: tuple[Augmentation, ...],
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
    seed: int,
) -> ImageData:
    """What ``load_mnist`` and ``load_cifar10`` share."""
    data_set = sources.DATA_SETS[name]
    batch_size = _integer("batch_size", batch_size, 1)
    seed = _integer("seed", seed, -(2**63), 2**64 - 1)
    validation_size, train_size, test_size = _check_sizes(
        data_set, validation_size, train_size, test_size
    )
    arrays, found = sources.obtain(name, source, root)
    images = torch.from_numpy(arrays.train_images)
    labels = torch.from_numpy(arrays.train_labels)
    # One fixed permutation: training images from its start, validation images from its end.
    train = _choose(images, labels, slice(0, train_size))
    validation = _choose(images, labels, slice(data_set.train_size - validation_size, None))
    test = _choose(
        torch.from_numpy(arrays.test_images),
        torch.from_numpy(arrays.test_labels),
        slice(0, test_size),
    )
    if mean is None or std is None:
        computed = mean_and_std(train[0])
        mean = computed[0] if mean is None else mean
        std = computed[1] if std is None else std

    def loader(images, labels, augment=(), shuffle=False):
        images, labels = images.to(device), labels.to(device)
        dataset = ImageDataset(images, labels, mean, std, augment, seed)
        return ImageLoader(dataset, batch_size, shuffle)

    train_loader = loader(*train, augment, shuffle=True)
    return ImageData(
        name=name,
        train=train_loader,
        validation=loader(*validation) if validation_size else None,
        test=loader(*test),
        classes=arrays.classes,
        source=found.source,
        is_real=found.is_real,
        mean=train_loader.dataset.mean.cpu(),
        std=train_loader.dataset.std.cpu(),
    )


def _choose(
    images: torch.Tensor, labels: torch.Tensor, part: slice
) -> tuple[torch.Tensor, torch.Tensor]:
    """A part of the images in the order of a fixed permutation; all of them keep their own order.

    ``RandomState`` is the generator whose stream NumPy has frozen (NEP 19).
    """
    chosen = torch.from_numpy(np.random.RandomState(0).permutation(len(images))[part])
    if len(chosen) < len(images):
        images, labels = images[chosen], labels[chosen]
    # Rows of an NCHW array are picked much faster than those of a permuted view.
    return images.contiguous(), labels


def _integer(name: str, value: int, low: int, high: int | None = None) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        value = operator.index(value)
    except TypeError:
        raise TypeError(
            Text(
                zh=f"{name} 必须是整数，而不是 {value!r}。",
                en=f"{name} must be an integer, not {value!r}.",
            )
        ) from None
    if value < low or (high is not None and value > high):
        zh, en = (
            (f"至少是 {low}", f"at least {low}")
            if high is None
            else (f"在 {low} 到 {high} 之间", f"from {low} to {high}")
        )
        raise ValueError(
            Text(zh=f"{name} 是 {value}；它应{zh}。", en=f"{name} is {value}; it must be {en}.")
        )
    return value


def _check_sizes(
    data_set: DataSet, validation_size: int, train_size: int | None, test_size: int | None
) -> tuple[int, int, int]:
    """The three sizes with None filled in, or an error that gives the numbers."""
    validation_size = _integer("validation_size", validation_size, 0, data_set.train_size - 1)
    left = data_set.train_size - validation_size
    train_size = left if train_size is None else _integer("train_size", train_size, 1)
    if train_size > left:
        raise ValueError(
            Text(
                zh=f"train_size 是 {train_size}；它应在 1 到 {left} 之间：{data_set.name} 有 "
                f"{data_set.train_size} 张训练图像，其中 {validation_size} 张用于验证。",
                en=f"train_size is {train_size}; it must be from 1 to {left}: {data_set.name} has "
                f"{data_set.train_size} training images, of which {validation_size} are for "
                "validation.",
            )
        )
    test_size = data_set.test_size if test_size is None else test_size
    return validation_size, train_size, _integer("test_size", test_size, 1, data_set.test_size)
