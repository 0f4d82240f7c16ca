"""MNIST and CIFAR-10 as ready-made loaders of batches.

`d2lhelpers.sources` finds the images, or makes synthetic ones if it has to. They stay in memory as
uint8, and a batch is made by indexing them all at once: no picture is ever opened one by one.
"""

import operator
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from . import sources

Augmentation = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


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
        test: likewise; None only where a copy of this object was made to train without it.
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
        root: folder with the data; see `d2lhelpers.sources.data_root`.
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
    data_set = sources.DATA_SETS[name]
    batch_size = _integer("batch_size", batch_size, 1)
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
