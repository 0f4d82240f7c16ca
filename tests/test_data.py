"""`d2lhelpers.data`: what the loaders give."""

import copy
import pickle

import fixtures_http as tiny_data
import numpy as np
import pytest
import torch
from fixtures_http import LOADERS, TEST_SIZE, TRAIN_SIZE, nchw, tiny
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    Subset,
    random_split,
)

from d2lhelpers.augment import random_crop, random_flip, random_greyscale
from d2lhelpers.data import load_cifar10, load_mnist
from d2lhelpers.dataset import ImageDataset, mean_and_std, whole_batch
from d2lhelpers.say import use_language

both = pytest.mark.parametrize("name", LOADERS)


# ------------------------------------------------------------------------------ the batches


@given(
    channels=st.sampled_from([1, 3]),
    size=st.integers(1, 6),
    mean=st.floats(-2, 2),
    std=st.floats(0.01, 3),
    data_=st.data(),
)
def test_batch_is_normalised_pixels(channels, size, mean, std, data_):
    pixels = np.random.RandomState(data_.draw(st.integers(0, 99))).randint(
        0, 256, (size, channels, 4, 5)
    )
    dataset = ImageDataset(
        torch.tensor(pixels, dtype=torch.uint8), torch.arange(size), mean=mean, std=std
    )
    indices = data_.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=8))
    batch = dataset.__getitems__(indices)
    X, y = whole_batch(batch)
    assert (X.dtype, y.dtype) == (torch.float32, torch.int64)
    assert X.shape == (len(indices), channels, 4, 5) and X.is_contiguous()
    assert y.tolist() == indices
    assert len(batch) == len(indices) and batch[0][1] == indices[0]
    for (image, label), X_i, y_i in zip(batch, X, y, strict=True):
        assert torch.equal(image, X_i) and torch.equal(label, y_i)
    expected = ((pixels[indices] / 255) - mean) / std
    np.testing.assert_allclose(X.numpy(), expected, rtol=1e-5, atol=2e-6 / std)
    X, y = dataset[-1]
    np.testing.assert_allclose(
        X.numpy(), (pixels[-1] / 255 - mean) / std, rtol=1e-5, atol=2e-6 / std
    )
    assert y.shape == () and y.item() == size - 1


