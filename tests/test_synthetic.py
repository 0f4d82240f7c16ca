"""The stand-ins: the same bytes everywhere, and a task that only a convolutional net does well."""

import hashlib
import time

import numpy as np
import pytest
import torch
from torch import nn

from d2lhelpers.synthetic import (
    SHAPES,
    _digit_templates,
    _shape_templates,
    make_cifar10,
    make_mnist,
)

MAKERS = [make_mnist, make_cifar10]


@pytest.fixture(scope="module")
def full():
    """Both sets at their full size, and the seconds of processor time that each took."""
    sets = {}
    for make in MAKERS:
        start = time.process_time()
        sets[make] = make(), time.process_time() - start
    return sets


@pytest.mark.parametrize(
    ("make", "train", "shape"),
    [(make_mnist, 60_000, (1, 28, 28)), (make_cifar10, 50_000, (3, 32, 32))],
)
def test_full_size_shapes_types_and_time(full, make, train, shape):
    arrays, seconds = full[make]
    assert arrays.train_images.shape == (train, *shape)
    assert arrays.test_images.shape == (10_000, *shape)
    assert arrays.train_labels.shape == (train,)
    assert arrays.test_labels.shape == (10_000,)
    assert arrays.train_images.dtype == arrays.test_images.dtype == np.uint8
    assert arrays.train_labels.dtype == arrays.test_labels.dtype == np.int64
    assert seconds < 15  # about 1 s on a quiet core


def test_classes_name_what_is_drawn():
    assert make_mnist(train_size=1, test_size=1).classes == tuple("0123456789")
    assert make_cifar10(train_size=1, test_size=1).classes == SHAPES
    assert len(set(SHAPES)) == 10


@pytest.mark.parametrize(
    ("make", "digest"),
    [
        (make_mnist, "684f7f91b9fdc4be47b31a817391d6c445b0e9980d8ec1cc580437265e3074a1"),
        (make_cifar10, "a94e833a81696ab53892ba79b2d6a81cf9a9aa24911563537125bc67d85a4dfa"),
    ],
)
def test_bytes_are_the_same_on_every_machine(make, digest):
    arrays = make(seed=0, train_size=1200, test_size=300)
    sha = hashlib.sha256()
    for array in arrays[:4]:
        # Little-endian, whatever the machine's own order.
        sha.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    assert sha.hexdigest() == digest


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("train", "test"), [(1, 1), (499, 500), (501, 1200)])
def test_smaller_set_is_the_beginning_of_the_full_one(full, make, train, test):
    whole, _ = full[make]
    part = make(train_size=train, test_size=test)
    assert np.array_equal(part.train_images, whole.train_images[:train])
    assert np.array_equal(part.train_labels, whole.train_labels[:train])
    assert np.array_equal(part.test_images, whole.test_images[:test])
    assert np.array_equal(part.test_labels, whole.test_labels[:test])


@pytest.mark.parametrize("make", MAKERS)
def test_smaller_set_takes_less_time(full, make):
    start = time.process_time()
    make(train_size=2000, test_size=1000)
    assert time.process_time() - start < full[make][1] / 3  # a twentieth of the images


@pytest.mark.parametrize("make", MAKERS)
def test_classes_are_balanced_and_shuffled(full, make):
    arrays, _ = full[make]
    for labels in (arrays.train_labels, arrays.test_labels):
        counts = np.bincount(labels, minlength=10)
        expected = len(labels) / 10
        assert len(counts) == 10
        assert abs(counts - expected).max() < 4.5 * np.sqrt(expected)
        # Shuffled: a label says nothing about the next one.
        assert np.mean(labels[1:] == labels[:-1]) == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize("make", MAKERS)
def test_no_image_occurs_twice(full, make):
    arrays, _ = full[make]
    images = np.concatenate([arrays.train_images, arrays.test_images])
    assert len({hash(image.tobytes()) for image in images}) == len(images)


