"""Data augmentation on whole batches of uint8 images.

Every image of a batch gets its own draw. The draws come from a generator on the CPU, so a seed
gives the same result whichever device holds the images. Not so in ``torchvision.transforms.v2``,
where a whole batch shares one draw, from the global random state.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .say import Text


def random_flip(images: Tensor, generator: torch.Generator, p: float = 0.5) -> Tensor:
    """Mirror each image left to right with probability p.

    Args:
        images: uint8, shape (N, C, H, W), on any device.
        generator: source of the draws, on the CPU.
        p: probability in [0, 1], for each image on its own.

    Returns:
        A new tensor of the same shape, type and device.

    Raises:
        TypeError: the images are not a uint8 tensor, or there is no CPU generator.
        ValueError: the images do not have four dimensions, or p is outside [0, 1].

    Example:
        >>> images = torch.tensor([[[[1, 2, 3]]]], dtype=torch.uint8)
        >>> random_flip(images, torch.Generator(), p=1.0).flatten().tolist()
        [3, 2, 1]
    """
    _check(images, generator)
    flipped = _choose(images, generator, p)
    return torch.where(flipped, images.flip(3), images)


def random_crop(images: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Shift each image by up to ``padding`` pixels along both axes, filling with zeros.

    This is a crop of the original size from the image inside a border of zeros, each of the
    (2 * padding + 1)**2 places being equally likely: the augmentation for CIFAR-10 in He et al.,
    "Deep Residual Learning for Image Recognition" (2015), section 4.2.

    Args:
        images: uint8, shape (N, C, H, W), on any device.
        generator: source of the draws, on the CPU.
        padding: width of the border in pixels, 0 or more.

    Returns:
        A new tensor of the same shape, type and device.

    Raises:
        TypeError: the images are not a uint8 tensor, or there is no CPU generator.
        ValueError: the images do not have four dimensions, or the padding is negative.

    Example:
        >>> images = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
        >>> random_crop(images, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 32, 32])
    """
    _check(images, generator)
    if padding < 0:
        raise ValueError(
            Text(
                zh=f"padding 是 {padding}；应是 0 或更多个像素。",
                en=f"padding is {padding}; give 0 or more pixels.",
            )
        )
    n, _, height, width = images.shape
    offsets = torch.randint(2 * padding + 1, (2, n), generator=generator).to(images.device)
    padded = F.pad(images, (padding,) * 4)
    # A view of every possible crop, (N, C, rows, columns, H, W): only the chosen one is copied.
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(n, device=images.device), :, offsets[0], offsets[1]]


def random_greyscale(images: Tensor, generator: torch.Generator, p: float = 0.1) -> Tensor:
    """Take the colour out of each image with probability p, leaving three equal channels.

    The grey value is the luma of ITU-R BT.601, 0.2989 R + 0.587 G + 0.114 B, rounded down; equal
    to ``torchvision.transforms.functional.rgb_to_grayscale``. Since those weights add up to 0.9999,
    white becomes 254.

    Args:
        images: uint8, shape (N, 3, H, W), in the order red, green, blue, on any device.
        generator: source of the draws, on the CPU.
        p: probability in [0, 1], for each image on its own.

    Returns:
        A new tensor of the same shape, type and device.

    Raises:
        TypeError: the images are not a uint8 tensor, or there is no CPU generator.
        ValueError: the images do not have shape (N, 3, H, W), or p is outside [0, 1].

    Example:
        >>> red = torch.tensor([255, 0, 0], dtype=torch.uint8).reshape(1, 3, 1, 1)
        >>> random_greyscale(red, torch.Generator(), p=1.0).flatten().tolist()
        [76, 76, 76]
    """
    _check(images, generator)
    if images.shape[1] != 3:
        channels = images.shape[1]
        raise ValueError(
            Text(
                zh=f"这些图像的通道数是 {channels}；变成灰度要 3 个（红、绿、蓝）。",
                en=f"These images have {channels} channel(s); greyscale needs 3 (red, green, "
                "blue).",
            )
        )
    chosen = _choose(images, generator, p)
    red, green, blue = images.split(1, dim=1)
    grey = (0.2989 * red + 0.587 * green + 0.114 * blue).to(torch.uint8)
    return torch.where(chosen, grey, images)


def _check(images: Tensor, generator: torch.Generator) -> None:
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        given = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(
            Text(
                zh=f"images 应是 uint8 张量，得到的是 {given}；请先增强，再标准化。",
                en=f"images must be a uint8 tensor, not {given}; augment before normalising.",
            )
        )
    if images.ndim != 4:
        shape = tuple(images.shape)
        raise ValueError(
            Text(
                zh=f"images 的形状应是 (N, C, H, W)，得到的是 {shape}；只有一张时传 image[None]。",
                en=f"images must have shape (N, C, H, W), not {shape}; for a single image, pass "
                "image[None].",
            )
        )
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        raise TypeError(
            Text(
                zh=f"generator 应是 CPU 上的 torch.Generator，得到的是 {generator!r}。",
                en=f"generator must be a CPU torch.Generator, not {generator!r}.",
            )
        )


def _choose(images: Tensor, generator: torch.Generator, p: float) -> Tensor:
    """True for the images drawn with probability p; bool (N, 1, 1, 1) on the images' device."""
    if not 0 <= p <= 1:
        raise ValueError(
            Text(
                zh=f"p 是 {p}；概率在 0 和 1 之间。",
                en=f"p is {p}; a probability lies between 0 and 1.",
            )
        )
    chosen = torch.rand(len(images), generator=generator) < p
    return chosen.to(images.device)[:, None, None, None]
