"""MNIST and CIFAR-10 as ready-made loaders: find them, verify them, cut them into batches.

`load_mnist` and `load_cifar10` look for the data in this order:

1. on disk, as torchvision leaves it: ``MNIST/raw/*-ubyte`` (or ``.gz``), ``cifar-10-batches-py/``;
2. on disk, as Keras stores it: ``mnist.npz``, ``cifar10.npz``;
3. on the network, through torchvision;
4. failing all that, a synthetic stand-in, which is announced by a `StandInWarning`.

Files are verified each time they are read. Images stay in memory as uint8, and a batch is made by
indexing them all at once: no picture is ever opened one by one.
"""

import contextlib
import functools
import gzip
import hashlib
import io
import operator
import os
import pickle
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from . import _paths, synthetic
from .synthetic import Arrays

Augmentation = Callable[[torch.Tensor, torch.Generator], torch.Tensor]

# Seconds without a byte after which a server counts as gone.
TIMEOUT = 10
# Seconds to wait for another process that is downloading the same data.
LOCK_TIMEOUT = 3600

# SHA-256 of the pixels and labels themselves (uint8, without the headers of the IDX files), so
# that one list serves every way of storing them.
MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
MNIST_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
# MD5 of the files, as torchvision.datasets.CIFAR10 lists them (train_list, test_list).
CIFAR10_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
# SHA-256 of x_test (uint8, NHWC) in a copy of CIFAR-10 whose pictures went through JPEG. They look
# the same but cost a network some accuracy, so results made with them have to say so.
CIFAR10_JPEG_SHA256 = "e74fc24194733799b0157340658b7d3bad63b484bdcbca11295532687c7fa3e0"

# fmt: off
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)
# fmt: on


class StandInWarning(UserWarning):
    """The real data set could not be had and synthetic images took its place."""


class DamagedDataWarning(UserWarning):
    """A data file on disk is truncated, altered or of the wrong shape, and was not used."""


# ------------------------------------------------------------------------------ what is returned


