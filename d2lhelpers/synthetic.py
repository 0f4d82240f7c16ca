"""Deterministic stand-ins for MNIST and CIFAR-10.

They serve where neither the disk nor the network has the real data: same shapes, same sizes,
same number of classes, and hard enough that a convolutional network beats a linear model.
The digits are drawn with strokes; the colour pictures show ten geometric shapes and say so in
their class names, because a red square is no airplane.

A seed gives the same bytes on every machine. Everything is integer arithmetic, and the random
numbers come from ``numpy.random.RandomState``, whose stream NumPy has frozen (NEP 19). Every
block of 500 images has a random stream of its own, so a smaller set is the beginning of a larger
one and costs proportionally less.
"""

import operator
from collections.abc import Callable
from itertools import pairwise
from math import isqrt
from typing import NamedTuple

import numpy as np

from .say import Text

DIGITS = tuple("0123456789")
SHAPES = (
    "disc",
    "ring",
    "square",
    "frame",
    "triangle",
    "diamond",
    "cross",
    "saltire",
    "stripes",
    "checks",
)

_BLOCK = 500  # images per random stream: small enough to stay in a core's cache
_SIDE = 64  # pixels along a side of a template

# Polylines on a grid 4 wide and 6 high: "13" is the point x=1, y=3, with y pointing down.
_STROKES = (
    "10 30 41 45 36 16 05 01 10",
    "02 20 26",
    "01 10 30 41 42 06 46",
    "01 10 30 41 42 33 44 45 36 16 05, 33 13",
    "36 30 04 44",
    "40 00 02 32 43 45 36 16 05",
    "41 30 10 01 05 16 36 45 44 33 13 04",
    "00 40 16",
    "13 02 01 10 30 41 42 33 13 04 05 16 36 45 44 33",
    "42 33 13 02 01 10 30 41 45 36 16 05",
)


