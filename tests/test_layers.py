"""Sizes of signals and gradients, against what follows from the definition."""

import pytest
import torch
from torch import nn

import d2lhelpers as d2l


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10)
    )


X = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
y = torch.arange(5)


def test_signals_are_root_mean_squares(net):
    signals = d2l.layer_signals(net, X)
    expected = [net[0](X), net(X)]
    assert list(signals) == ["0", "4"]
    assert list(signals.values()) == pytest.approx(
        [output.square().mean().sqrt().item() for output in expected]
    )


def test_gradients_are_those_of_backward(net):
    norms = d2l.layer_gradients(net, X, y)
    assert all(p.grad is None for p in net.parameters())
    nn.functional.cross_entropy(net(X), y).backward()
    expected = {"0": net[0].weight.grad.norm().item(), "4": net[4].weight.grad.norm().item()}
    assert norms == pytest.approx(expected)


def test_frozen_layers_have_no_gradient(net):
    whole = d2l.layer_gradients(net, X, y)
    net[0].weight.requires_grad_(False)
    assert d2l.layer_gradients(net, X, y) == {"4": pytest.approx(whole["4"])}


def test_gradients_that_wait_stay(net):
    nn.functional.cross_entropy(net(X), y).backward()
    before = [p.grad.clone() for p in net.parameters()]
    d2l.layer_gradients(net, 2 * X, y)
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), before, strict=True))


def test_the_mode_stays_and_counts(net):
    training = d2l.layer_signals(net, X)
    net.eval()
    assert d2l.layer_signals(net, X)["4"] != training["4"]  # other statistics
    assert not net.training
    assert not any(module._forward_hooks for module in net.modules())


def test_no_hook_stays_after_an_error(net):
    with pytest.raises(RuntimeError):
        d2l.layer_signals(net, X[:, :, :4])
    assert not any(module._forward_hooks for module in net.modules())