class ImageDataset(Dataset):
    """Labelled images, kept as uint8 and normalised batch by batch.

    A standard `DataLoader` hands whole batches of indices to `__getitems__`; give it
    ``collate_fn=whole_batch``, since nothing is left to collate. In worker processes every worker
    augments with a generator of its own.

    Args:
        images: uint8 tensor (N, C, H, W), on any device; batches are made there.
        labels: int64 tensor (N,), on the same device.
        mean: one number for all channels or C of them, in units of [0, 1] pixels.
        std: likewise, above 0.
        augment: functions ``f(images, generator) -> images`` on uint8 batches, applied in order
            before normalisation.
        generator: CPU generator that the augmentations draw from; a new one if None.

    Attributes:
        mean, std: float32 tensors (C,), on the device of the images.

    Raises:
        TypeError: the images are not uint8, the labels not int64, or an augmentation is no
            function.
        ValueError: shapes do not fit together, or a standard deviation is not above 0.

    Example:
        >>> white = torch.full((5, 1, 2, 2), 255, dtype=torch.uint8)
        >>> dataset = ImageDataset(white, torch.arange(5), mean=0.5, std=0.5)
        >>> X, y = dataset[3]
        >>> X.shape, X.unique().tolist(), y.item()
        (torch.Size([1, 2, 2]), [1.0], 3)
        >>> X, y = dataset.__getitems__([4, 0])
        >>> X.shape, y.tolist()
        (torch.Size([2, 1, 2, 2]), [4, 0])
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        mean: float | Sequence[float] | torch.Tensor,
        std: float | Sequence[float] | torch.Tensor,
        augment: tuple[Augmentation, ...] = (),
        generator: torch.Generator | None = None,
    ):
        if images.dtype != torch.uint8 or labels.dtype != torch.int64:
            raise TypeError(
                f"images must be uint8 and labels int64, not {images.dtype} and {labels.dtype}"
            )
        if images.ndim != 4 or labels.shape != images.shape[:1]:
            raise ValueError(
                "images must have the shape (N, C, H, W) and labels (N,), "
                f"not {tuple(images.shape)} and {tuple(labels.shape)}"
            )
        if not isinstance(augment, tuple | list) or not all(map(callable, augment)):
            raise TypeError(
                f"augment must be a tuple of functions, not {augment!r}; "
                "for a single one write augment=(random_flip,)"
            )
        self.images, self.labels = images, labels
        mean = _per_channel("mean", mean, images.shape[1])
        std = _per_channel("std", std, images.shape[1])
        if not (std > 0).all():
            raise ValueError(
                f"std must be above 0 in every channel, not {std.tolist()}; "
                "images of a single shade need a std of your choice, such as std=1"
            )
        self.augment = tuple(augment)
        self.generator = torch.Generator() if generator is None else generator
        # ((x / 255) - mean) / std as one multiplication and one addition.
        scale = (1 / (255 * std.double())).float().view(-1, 1, 1)
        shift = (-mean.double() / std.double()).float().view(-1, 1, 1)
        self.mean, self.std = mean.to(images.device), std.to(images.device)
        self._scale, self._shift = scale.to(images.device), shift.to(images.device)
        self._worker_seed: int | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One image, float32 (C, H, W), normalised, and its label, int64 without dimensions."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} images")
        X, y = self.__getitems__([index % len(self)])
        return X[0], y[0]

    def __getitems__(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch: images, float32 (B, C, H, W), normalised, and labels, int64 (B,)."""
        chosen = torch.as_tensor(indices, dtype=torch.int64, device=self.images.device)
        images = self.images.index_select(0, chosen)
        if self.augment:
            self._seed_worker()
        for change in self.augment:
            images = change(images, self.generator)
            if images.dtype != torch.uint8 or len(images) != len(chosen):
                raise TypeError(
                    f"{getattr(change, '__name__', change)} must return {len(chosen)} uint8 images "
                    f"(N, C, H, W), not {images.dtype} {tuple(images.shape)}"
                )
        X = images.to(torch.float32, memory_format=torch.contiguous_format)
        return X.mul_(self._scale).add_(self._shift), self.labels.index_select(0, chosen)

    def _seed_worker(self) -> None:
        """In a worker process, leave the generator state that all workers got a copy of."""
        worker = get_worker_info()
        if worker is not None and self._worker_seed != worker.seed:
            self._worker_seed = worker.seed
            self.generator.manual_seed(worker.seed)