@given(st.integers(0, 1000), st.sampled_from([1, 3]), st.integers(1, 5))
def test_computed_mean_and_std(seed, channels, size):
    pixels = np.random.RandomState(seed).randint(0, 256, (size, channels, 6, 7)).astype(np.uint8)
    mean, std = mean_and_std(torch.from_numpy(pixels))
    np.testing.assert_allclose(mean, (pixels / 255).mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(std, (pixels / 255).std(axis=(0, 2, 3)))


def test_dataset_ends_and_refuses():
    images, labels = torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.arange(3)
    dataset = ImageDataset(images, labels, 0, 1)
    assert [y.item() for _, y in dataset] == [0, 1, 2]
    with pytest.raises(IndexError, match="index 3 is out of range for 3 images"):
        dataset[3]
    with pytest.raises(TypeError, match=r"uint8.*torch\.float32"):
        ImageDataset(images.float(), labels, 0, 1)
    with pytest.raises(ValueError, match=r"\(3, 1, 2, 2\), \(2,\)"):
        ImageDataset(images, labels[:2], 0, 1)
    with pytest.raises(ValueError, match="std must be above 0"):
        ImageDataset(images, labels, 0, 0)
    with pytest.raises(ValueError, match=r"one for each of 1 channel.*\[0\.5, 0\.5\]"):
        ImageDataset(images, labels, [0.5, 0.5], 1)
    with pytest.raises(TypeError, match="augment="):
        ImageDataset(images, labels, 0, 1, augment=random_flip)

    def halve(images, generator):
        return images / 2

    with pytest.raises(TypeError, match=r"halve must return 2 uint8 images.*torch\.float32"):
        ImageDataset(images, labels, 0, 1, (halve,)).__getitems__([0, 1])


def _fill_with_a_draw(images, generator):
    return torch.full_like(images, torch.randint(256, (), generator=generator).item())


@pytest.mark.parametrize("shuffle", [False, True])
def test_loaders_of_a_learner_give_what_ours_give(small, shuffle):
    """With PyTorch's own `collate_fn`, of the data set, parts of it and several of it."""
    dataset = load_mnist(validation_size=10, source="synthetic").train.dataset
    expected = {label: dataset[label] for label in range(len(dataset))}
    halves = random_split(dataset, [20, 30], torch.Generator().manual_seed(3))
    tagged = ImageDataset(dataset.images, torch.arange(len(dataset)), dataset.mean, dataset.std)
    cases = {
        tagged: range(50),
        Subset(tagged, [4, 2, 9]): [4, 2, 9],
        Subset(Subset(tagged, range(10, 20)), [0, 5]): [10, 15],
        Subset(tagged, halves[0].indices): halves[0].indices,
        ConcatDataset([Subset(tagged, range(3)), Subset(tagged, range(40, 45))]): [
            *range(3),
            *range(40, 45),
        ],
    }
    for part, positions in cases.items():
        for arguments in ({}, {"collate_fn": whole_batch}):
            batches = list(DataLoader(part, 4, shuffle=shuffle, **arguments))
            y = torch.cat([y for _, y in batches])
            assert (sorted if shuffle else list)(y.tolist()) == (sorted if shuffle else list)(
                positions
            )
            assert y.dtype == torch.int64
            X = torch.cat([X for X, _ in batches])
            assert torch.equal(X, torch.stack([expected[i][0] for i in y.tolist()]))
    image, label = next(iter(DataLoader(tagged, batch_size=None)))
    assert image.shape == (1, 28, 28) and label.shape == ()


def _fill_with_a_draw(images, generator):
    return torch.full_like(images, torch.randint(256, (), generator=generator).item())


def test_workers_augment_differently_and_reproducibly():
    """However they are started: the last method is the default of Python 3.14."""
    images = torch.zeros(40, 1, 2, 2, dtype=torch.uint8)

    def epochs(number, method):
        dataset = ImageDataset(images, torch.arange(40), 0, 1, (_fill_with_a_draw,), seed=1)
        loader = DataLoader(
            Subset(dataset, range(40)),
            10,
            num_workers=2,
            collate_fn=whole_batch,
            generator=dataset.generator,
            multiprocessing_context=method,
        )
        return [batch for _ in range(number) for batch in loader]

    first, *others = torch.multiprocessing.get_all_start_methods()  # fork, spawn, forkserver
    batches = epochs(2, first)
    assert torch.cat([y for _, y in batches]).tolist() == 2 * list(range(40))
    shades = [X[0, 0, 0, 0].item() for X, _ in batches]
    assert len(set(shades)) == 8  # every batch of every worker and epoch is drawn anew
    for method in (first, *others):
        assert [X[0, 0, 0, 0].item() for X, _ in epochs(1, method)] == shades[:4]


def test_copies_draw_what_the_original_would(small):
    """Also a pickled copy; in a copy of everything, loader and data set still share a generator."""
    loader = load_mnist(source="synthetic", augment=(random_crop,)).train
    twins = pickle.loads(pickle.dumps(loader.dataset)), copy.deepcopy(loader).dataset
    assert copy.deepcopy(loader).generator is not loader.generator
    copied = copy.deepcopy(loader)
    assert copied.generator is copied.dataset.generator
    X = loader.dataset.__getitems__(range(9)).X
    for twin in twins:
        assert torch.equal(twin.__getitems__(range(9)).X, X)


@pytest.mark.parametrize("default", ["cpu", "meta"])
def test_default_device_changes_nothing(small, default):
    """ "meta" stands for any device that is not the CPU: nothing can be drawn or read there."""
    arguments = {
        "source": "synthetic",
        "validation_size": 10,
        "augment": (random_flip, random_crop, random_greyscale),
    }
    expected = load_cifar10(**arguments)
    seen = []
    with torch.device(default):
        loaded = load_cifar10(**arguments)
        for loader in (loaded.train, loaded.train, loaded.validation, loaded.test):
            for X, y in loader:
                assert torch.ones(1).device.type == default  # the caller's default is his own
                seen.append((X, y))
        image, _ = loaded.train.dataset[0]
        assert image.device.type == "cpu"
    loaders = (expected.train, expected.train, expected.validation, expected.test)
    again = [batch for loader in loaders for batch in loader]
    assert len(seen) == len(again)
    for (X, y), (X2, y2) in zip(seen, again, strict=True):
        assert torch.equal(X, X2) and torch.equal(y, y2)
    assert torch.equal(loaded.mean, expected.mean) and torch.equal(loaded.std, expected.std)


# ------------------------------------------------------------------------------ the loaders


@both
def test_loaders_are_genuine(name, small):
    loaded = LOADERS[name](16, validation_size=10, source="synthetic")
    for loader in (loaded.train, loaded.validation, loaded.test):
        assert isinstance(loader, DataLoader) and loader.num_workers == 0
    assert isinstance(loaded.train.sampler, RandomSampler)
    assert isinstance(loaded.test.sampler, SequentialSampler)
    assert isinstance(loaded.validation.sampler, SequentialSampler)
    assert [len(y) for _, y in loaded.train] == [16, 16, 16, 2]
    assert sum(len(y) for _, y in loaded.test) == TEST_SIZE
    X, y = next(iter(loaded.train))
    assert X.shape == ((16, 1, 28, 28) if name == "MNIST" else (16, 3, 32, 32))
    assert (X.dtype, y.dtype) == (torch.float32, torch.int64)
    assert loaded.name == name and len(loaded.classes) == 10
    assert repr(loaded) == (
        f"ImageData(synthetic stand-in for {name}: 50 train, 10 validation, 20 test; batches of 16)"
    )


def test_without_test(small):
    loaded = load_mnist(validation_size=10, source="synthetic")
    blind = loaded.without_test()
    assert blind.test is None and loaded.test is not None
    assert blind.train is loaded.train and blind.validation is loaded.validation
    assert (blind.source, blind.classes, blind.is_real) == (
        loaded.source,
        loaded.classes,
        loaded.is_real,
    )
    assert "test" not in repr(blind) and "10 validation" in repr(blind)


@both
def test_all_splits_share_one_normalisation(name, small):
    tiny_data.write_files(name, small)
    loaded = LOADERS[name](validation_size=20, root=small)
    used = loaded.train.dataset.images.double() / 255
    assert torch.allclose(loaded.mean.double(), used.mean((0, 2, 3)))
    assert torch.allclose(loaded.std.double(), used.std((0, 2, 3), correction=0))
    mean, std = loaded.mean.view(-1, 1, 1), loaded.std.view(-1, 1, 1)
    for loader in (loaded.train, loaded.validation, loaded.test):
        assert torch.equal(loader.dataset.mean, loaded.mean)
        assert torch.equal(loader.dataset.std, loaded.std)
    X, y = next(iter(loaded.test))
    parts = tiny(name)
    pixels = torch.tensor(nchw(parts["x_test"]))
    assert torch.allclose(X, (pixels / 255 - mean) / std, atol=1e-5)
    assert y.tolist() == parts["y_test"].tolist()
    X = torch.cat([X for X, _ in loaded.train])
    assert torch.allclose(X.mean((0, 2, 3)), torch.zeros(len(loaded.mean)), atol=1e-4)
    assert torch.allclose(X.std((0, 2, 3)), torch.ones(len(loaded.mean)), atol=1e-3)


def test_given_mean_and_std(small):
    plain = load_cifar10(source="synthetic", mean=0, std=1)
    X, _ = next(iter(plain.test))
    assert torch.equal((X * 255).round().to(torch.uint8), plain.test.dataset.images)
    assert X.min() >= 0 and X.max() <= 1
    given = load_cifar10(source="synthetic", mean=[0.1, 0.2, 0.3], std=0.5)
    assert given.mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert given.std.tolist() == [0.5] * 3
    with pytest.raises(ValueError, match="mean must be one number or one for each of 3"):
        load_cifar10(source="synthetic", mean=[0.1, 0.2])


def test_split_is_disjoint_and_the_same_for_every_seed(small):
    tiny_data.write_files("MNIST", small)
    every = {image.numpy().tobytes() for image in load_mnist(root=small).train.dataset.images}
    assert len(every) == TRAIN_SIZE

    def images(loader):
        return [image.numpy().tobytes() for image in loader.dataset.images]

    first = load_mnist(validation_size=20, root=small, seed=0)
    assert set(images(first.train)) | set(images(first.validation)) == every
    assert len(first.train.dataset) + len(first.validation.dataset) == TRAIN_SIZE
    again = load_mnist(validation_size=20, train_size=7, test_size=5, root=small, seed=3)
    assert images(again.validation) == images(first.validation)
    assert images(again.train) == images(first.train)[:7]
    assert set(images(again.test)) < set(images(first.test)) and len(images(again.test)) == 5
    # Labels travel with their images.
    parts = tiny("MNIST")
    label = {x.tobytes(): y for x, y in zip(parts["x_train"], parts["y_train"], strict=True)}
    for loader in (first.train, first.validation):
        assert [label[image] for image in images(loader)] == loader.dataset.labels.tolist()


def test_seed_decides_order_and_augmentation_and_nothing_else(small):
    def epochs(seed, augment=()):
        loader = load_mnist(16, source="synthetic", seed=seed, augment=augment).train
        return [torch.cat(parts) for _ in range(2) for parts in zip(*loader, strict=True)]

    torch.manual_seed(0)
    one, two = epochs(5), epochs(5)
    assert all(map(torch.equal, one, two))
    assert not torch.equal(one[1], one[3])  # another order in the second epoch
    assert sorted(one[1].tolist()) == sorted(one[3].tolist())
    assert not torch.equal(epochs(6)[1], one[1])
    changed = (random_flip, random_crop)
    assert all(map(torch.equal, epochs(5, changed), epochs(5, changed)))
    assert not torch.equal(epochs(5, changed)[0], epochs(5)[0])


def test_evaluation_is_not_augmented_and_leaves_the_global_generator_alone(small):
    def black(images, generator):
        return torch.zeros_like(images)

    loaded = load_mnist(validation_size=20, source="synthetic", augment=(black,), mean=0, std=1)
    before = torch.get_rng_state()
    for loader in (loaded.validation, loaded.test):
        once, twice = (torch.cat([X for X, _ in loader]) for _ in range(2))
        assert torch.equal((once * 255).round().to(torch.uint8), loader.dataset.images)
        assert torch.equal(once, twice)
    for X, _ in loaded.train:
        assert not X.any()
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded.train.generator is loaded.train.dataset.generator


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size is 0; it must be at least 1"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be an integer, not 2.5"),
        ({"batch_size": True}, TypeError, "batch_size must be an integer"),
        ({"validation_size": 60}, ValueError, "validation_size is 60; it must be from 0 to 59"),
        ({"validation_size": -1}, ValueError, "validation_size is -1"),
        (
            {"train_size": 51, "validation_size": 10},
            ValueError,
            "from 1 to 50.*60 training.*10 are",
        ),
        ({"train_size": 0}, ValueError, "train_size is 0"),
        ({"test_size": 21}, ValueError, "test_size is 21; it must be from 1 to 20"),
        ({"source": "web"}, ValueError, "source must be 'auto', 'real' or 'synthetic', not 'web'"),
        ({"seed": 1.5}, TypeError, "seed must be an integer, not 1.5"),
        ({"std": 0}, ValueError, "std must be above 0"),
        ({"mean": float("nan")}, ValueError, "mean must be finite"),
        ({"augment": random_flip}, TypeError, "tuple of functions"),
    ],
)
def test_refuses_wrong_arguments(small, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        load_mnist(**{"source": "synthetic", **arguments})
    chinese, english = str(caught.value).splitlines()
    assert not chinese.isascii() and english.isascii()
    use_language("en")
    try:
        assert str(caught.value) == english
    finally:
        use_language(None)


def test_sizes_and_seeds_may_be_numpy_integers(small):
    sizes = {"batch_size": np.int64(7), "train_size": np.int32(20), "seed": np.int64(3)}
    given = load_mnist(source="synthetic", **sizes)
    plain = load_mnist(source="synthetic", **{key: int(value) for key, value in sizes.items()})
    for (X, y), (X2, y2) in zip(given.train, plain.train, strict=True):
        assert torch.equal(X, X2) and torch.equal(y, y2)


def test_batches_are_made_on_the_device_of_the_images():
    images = torch.zeros(5, 3, 2, 2, dtype=torch.uint8, device="meta")
    dataset = ImageDataset(images, torch.arange(5, device="meta"), 0, 1)
    X, y = whole_batch(dataset.__getitems__([0, 3]))
    assert X.device.type == y.device.type == "meta" and X.shape == (2, 3, 2, 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_batches_equal_those_of_the_cpu(small):
    arguments = {"source": "synthetic", "validation_size": 10, "augment": (random_flip,)}
    here, there = load_cifar10(**arguments), load_cifar10(device="cuda", **arguments)
    assert torch.equal(here.mean, there.mean) and there.mean.device.type == "cpu"
    for split in ("train", "validation", "test"):
        for (X, y), (X_there, y_there) in zip(
            getattr(here, split), getattr(there, split), strict=True
        ):
            assert X_there.is_cuda and y_there.is_cuda
            assert torch.allclose(X, X_there.cpu(), atol=1e-6)
            assert torch.equal(y, y_there.cpu())