@pytest.mark.parametrize("make", MAKERS)
def test_seeds_differ_and_repeat(make):
    first, again, other = (make(seed=s, train_size=50, test_size=50) for s in (1, 1, 2))
    assert np.array_equal(first.train_images, again.train_images)
    assert np.array_equal(first.test_labels, again.test_labels)
    assert not np.array_equal(first.train_labels, other.train_labels)
    assert not np.array_equal(first.test_images, other.test_images)
    assert not np.array_equal(first.train_labels, first.test_labels)


def test_colour_does_not_tell_the_shape(full):
    arrays, _ = full[make_cifar10]
    colour = arrays.train_images.mean((2, 3))
    means = np.array([colour[arrays.train_labels == k].mean(0) for k in range(10)])
    assert np.ptp(means, axis=0).max() < 0.1 * colour.std(0).min()


def test_templates_are_clear_of_the_border():
    digits, shapes = _digit_templates(), _shape_templates()
    for edge in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        assert digits[edge].min() > 30  # the thickest stroke, in 1/4 pixel
        assert shapes[edge].max() == 0


def test_shapes_are_mirror_images_of_themselves():
    templates = _shape_templates()
    assert np.array_equal(templates, templates[:, :, ::-1])
    assert templates.max(axis=(1, 2)).tolist() == [126] * 10


@pytest.mark.parametrize("make", MAKERS)
def test_wrong_arguments_are_refused(make):
    with pytest.raises(ValueError, match="train_size is 0; choose a number from 1 to"):
        make(train_size=0)
    with pytest.raises(ValueError, match="test_size is 10001; choose a number from 1 to 10000"):
        make(test_size=10_001)
    with pytest.raises(ValueError, match="seed is -1"):
        make(seed=-1, train_size=1, test_size=1)
    with pytest.raises(TypeError, match=r"train_size must be an integer, not 2\.5"):
        make(train_size=2.5)
    with pytest.raises(TypeError, match="seed must be an integer, not None"):
        make(seed=None, train_size=1, test_size=1)


# What the sets are for: a linear model does badly, LeNet well -------------------------------


@pytest.fixture
def one_thread():
    """So small a net gains little from a second thread, and loses much where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def linear(pixels: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 10))


def relu_lenet(channels: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def fit(net: nn.Module, arrays, *, epochs: int, lr: float, momentum: float) -> float:
    """Train by SGD in batches of 100 on standardised pixels; accuracy on the test images."""
    mean, std = float(arrays.train_images.mean()), float(arrays.train_images.std())

    def logits(images):
        return net((images.to(memory_format=torch.channels_last).float() - mean) / std)

    images, labels = (torch.from_numpy(a) for a in arrays[:2])
    optimiser = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    order = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=order).split(100):
            loss = nn.functional.cross_entropy(logits(images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        guess = logits(torch.from_numpy(arrays.test_images)).argmax(1)
    return (guess == torch.from_numpy(arrays.test_labels)).double().mean().item()


def test_lenet_reads_the_digits_and_a_linear_model_does_not(one_thread):
    arrays = make_mnist(train_size=10_000, test_size=2000)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        by_line = fit(linear(784), arrays, epochs=10, lr=0.02, momentum=0.0)
        by_lenet = fit(relu_lenet(1, 2), arrays, epochs=2, lr=0.03, momentum=0.9)
    assert by_lenet > 0.95
    assert 0.5 < by_line < by_lenet - 0.15


def test_lenet_recognises_the_shapes_and_a_linear_model_does_not(one_thread):
    arrays = make_cifar10(train_size=20_000, test_size=2000)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        by_line = fit(linear(3072), arrays, epochs=2, lr=0.0005, momentum=0.0)
        by_lenet = fit(relu_lenet(3, 0), arrays, epochs=4, lr=0.02, momentum=0.9)
    assert by_lenet > 0.95
    assert by_line < by_lenet - 0.5