@dataclass(frozen=True)
class ImageData:
    """A data set, split and ready for training.

    Attributes:
        name: "MNIST" or "CIFAR-10".
        train: shuffled loader of (X, y): X float32 (B, C, H, W), y int64 (B,). The last batch may
            be smaller. ``train.generator`` draws its order and its augmentations.
        validation: loader in fixed order without augmentation, or None if none was asked for.
        test: likewise, never None.
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
    test: DataLoader
    classes: tuple[str, ...]
    source: str
    is_real: bool
    mean: torch.Tensor
    std: torch.Tensor

    def __repr__(self) -> str:
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        sizes = ", ".join(
            f"{len(loader.dataset)} {split}" for split, loader in splits.items() if loader
        )
        return f"ImageData({self.source}: {sizes}; batches of {self.train.batch_size})"


@dataclass(frozen=True)
class Found:
    """What looking for a data set came to; see `fetch`.

    Attributes:
        name: "MNIST" or "CIFAR-10".
        is_real: False if only the stand-in is left.
        source: the words that `ImageData.source` will hold.
        where: the folder or file with the data; None for the stand-in.
        reason: why there is no real data; empty if there is.
    """

    name: str
    is_real: bool
    source: str
    where: Path | None = None
    reason: str = ""

    def __str__(self) -> str:
        if self.is_real:
            return f"{self.source}: {self.where}"
        return (
            f"{self.name}：没有真实数据，只有合成的替代图像。原因：{self.reason}。\n"
            f"{self.name}: no real data, only a synthetic stand-in. Why: {self.reason}."
        )


def whole_batch(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``collate_fn`` for an `ImageDataset`, which makes whole batches itself."""
    return batch


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
            permutation, so that the split is the same in every chapter and for every `seed`.
        train_size: use only so many of the remaining training images; None uses all.
        test_size: use only so many test images; None uses all, in their own order.
        source: "auto" (disk, then network, then stand-in), "real" (never the stand-in) or
            "synthetic" (the stand-in, without looking further).
        root: folder with the data; see `data_root`.
        device: where images are kept and batches are made; None is the CPU.
        augment: functions ``f(images, generator) -> images`` on uint8 batches (N, C, H, W), for
            training only.
        mean: subtracted from pixels in [0, 1]: a number, one a channel, or None for the mean of
            the training images in use. ``mean=0, std=1`` leaves plain [0, 1] pixels.
        std: divides the result; None for the standard deviation of the training images in use.
        seed: for the order of the training images and their augmentation.

    Returns:
        An `ImageData`.

    Raises:
        FileNotFoundError: ``source="real"`` and neither disk nor network has the data.
        TypeError: a size is not an integer, or `augment` is not a tuple of functions.
        ValueError: a size, `source`, `mean` or `std` is out of range.

    Warns:
        StandInWarning: the stand-in is used; once per process.
        DamagedDataWarning: a file on disk is damaged and was not used.

    Example:
        >>> data = load_mnist(64, train_size=640, test_size=100, source="synthetic")
        >>> data
        ImageData(synthetic stand-in for MNIST: 640 train, 100 test; batches of 64)
        >>> X, y = next(iter(data.train))
        >>> X.shape, y.shape
        (torch.Size([64, 1, 28, 28]), torch.Size([64]))
    """
    return _load("MNIST", **locals())


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

    Arguments, result, errors and warnings are those of `load_mnist`; images have 3 channels. The
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
    return _load("CIFAR-10", **locals())


def fetch(name: str, root: str | os.PathLike | None = None) -> Found:
    """Make a data set present on disk if that is possible, and say what ``source="auto"`` will use.

    Args:
        name: "MNIST" or "CIFAR-10".
        root: folder with the data; see `data_root`.

    Returns:
        A `Found`. Its `is_real` is False, with a `reason`, if only the stand-in is left; there is
        no `StandInWarning` then.

    Raises:
        ValueError: there is no data set of this name.
    """
    if name not in _DATA_SETS:
        raise ValueError(f"there is no data set {name!r}; choose from {', '.join(_DATA_SETS)}")
    return _obtain(_DATA_SETS[name], data_root(root))[1]


def data_root(root: str | os.PathLike | None = None) -> Path:
    """The folder that data sets are looked for in and downloaded to.

    It is `root` if given, else the environment variable ``D2L_DATA``, else ``data/`` in the
    checkout that holds this package (whatever the current directory), else, where the package was
    installed without its checkout, ``data/`` in the current directory.

    Example:
        >>> data_root("elsewhere").name
        'elsewhere'
    """
    return (_paths.folder("D2L_DATA", "data") if root is None else Path(root)).expanduser()


# -------------------------------------------------------------------------------- loading


def _load(
    name,
    batch_size,
    validation_size,
    train_size,
    test_size,
    source,
    root,
    device,
    augment,
    mean,
    std,
    seed,
) -> ImageData:
    """What `load_mnist` and `load_cifar10` share."""
    data_set = _DATA_SETS[name]
    batch_size = _integer("batch_size", batch_size, 1)
    validation_size, train_size, test_size = _check_sizes(
        data_set, validation_size, train_size, test_size
    )
    if source not in ("auto", "real", "synthetic"):
        raise ValueError(f"source must be 'auto', 'real' or 'synthetic', not {source!r}")

    arrays, found = None, Found(name, False, f"synthetic stand-in for {name}")
    if source != "synthetic":
        root = data_root(root)
        arrays, found = _obtain(data_set, root)
        if not found.is_real:
            files = " or ".join(data_set.files)
            advice = f"put {files} into {root}, or set D2L_DATA to the folder that has it"
            if source == "real":
                raise FileNotFoundError(
                    f"{name} was not found: {found.reason}. Connect to the network and try again, "
                    f"{advice}, or use source='auto' to go on with a synthetic stand-in."
                )
            _warn_stand_in(data_set, root, found.reason, advice)
    if arrays is None:
        arrays = data_set.stand_in(train_size=data_set.train_size, test_size=data_set.test_size)

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
        computed = _mean_and_std(train[0])
        mean = computed[0] if mean is None else mean
        std = computed[1] if std is None else std

    def loader(images, labels, augment=(), shuffle=False):
        # Validation and test loaders get a generator too: PyTorch would otherwise draw from the
        # global one on every pass, and evaluating a network would change its further training.
        generator = torch.Generator().manual_seed(seed)
        images, labels = images.to(device), labels.to(device)
        return DataLoader(
            ImageDataset(images, labels, mean, std, augment, generator),
            batch_size=batch_size,
            shuffle=shuffle,
            collate_fn=whole_batch,
            generator=generator,
        )

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

    `RandomState` is the generator whose stream NumPy has frozen (NEP 19).
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
        raise TypeError(f"{name} must be an integer, not {value!r}") from None
    if value < low or (high is not None and value > high):
        limit = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} is {value}; it must be {limit}")
    return value


def _check_sizes(data_set, validation_size, train_size, test_size) -> tuple[int, int, int]:
    """The three sizes with None filled in, or an error that gives the numbers."""
    validation_size = _integer("validation_size", validation_size, 0, data_set.train_size - 1)
    left = data_set.train_size - validation_size
    if train_size is None:
        train_size = left
    try:
        train_size = _integer("train_size", train_size, 1, left)
    except ValueError as error:
        raise ValueError(
            f"{error}: {data_set.name} has {data_set.train_size} training images, "
            f"of which {validation_size} are for validation"
        ) from None
    test_size = data_set.test_size if test_size is None else test_size
    return validation_size, train_size, _integer("test_size", test_size, 1, data_set.test_size)


def _mean_and_std(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of every channel, in units of [0, 1] pixels.

    From the histogram of the 256 shades: exact, and much faster than turning all pixels into
    floats.
    """
    shades = torch.arange(256, dtype=torch.float64) / 255
    histograms = [
        torch.bincount(images[:, channel].flatten(), minlength=256)
        for channel in range(images.shape[1])
    ]
    share = torch.stack(histograms).double()
    share /= share.sum(dim=1, keepdim=True)
    mean = share @ shades
    variance = (share * (shades - mean[:, None]) ** 2).sum(dim=1)
    return mean, variance.sqrt()


