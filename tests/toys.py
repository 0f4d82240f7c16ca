"""Small data and nets for tests of training."""

import types

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from d2lhelpers.history import CURVES


def toy_data(samples=10, batch_size=4, **loaders):
    """Random 1×4×4 images of 3 classes; the last batch is smaller."""
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(samples, 1, 4, 4, generator=generator)
    y = torch.randint(0, 3, (samples,), generator=generator)
    dataset = TensorDataset(X, y)
    train = DataLoader(dataset, batch_size, shuffle=True, generator=torch.Generator())
    parts = {"train": train, "test": DataLoader(dataset, batch_size), "mean": 0, "std": 5}
    return types.SimpleNamespace(**parts | loaders)


def toy_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def weights(net):
    """A copy of all parameters and buffers on the CPU; training moves a net to the GPU."""
    return {name: value.to("cpu", copy=True) for name, value in net.state_dict().items()}


def has_weights(net, expected):
    """Whether a net's parameters and buffers are those, wherever it is now."""
    now = weights(net)
    return now.keys() == expected.keys() and all(map(torch.equal, now.values(), expected.values()))


def numbers(history):
    """The curves without the clock."""
    return {curve: getattr(history, curve) for curve in CURVES if curve != "seconds"}
