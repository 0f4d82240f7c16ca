"""Labelled images in memory, as a data set and a loader of PyTorch that make whole batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from .say import Text

Augmentation = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


@dataclass(eq=False)
class Batch(Sequence):
    """A whole batch that also is the sequence of its pairs, as any ``collate_fn`` expects them.

    Attributes:
        X: images, float32 (B, C, H, W).
        y: labels, int64 (B,).
    """

    X: torch.Tensor
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.X[index], self.y[index]

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return zip(self.X.unbind(), self.y.unbind(), strict=True)


def whole_batch(batch: Sequence) -> tuple[torch.Tensor, torch.Tensor]:
    """The fast ``collate_fn``: takes a ``Batch`` as it is, and collates anything else as usual."""
    return (batch.X, batch.y) if isinstance(batch, Batch) else default_collate(batch)


def _cpu_is_default() -> bool:
    return torch.get_default_device().type == "cpu"


class PortableGenerator(torch.Generator):
    """A generator on the CPU that can go to a worker process, however that was started.

    PyTorch's own cannot: pickled for another process, its state is a tensor in shared memory that
    is gone on arrival; older versions cannot pickle it at all.
    """

    def __reduce__(self) -> tuple:
        return _restore_generator, (self.get_state().numpy(),)


def _restore_generator(state: np.ndarray) -> PortableGenerator:
    generator = PortableGenerator()
    generator.set_state(torch.from_numpy(state.copy()))
    return generator


class ImageDataset(Dataset):
    """Labelled images, kept as uint8 and normalised batch by batch.

    Any ``DataLoader`` takes it, a ``Subset`` of it too, and hands whole batches of indices to
    ``__getitems__``; with ``collate_fn=whole_batch`` nothing is left to collate, which is fastest.
    In worker processes every worker augments with a generator of its own.

    Args:
        images: uint8 tensor (N, C, H, W), on any device; batches are made there.
        labels: int64 tensor (N,), on the same device.
        mean: one number for all channels or C of them, in units of [0, 1] pixels.
        std: likewise, above 0.
        augment: functions ``f(images, generator) -> images`` on uint8 batches, applied in order
            before normalisation.
        seed: of the generator that the augmentations draw from.

    Attributes:
        mean, std: float32 tensors (C,), on the device of the images.
        generator: on the CPU; a ``DataLoader`` may draw from it as well.

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
        >>> batch = dataset.__getitems__([4, 0])
        >>> batch.X.shape, batch.y.tolist()
        (torch.Size([2, 1, 2, 2]), [4, 0])
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        mean: float | Sequence[float] | torch.Tensor,
        std: float | Sequence[float] | torch.Tensor,
        augment: tuple[Augmentation, ...] = (),
        seed: int = 0,
    ):
        if images.dtype != torch.uint8 or labels.dtype != torch.int64:
            given = f"{images.dtype}, {labels.dtype}"
            raise TypeError(
                Text(
                    zh=f"图像应为 uint8，标签应为 int64，而不是 {given}。",
                    en=f"images must be uint8 and labels int64, not {given}.",
                )
            )
        if images.ndim != 4 or labels.shape != images.shape[:1]:
            given = f"{tuple(images.shape)}, {tuple(labels.shape)}"
            raise ValueError(
                Text(
                    zh=f"图像的形状应为 (N, C, H, W)，标签应为 (N,)，而不是 {given}。",
                    en=f"images must have the shape (N, C, H, W) and labels (N,), not {given}.",
                )
            )
        if not isinstance(augment, tuple | list) or not all(map(callable, augment)):
            raise TypeError(
                Text(
                    zh=f"augment 应为函数的元组，而不是 {augment!r}；"
                    "只有一个函数时写 augment=(random_flip,)。",
                    en=f"augment must be a tuple of functions, not {augment!r}; "
                    "for a single one write augment=(random_flip,).",
                )
            )
        self.images, self.labels = images, labels
        mean = _per_channel("mean", mean, images.shape[1])
        std = _per_channel("std", std, images.shape[1])
        if not (std > 0).all():
            given = std.tolist()
            raise ValueError(
                Text(
                    zh=f"每个通道的 std 都必须大于 0，而不是 {given}；"
                    "图像只有一种灰度时，请自己给定，例如 std=1。",
                    en=f"std must be above 0 in every channel, not {given}; "
                    "images of a single shade need a std of your choice, such as std=1.",
                )
            )
        self.augment = tuple(augment)
        self.generator = PortableGenerator().manual_seed(seed)
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
            raise IndexError(
                Text(
                    zh=f"只有 {len(self)} 张图像，没有第 {index} 张。",
                    en=f"index {index} is out of range for {len(self)} images.",
                )
            )
        return self.__getitems__([index % len(self)])[0]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The images and labels of a mini-batch, normalised."""
        chosen = torch.as_tensor(indices, dtype=torch.int64, device=self.images.device)
        images = self.images.index_select(0, chosen)
        if self.augment:
            images = self._augmented(images)
        X = images.to(torch.float32, memory_format=torch.contiguous_format)
        return Batch(X.mul_(self._scale).add_(self._shift), self.labels.index_select(0, chosen))

    def _augmented(self, images: torch.Tensor) -> torch.Tensor:
        self._seed_worker()
        for change in self.augment:
            size = len(images)
            # The generator is on the CPU, so draws have to be there as well.
            with nullcontext() if _cpu_is_default() else torch.device("cpu"):
                images = change(images, self.generator)
            if images.dtype != torch.uint8 or len(images) != size:
                name = getattr(change, "__name__", change)
                given = f"{images.dtype} {tuple(images.shape)}"
                raise TypeError(
                    Text(
                        zh=f"{name} 应返回 {size} 张 uint8 图像 (N, C, H, W)，而不是 {given}。",
                        en=f"{name} must return {size} uint8 images (N, C, H, W), not {given}.",
                    )
                )
        return images

    def _seed_worker(self) -> None:
        """In a worker process, leave the generator state that all workers got a copy of."""
        worker = get_worker_info()
        if worker is not None and self._worker_seed != worker.seed:
            self._worker_seed = worker.seed
            self.generator.manual_seed(worker.seed)


class ImageLoader(DataLoader):
    """A ``DataLoader`` of whole batches, in an order drawn on the CPU whatever the default device.

    Every loader has a generator: PyTorch would otherwise draw from the global one on every pass,
    and evaluating a network would change its further training.
    """

    def __init__(self, dataset: ImageDataset, batch_size: int, shuffle: bool):
        super().__init__(
            dataset,
            batch_size,
            shuffle=shuffle,
            collate_fn=whole_batch,
            generator=dataset.generator,
        )

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return super().__iter__() if _cpu_is_default() else self._made_on_cpu()

    def _made_on_cpu(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        with torch.device("cpu"):
            batches = super().__iter__()
        while True:
            with torch.device("cpu"):  # not around the yield: the caller has another default
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def mean_and_std(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of every channel, in units of [0, 1] pixels.

    From the histogram of the 256 shades: exact, and much faster than turning all pixels into
    floats.
    """
    shades = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    histograms = [
        torch.bincount(images[:, channel].flatten(), minlength=256)
        for channel in range(images.shape[1])
    ]
    share = torch.stack(histograms).double()
    share /= share.sum(dim=1, keepdim=True)
    mean = share @ shades
    variance = (share * (shades - mean[:, None]) ** 2).sum(dim=1)
    return mean, variance.sqrt()


def _per_channel(
    name: str, value: float | Sequence[float] | torch.Tensor, channels: int
) -> torch.Tensor:
    """A number or a sequence of them as a float32 tensor (channels,) on the CPU."""
    value = torch.as_tensor(value, dtype=torch.float32, device="cpu")
    given = value.tolist()
    if value.ndim > 1 or value.numel() not in (1, channels):
        raise ValueError(
            Text(
                zh=f"{name} 应为一个数，或 {channels} 个通道各给一个数，而不是 {given}。",
                en=f"{name} must be one number or one for each of {channels} channel(s), "
                f"not {given}.",
            )
        )
    if not value.isfinite().all():
        raise ValueError(
            Text(
                zh=f"{name} 必须是有限的数，而不是 {given}。",
                en=f"{name} must be finite, not {given}.",
            )
        )
    return value.expand(channels).clone()