def _per_channel(name: str, value, channels: int) -> torch.Tensor:
    """A number or a sequence of them as a float32 tensor (channels,) on the CPU."""
    value = torch.as_tensor(value, dtype=torch.float32, device="cpu")
    if value.ndim > 1 or value.numel() not in (1, channels):
        raise ValueError(
            f"{name} must be one number or one for each of {channels} channel(s), "
            f"not {value.tolist()}"
        )
    if not value.isfinite().all():
        raise ValueError(f"{name} must be finite, not {value.tolist()}")
    return value.expand(channels).clone()


# -------------------------------------------------------------------------------- finding


class _Damaged(Exception):
    """A file that is there but cannot be trusted; says why in both languages."""

    def __init__(self, path: Path, chinese: str, english: str):
        super().__init__(f"{path}: {english}")
        self.path, self.chinese, self.english = path, chinese, english


def _obtain(data_set: "_DataSet", root: Path) -> tuple[Arrays | None, Found]:
    """Disk, then network. Returns (None, why not) if the real data cannot be had."""
    download = functools.cache(lambda: _download(data_set, root))  # one attempt at most
    damaged = []
    for read in data_set.readers:
        try:
            result = read(data_set, root)
        except _Damaged as damage:
            _warn_damaged(damage)
            damaged.append(f"{damage}; ")
            result, _ = download()
        if result is not None:
            return result
    result, failure = download()
    if result is not None:
        return result
    files = " or ".join(data_set.files)
    reason = f"no usable {files} in {root}; {''.join(damaged)}download failed ({failure})"
    stand_in = f"synthetic stand-in for {data_set.name}"
    return None, Found(data_set.name, False, stand_in, reason=reason)