class Arrays(NamedTuple):
    """A data set held in memory.

    Attributes:
        train_images: uint8, shape (N, C, H, W).
        train_labels: int64, shape (N,), values 0 to 9.
        test_images: uint8, shape (M, C, H, W).
        test_labels: int64, shape (M,).
        classes: the ten class names, in the order of the labels.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]


def make_mnist(seed: int = 0, train_size: int = 60_000, test_size: int = 10_000) -> Arrays:
    """Draw digits of random position, size, slant, thickness and brightness on a noisy ground.

    Args:
        seed: 0 to 2**32 - 1; each gives another data set.
        train_size: 1 to 60,000. Fewer images are the first ones of the full set.
        test_size: 1 to 10,000, likewise.

    Returns:
        ``Arrays`` with images of shape (N, 1, 28, 28) and the classes "0" to "9".

    Raises:
        TypeError: a size or the seed is not an integer.
        ValueError: a size or the seed is out of range.

    Example:
        >>> digits = make_mnist(train_size=100, test_size=10)
        >>> digits.train_images.shape, digits.train_images.dtype
        ((100, 1, 28, 28), dtype('uint8'))
        >>> digits.classes[3]
        '3'
    """
    _check_range("train_size", train_size, 1, 60_000)
    _check_range("test_size", test_size, 1, 10_000)
    templates = _digit_templates()
    return Arrays(
        *_draw_set(_draw_digits, templates, (seed, 0), train_size),
        *_draw_set(_draw_digits, templates, (seed, 1), test_size),
        DIGITS,
    )


def make_cifar10(seed: int = 0, train_size: int = 50_000, test_size: int = 10_000) -> Arrays:
    """Draw shapes of random position, size, tilt and colour on a ground of another random colour.

    Both colours are drawn in the same way for all classes, so that colour does not tell the
    class. Every shape is its own mirror image: flipping a picture does not change its class.

    Args:
        seed: 0 to 2**32 - 1; each gives another data set.
        train_size: 1 to 50,000. Fewer images are the first ones of the full set.
        test_size: 1 to 10,000, likewise.

    Returns:
        ``Arrays`` with images of shape (N, 3, 32, 32) and the classes in ``SHAPES``.

    Raises:
        TypeError: a size or the seed is not an integer.
        ValueError: a size or the seed is out of range.

    Example:
        >>> shapes = make_cifar10(train_size=100, test_size=10)
        >>> shapes.test_images.shape, shapes.test_labels.dtype
        ((10, 3, 32, 32), dtype('int64'))
        >>> shapes.classes[:3]
        ('disc', 'ring', 'square')
    """
    _check_range("train_size", train_size, 1, 50_000)
    _check_range("test_size", test_size, 1, 10_000)
    templates = _shape_templates()
    return Arrays(
        *_draw_set(_draw_shapes, templates, (seed, 2), train_size),
        *_draw_set(_draw_shapes, templates, (seed, 3), test_size),
        SHAPES,
    )


def _check_range(name: str, value: int, low: int, high: int) -> None:
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(
            Text(
                zh=f"{name} 必须是整数，而不是 {value!r}。",
                en=f"{name} must be an integer, not {value!r}.",
            )
        ) from None
    if not low <= value <= high:
        raise ValueError(
            Text(
                zh=f"{name} 是 {value}；请给 {low} 到 {high} 之间的数。",
                en=f"{name} is {value}; choose a number from {low} to {high}.",
            )
        )


def _draw_set(
    draw: Callable, templates: np.ndarray, key: tuple[int, int], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one split, block by block; ``key`` names its random streams."""
    _check_range("seed", key[0], 0, 2**32 - 1)
    images, labels = [], []
    for block in range(-(-size // _BLOCK)):
        random = np.random.RandomState([*key, block])
        y = _integers(random, 0, 10, (_BLOCK,))
        images.append(draw(random, templates, y))
        labels.append(y)
    return np.concatenate(images)[:size], np.concatenate(labels)[:size].astype(np.int64)


def _integers(random: np.random.RandomState, low: int, high: int, shape: tuple) -> np.ndarray:
    """Uniform draws from low to high - 1; int32, as the default type depends on the platform."""
    return random.randint(low, high, shape, dtype=np.int32)


def _noise(random: np.random.RandomState, shape: tuple) -> np.ndarray:
    """Independent uniform bytes, uint8."""
    return np.frombuffer(random.bytes(int(np.prod(shape))), np.uint8).reshape(shape)


# Digits -------------------------------------------------------------------------------------


def _digit_templates() -> np.ndarray:
    """Distance of every template pixel to the digit's strokes, in 1/4 pixel; (10, 64, 64) int32."""
    root = np.array([isqrt(16 * d) for d in range(2 * _SIDE**2)], np.int32)
    row, column = np.indices((_SIDE, _SIDE))
    templates = []
    for strokes in _STROKES:
        squared = np.full((_SIDE, _SIDE), 2 * _SIDE**2 - 1)
        for stroke in strokes.split(","):
            # Units of 7 pixels: 28 by 42 in the middle, clear of the border by a thick stroke.
            points = [(18 + 7 * int(p[0]), 11 + 7 * int(p[1])) for p in stroke.split()]
            for (x0, y0), (x1, y1) in pairwise(points):
                steps = max(abs(x1 - x0), abs(y1 - y0))
                for t in range(steps + 1):
                    x, y = x0 + (x1 - x0) * t // steps, y0 + (y1 - y0) * t // steps
                    squared = np.minimum(squared, (column - x) ** 2 + (row - y) ** 2)
        templates.append(root[squared])
    return np.stack(templates)


def _draw_digits(
    random: np.random.RandomState, templates: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """One block of digits, uint8 (N, 1, 28, 28)."""
    one = (len(labels), 1, 1)
    # Thick, bright strokes: with thin ones a sigmoid LeNet may stay at ln 10 for 13 epochs.
    distance = _place(random, templates, labels, side=28, sizes=(25, 33), shift=5, shear=80)
    radius = _integers(random, 18, 31, one)
    brightness = _integers(random, 160, 256, one)
    ink = np.clip((radius - distance) * 24, 0, 255) * brightness >> 8
    noise = _noise(random, ink.shape) >> 3
    return np.minimum(ink + noise, 255).astype(np.uint8)[:, None]


# Shapes -------------------------------------------------------------------------------------


def _shape_templates() -> np.ndarray:
    """Share of every template pixel that the shape covers, in 1/126; (10, 64, 64) int32."""
    row, column = np.indices((_SIDE, _SIDE))
    x, y = 2 * column - _SIDE + 1, 2 * row - _SIDE + 1  # half pixels from the middle
    squared, box = x**2 + y**2, np.maximum(abs(x), abs(y))
    masks = [
        squared < 46**2,  # disc
        (squared < 48**2) & (squared > 28**2),  # ring
        box < 41,  # square
        (box < 44) & (box > 26),  # frame
        (abs(y) < 44) & (2 * abs(x) < y + 44),  # triangle
        abs(x) + abs(y) < 56,  # diamond
        (box < 48) & (np.minimum(abs(x), abs(y)) < 13),  # cross
        (box < 44) & (abs(abs(x) - abs(y)) < 18),  # saltire
        (box < 48) & ((y + 48) // 16 % 2 == 0),  # stripes
        (box < 50) & (((x + 50) // 20 + (y + 50) // 20) % 2 == 0),  # checks
    ]
    # Averaging 3 by 3 pixels softens the edges; the border is empty, so rolling is harmless.
    covered, steps = np.array(masks, np.int32), (-1, 0, 1)
    sums = sum(np.roll(covered, (dy, dx), axis=(1, 2)) for dy in steps for dx in steps)
    return sums * 14


def _draw_shapes(
    random: np.random.RandomState, templates: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """One block of shapes, uint8 (N, 3, 32, 32)."""
    colour = (len(labels), 3, 1, 1)
    cover = _place(random, templates, labels, side=32, sizes=(22, 40), shift=6, shear=100)
    ground = _integers(random, 0, 192, colour)
    # A step of 24 to 168 round a circle of 192 levels: every channel differs by 24 or more.
    shape = (ground + _integers(random, 24, 169, colour)) % 192
    picture = (shape - ground).astype(np.int16) * cover.astype(np.int16)[:, None] >> 7
    picture += ground.astype(np.int16)
    picture += _noise(random, picture.shape) >> 2
    return picture.astype(np.uint8)


# Both ---------------------------------------------------------------------------------------


def _place(
    random: np.random.RandomState,
    templates: np.ndarray,
    labels: np.ndarray,
    *,
    side: int,
    sizes: tuple[int, int],
    shift: int,
    shear: int,
) -> np.ndarray:
    """Look up each label's template under a random affine map.

    Args:
        random: source of the draws.
        templates: int32 (10, 64, 64); its border is what lies outside.
        labels: int32 (N,).
        side: height and width of the result in pixels.
        sizes: smallest and largest side of the whole template in the result, in pixels.
        shift: largest displacement from the middle in pixels, along each axis.
        shear: largest slant, 256 being 45 degrees; half of it the other way round.

    Returns:
        int32 (N, side, side).
    """
    one = (len(labels), 1)
    # Fixed point: positions in 1/2 pixel, everything else in 1/256.
    scale = _SIDE * 256 * 2 // _integers(random, 4 * sizes[0], 4 * sizes[1] + 1, one)
    x0, y0 = (_integers(random, -2 * shift, 2 * shift + 1, one) for _ in range(2))
    slant = _integers(random, -shear, shear + 1, one) * scale >> 8
    tilt = _integers(random, -shear // 2, shear // 2 + 1, one) * scale >> 8
    middle = np.arange(side, dtype=np.int32) * 2 - side + 1
    x, y = middle - x0, middle - y0
    u = (x * scale)[:, None, :] + (y * slant)[:, :, None]
    v = (x * tilt)[:, None, :] + (y * scale)[:, :, None]
    column = np.clip((u >> 8) + _SIDE // 2, 0, _SIDE - 1)
    row = np.clip((v >> 8) + _SIDE // 2, 0, _SIDE - 1)
    return templates.take((labels[:, None, None] * _SIDE + row) * _SIDE + column)
