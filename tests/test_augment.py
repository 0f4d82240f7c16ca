"""Augmentation: per image the same as torchvision, over a batch one draw per image."""

import pytest
import torch
import torchvision.transforms.functional as TF
from hypothesis import given
from hypothesis import strategies as st

from d2lhelpers.augment import random_crop, random_flip, random_greyscale

AUGMENTATIONS = [random_flip, random_crop, random_greyscale]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(n: int, height: int = 32, width: int = 32, seed: int = 1) -> torch.Tensor:
    shape = (n, 3, height, width)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator(seed))


@st.composite
def batches(draw):
    n, height, width = (draw(st.integers(1, 7)) for _ in range(3))
    images = random_images(n, height, width, seed=draw(st.integers(0, 1000)))
    if draw(st.booleans()):
        images = images.to(memory_format=torch.channels_last)
    return images


@given(batches(), st.integers(0, 2**32), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_flip_equals_torchvision_image_by_image(images, seed, p):
    flipped = torch.rand(len(images), generator=generator(seed)) < p
    expected = [TF.hflip(x) if yes else x for x, yes in zip(images, flipped, strict=True)]
    assert torch.equal(random_flip(images, generator(seed), p), torch.stack(expected))


@given(batches(), st.integers(0, 2**32), st.integers(0, 5))
def test_crop_equals_torchvision_image_by_image(images, seed, padding):
    n, _, height, width = images.shape
    tops, lefts = torch.randint(2 * padding + 1, (2, n), generator=generator(seed)).tolist()
    expected = [
        TF.crop(TF.pad(x, padding), top, left, height, width)
        for x, top, left in zip(images, tops, lefts, strict=True)
    ]
    assert torch.equal(random_crop(images, generator(seed), padding), torch.stack(expected))


@given(batches(), st.integers(0, 2**32), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_greyscale_equals_torchvision_image_by_image(images, seed, p):
    grey = torch.rand(len(images), generator=generator(seed)) < p
    expected = [
        TF.rgb_to_grayscale(x, num_output_channels=3) if yes else x
        for x, yes in zip(images, grey, strict=True)
    ]
    assert torch.equal(random_greyscale(images, generator(seed), p), torch.stack(expected))


def test_greyscale_equals_torchvision_for_two_million_colours():
    level = torch.arange(0, 256, 2, dtype=torch.uint8)
    colours = torch.cartesian_prod(level, level, level).T.reshape(1, 3, 1024, 2048)
    grey = random_greyscale(colours, generator(), p=1.0)
    assert torch.equal(grey, TF.rgb_to_grayscale(colours, num_output_channels=3))


def test_greyscale_weights_by_hand():
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]])
    images = colours.to(torch.uint8).reshape(4, 3, 1, 1)
    grey = random_greyscale(images, generator(), p=1.0)
    assert grey.flatten(1).tolist() == [[76] * 3, [149] * 3, [29] * 3, [18] * 3]


# One draw per image: a batch of equal images must not stay equal, and the shares must be right.


def test_flip_is_drawn_per_image():
    images = random_images(1).repeat(4000, 1, 1, 1)
    flipped = (random_flip(images, generator()) != images).flatten(1).any(1)
    assert flipped.double().mean() == pytest.approx(0.5, abs=0.03)


def test_greyscale_is_drawn_per_image():
    images = random_images(1).repeat(4000, 1, 1, 1)
    grey = (random_greyscale(images, generator()) != images).flatten(1).any(1)
    assert grey.double().mean() == pytest.approx(0.1, abs=0.02)


def test_crop_is_drawn_per_image_and_reaches_every_place_equally():
    images = torch.zeros(8100, 1, 32, 32, dtype=torch.uint8)
    images[:, :, 16, 16] = 1
    row, column = random_crop(images, generator())[:, 0].nonzero().T[1:]
    places = torch.bincount(9 * (row - 12) + column - 12, minlength=81)
    assert len(places) == 81
    assert places.sum() == 8100
    # 100 expected a place, with a standard deviation of 10: chi squared has 80 +- 12.6.
    assert ((places - 100.0) ** 2 / 100).sum() == pytest.approx(80, abs=50)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_same_seed_same_result_and_the_generator_moves_on(augment):
    images, source = random_images(64), generator(3)
    first, second = augment(images, source), augment(images, source)
    assert torch.equal(first, augment(images, generator(3)))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_result_is_a_new_uint8_tensor_of_the_same_layout(augment, layout):
    images = random_images(64).contiguous(memory_format=layout)
    before = images.clone()
    result = augment(images, generator())
    assert result.dtype == torch.uint8
    assert result.shape == images.shape
    assert result.is_contiguous(memory_format=layout)
    assert result.data_ptr() != images.data_ptr()
    assert torch.equal(images, before)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_gives_the_result_of_the_cpu(augment, device):
    if not getattr(torch, device).is_available():
        pytest.skip(f"no {device} here")
    images = random_images(64)
    result = augment(images.to(device), generator())
    assert result.device.type == device
    assert torch.equal(result.cpu(), augment(images, generator()))


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_an_empty_batch_stays_empty(augment):
    assert augment(random_images(0), generator()).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_wrong_images_are_refused(augment):
    with pytest.raises(TypeError, match=r"uint8 tensor, not torch\.float32"):
        augment(torch.zeros(2, 3, 8, 8), generator())
    with pytest.raises(TypeError, match="uint8 tensor, not ndarray"):
        augment(random_images(2).numpy(), generator())
    with pytest.raises(ValueError, match=r"\(N, C, H, W\), not \(3, 32, 32\)"):
        augment(random_images(1)[0], generator())


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_wrong_generator_is_refused(augment):
    with pytest.raises(TypeError, match=r"CPU torch\.Generator, not 0"):
        augment(random_images(1), 0)


@pytest.mark.parametrize("augment", [random_flip, random_greyscale])
@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_impossible_probability_is_refused(augment, p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        augment(random_images(1), generator(), p)


def test_negative_padding_is_refused():
    with pytest.raises(ValueError, match="padding is -1"):
        random_crop(random_images(1), generator(), padding=-1)


def test_greyscale_of_one_channel_is_refused():
    with pytest.raises(ValueError, match="1 channel"):
        random_greyscale(random_images(1)[:, :1], generator())