def _warn_damaged(damage: _Damaged) -> None:
    warnings.warn(
        f"\n数据文件 {damage.path} 已损坏，不使用它：{damage.chinese}。"
        "将尝试重新下载；若下载失败，请删除或替换这个文件。"
        f"\nThe data file {damage.path} is damaged and is not used: {damage.english}. "
        "A fresh copy is downloaded if possible; otherwise delete or replace the file.",
        DamagedDataWarning,
        stacklevel=5,
    )


_warned: set[str] = set()


def _warn_stand_in(data_set: "_DataSet", root: Path, reason: str, advice: str) -> None:
    if data_set.name in _warned:
        return
    _warned.add(data_set.name)
    warnings.warn(
        f"\n找不到 {data_set.name}，改用程序合成的替代图像："
        f"得到的准确率不是 {data_set.name} 上的准确率。"
        f"\n原因：{reason}。"
        f"\n解决办法：联网后重新运行，或把 {' 或 '.join(data_set.files)} 放进 {root}，"
        "或让环境变量 D2L_DATA 指向数据所在的文件夹。"
        f"\n{data_set.name} was not found, so synthetic images stand in for it: "
        f"accuracies are not those of {data_set.name}."
        f"\nWhy: {reason}."
        f"\nWhat to do: connect to the network and run again, {advice}.",
        StandInWarning,
        stacklevel=4,
    )


# -------------------------------------------------------------------------------- reading
#
# Every reader takes (data_set, folder), returns None if its files are not all there, raises
# _Damaged if one of them is not what it should be, and else returns (Arrays, Found).


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is read and parsed means that the file is damaged."""
    try:
        yield
    except (_Damaged, MemoryError):
        raise
    except Exception as error:
        text = _one_line(error)
        raise _Damaged(path, f"读取失败（{text}）", f"it cannot be read ({text})") from error


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _check_shape(path: Path, key: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Pixels and labels as MNIST and CIFAR-10 must have them."""
    if array.shape != shape:
        raise _Damaged(
            path,
            f"{key} 的形状是 {array.shape}，应为 {shape}",
            f"{key} has the shape {array.shape} instead of {shape}",
        )
    if array.dtype != np.uint8 and (key[0] == "x" or array.dtype.kind not in "iu"):
        raise _Damaged(
            path,
            f"{key} 的类型是 {array.dtype}，应为 uint8",
            f"{key} has the type {array.dtype} instead of uint8",
        )
    if key[0] == "y" and (array.min() < 0 or array.max() > 9):
        raise _Damaged(
            path,
            f"{key} 中有 0 到 9 以外的标签",
            f"{key} holds labels outside 0 to 9",
        )


def _altered(path: Path) -> _Damaged:
    return _Damaged(
        path,
        "内容与公布的校验和不符",
        "its contents do not have the published checksum",
    )


def _check_mnist(path: Path, key: str, array: np.ndarray, size: int) -> None:
    _check_shape(path, key, array, (size, 28, 28) if key[0] == "x" else (size,))
    array = np.ascontiguousarray(array, dtype=np.uint8)
    if hashlib.sha256(array).hexdigest() != MNIST_SHA256[key]:
        raise _altered(path)


def _arrays(parts: dict[str, np.ndarray], classes: tuple[str, ...]) -> Arrays:
    return Arrays(
        parts["x_train"],
        parts["y_train"].astype(np.int64),
        parts["x_test"],
        parts["y_test"].astype(np.int64),
        classes,
    )


def _read_idx(path: Path) -> np.ndarray:
    """An IDX file of bytes: magic number 0x08 and dimensions, sizes, data; big-endian.

    Format: https://yann.lecun.com/exdb/mnist
    """
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            content = np.frombuffer(bytearray(file.read()), np.uint8)
    else:
        content = np.fromfile(path, np.uint8)
    if content[:3].tolist() != [0, 0, 8]:
        raise ValueError("it does not begin like an IDX file of bytes")
    header = 4 + 4 * int(content[3])
    shape = content[4:header].view(">u4").tolist()
    return content[header:].reshape(shape)


def _read_mnist_raw(data_set: "_DataSet", folder: Path) -> tuple[Arrays, Found] | None:
    raw = folder / "MNIST" / "raw"
    parts = {}
    for key, name in MNIST_FILES.items():
        path = raw / name if (raw / name).is_file() else raw / f"{name}.gz"
        if not path.is_file():
            return None
        with _reading(path):
            parts[key] = _read_idx(path)
            _check_mnist(path, key, parts[key], data_set.size(key))
    return _mnist(parts, raw)


def _read_mnist_npz(data_set: "_DataSet", folder: Path) -> tuple[Arrays, Found] | None:
    path = folder / "mnist.npz"
    if not path.is_file():
        return None
    with _reading(path):
        parts = _read_npz(path)
        for key in parts:
            _check_mnist(path, key, parts[key], data_set.size(key))
    return _mnist(parts, path)


def _mnist(parts: dict[str, np.ndarray], where: Path) -> tuple[Arrays, Found]:
    for key in ("x_train", "x_test"):
        parts[key] = parts[key][:, None]
    return _arrays(parts, synthetic.DIGITS), Found("MNIST", True, "MNIST", where)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """The four arrays of an archive in Keras' layout, labels flattened; zip's checksums apply."""
    with path.open("rb") as file, np.load(file) as archive:
        parts = {key: archive[key] for key in MNIST_FILES}
    for key in ("y_train", "y_test"):
        if parts[key].shape == (len(parts[key]), 1):
            parts[key] = parts[key][:, 0]
    return parts


def _read_cifar10_batches(data_set: "_DataSet", folder: Path) -> tuple[Arrays, Found] | None:
    batches = folder / "cifar-10-batches-py"
    paths = [batches / name for name in CIFAR10_MD5]
    if not all(path.is_file() for path in paths):
        return None
    images, labels = [], []
    for path in paths:
        with _reading(path):
            content = path.read_bytes()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != CIFAR10_MD5[path.name]:
                raise _altered(path)
            # Unpickling can run any code, so it comes after the check. NumPy warns about the way
            # in which Python 2 wrote these files.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                batch = pickle.loads(content, encoding="latin1")
            images.append(batch["data"].reshape(-1, *data_set.shape))
            labels.append(np.array(batch["labels"]))
    parts = {
        "x_train": np.concatenate(images[:-1]),
        "y_train": np.concatenate(labels[:-1]),
        "x_test": images[-1],
        "y_test": labels[-1],
    }
    for key, part in parts.items():
        shape = (data_set.size(key), *(data_set.shape if key[0] == "x" else ()))
        _check_shape(batches, key, part, shape)
    return _arrays(parts, CIFAR10_CLASSES), Found("CIFAR-10", True, "CIFAR-10", batches)


def _read_cifar10_npz(data_set: "_DataSet", folder: Path) -> tuple[Arrays, Found] | None:
    path = folder / "cifar10.npz"
    if not path.is_file():
        return None
    with _reading(path):
        parts = _read_npz(path)
        for key, part in parts.items():
            _check_shape(
                path, key, part, (data_set.size(key), *((32, 32, 3) if key[0] == "x" else ()))
            )
    checksum = hashlib.sha256(np.ascontiguousarray(parts["x_test"])).hexdigest()
    source = "JPEG copy" if checksum == CIFAR10_JPEG_SHA256 else path.name
    for key in ("x_train", "x_test"):
        parts[key] = parts[key].transpose(0, 3, 1, 2)
    return _arrays(parts, CIFAR10_CLASSES), Found("CIFAR-10", True, f"CIFAR-10 ({source})", path)


# ------------------------------------------------------------------------------ downloading


def _download(data_set: "_DataSet", root: Path) -> tuple[tuple[Arrays, Found] | None, str]:
    """Fetch through torchvision. Returns (what the reader read, "") or (None, why it failed)."""
    from filelock import FileLock

    read = data_set.readers[0]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{data_set.name}.lock", timeout=LOCK_TIMEOUT):
            # Another process may have downloaded it while this one waited.
            with contextlib.suppress(_Damaged):
                if (result := read(data_set, root)) is not None:
                    return result, ""
            # A killed process leaves its folder behind; whoever holds the lock owns all of them.
            prefix = f".{data_set.name}-download-"
            for leftover in root.glob(f"{prefix}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(
                prefix=prefix, dir=root, ignore_cleanup_errors=True
            ) as staging:
                _fetch_and_move(data_set, Path(staging), root)
            return read(data_set, root), ""
    except Exception as error:
        return None, _one_line(error)


def _fetch_and_move(data_set: "_DataSet", staging: Path, root: Path) -> None:
    """Download into `staging`, verify there, and only then give the files their final names."""
    with _quietly(), _socket_timeout(TIMEOUT):
        make = data_set.torchvision_class()
    print(
        f"正在下载 {data_set.name}（约 {data_set.megabytes} MB）到 {root}……\n"
        f"Downloading {data_set.name} (about {data_set.megabytes} MB) to {root} …",
        flush=True,
    )
    with _quietly(), _socket_timeout(TIMEOUT):
        make(staging, train=False, download=True)
    if data_set.readers[0](data_set, staging) is None:
        raise FileNotFoundError("the download lacks some of its files")
    source, target = staging / data_set.folder, root / data_set.folder
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        # torchvision leaves MNIST's archives beside their contents; they are not needed again.
        if file.suffix != ".gz":
            os.replace(file, target / file.name)


def _torchvision_mnist() -> type:
    from torchvision.datasets import MNIST

    # A mirror that swallows connections would cost minutes, so torchvision gets the live ones.
    first = MNIST.resources[0][0]
    mirrors = _answering([mirror + first for mirror in MNIST.mirrors])
    mirrors = [url.removesuffix(first) for url in mirrors]
    return type("MNIST", (MNIST,), {"mirrors": mirrors})


def _torchvision_cifar10() -> type:
    from torchvision.datasets import CIFAR10

    _answering([CIFAR10.url])
    return CIFAR10


def _answering(urls: list[str]) -> list[str]:
    """Those addresses that answer at all, if only with an error, within `TIMEOUT` seconds.

    A socket's own timeout holds for each of the server's addresses in turn, of which there may be
    eight.

    Raises:
        ConnectionError: none of them does.
    """
    outcome = dict.fromkeys(urls, f"no answer within {TIMEOUT} s")

    def ask(url: str) -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD")).close()
            outcome[url] = ""
        except urllib.error.HTTPError:
            outcome[url] = ""
        except Exception as error:
            outcome[url] = _one_line(error)

    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TIMEOUT
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    failures = dict(outcome)  # a late thread may still write
    if all(failures.values()):
        raise ConnectionError("; ".join(f"{url}: {why}" for url, why in failures.items()))
    return [url for url, why in failures.items() if not why]


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep torchvision's progress bars and warnings out of notebooks; a terminal may show them."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if not sys.stderr.isatty():
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


# ----------------------------------------------------------------------------- the data sets


@dataclass(frozen=True)
class _DataSet:
    name: str
    shape: tuple[int, int, int]  # of an image, (C, H, W)
    train_size: int
    test_size: int
    megabytes: int  # of the download
    folder: str  # in torchvision's layout
    files: tuple[str, ...]  # what a user may put in place: either of them
    readers: tuple[Callable, ...]  # in order; the first one reads torchvision's layout
    torchvision_class: Callable[[], type]
    stand_in: Callable[..., Arrays]

    def size(self, key: str) -> int:
        """Images in "x_train", labels in "y_test", and so on."""
        return self.train_size if key.endswith("train") else self.test_size


_DATA_SETS = {
    "MNIST": _DataSet(
        name="MNIST",
        shape=(1, 28, 28),
        train_size=60_000,
        test_size=10_000,
        megabytes=11,
        folder="MNIST/raw",
        files=("MNIST/raw/*-ubyte", "mnist.npz"),
        readers=(_read_mnist_raw, _read_mnist_npz),
        torchvision_class=_torchvision_mnist,
        stand_in=synthetic.make_mnist,
    ),
    "CIFAR-10": _DataSet(
        name="CIFAR-10",
        shape=(3, 32, 32),
        train_size=50_000,
        test_size=10_000,
        megabytes=170,
        folder="cifar-10-batches-py",
        files=("cifar-10-batches-py/", "cifar10.npz"),
        readers=(_read_cifar10_batches, _read_cifar10_npz),
        torchvision_class=_torchvision_cifar10,
        stand_in=synthetic.make_cifar10,
    ),
}
