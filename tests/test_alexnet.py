"""Chapter 2's networks (cells tagged ``model``) against their sources."""

import types

import pytest
import torch
import torchvision
from chapters import load_models, take_weights
from torch import nn

import d2lhelpers as d2l
from d2lhelpers import recipe


@pytest.fixture(scope="module")
def alexnet_chapter():
    return load_models("02_alexnet")


def learned_layers(net):
    return [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def test_two_towers_parameters(alexnet_chapter):
    """Krizhevsky et al., 2012, section 3.5 gives the sizes, the abstract 60 million in all."""
    with torch.device("meta"):
        net = alexnet_chapter["alexnet_two_towers"]()
    by_layer = [d2l.count_parameters(layer) for layer in learned_layers(net)]
    convolutions = [34_944, 307_456, 885_120, 663_936, 442_624]
    assert by_layer == [*convolutions, 37_752_832, 16_781_312, 4_097_000]
    assert d2l.count_parameters(net) == 60_965_224


def test_two_towers_shapes(alexnet_chapter):
    """Figure 2 of the paper: 55, 27 and 13 after the convolutions; 6 before the dense layers."""
    with torch.device("meta"):
        net = alexnet_chapter["alexnet_two_towers"]()
        X = torch.empty(1, 3, 227, 227)
    shapes = []
    for layer in net:
        X = layer(X)
        if isinstance(layer, alexnet_chapter["ConvReLU"] | nn.Flatten):
            shapes.append(tuple(X.shape[1:]))
    sizes = [(96, 55, 55), (256, 27, 27), (384, 13, 13), (384, 13, 13), (256, 13, 13)]
    assert shapes == [*sizes, (256 * 6 * 6,)]


def test_towers_are_apart(alexnet_chapter):
    """Section 3.2: the 2nd, 4th and 5th convolution see their own tower, the 3rd sees both."""
    with torch.device("meta"):
        net = alexnet_chapter["alexnet_two_towers"]()
    assert [m.groups for m in net.modules() if isinstance(m, nn.Conv2d)] == [1, 2, 1, 2, 2]


def test_local_norm_is_the_papers(alexnet_chapter):
    """Section 3.3 with k = 2, n = 5, alpha = 1e-4, beta = 0.75, written out channel by channel."""
    a = 100 * torch.rand(2, 7, 3, 3, generator=torch.Generator().manual_seed(0))
    sums = [a[:, max(0, i - 2) : i + 3].square().sum(dim=1) for i in range(7)]
    expected = a / (2 + 1e-4 * torch.stack(sums, dim=1)) ** 0.75
    torch.testing.assert_close(alexnet_chapter["local_norm"]()(a), expected)


def test_one_tower_gives_the_logits_of_torchvision(alexnet_chapter):
    torch.manual_seed(0)
    theirs = torchvision.models.alexnet(weights=None).eval()
    with torch.device("meta"):
        ours = alexnet_chapter["alexnet"]().eval()
    take_weights(ours, theirs.state_dict().values())
    assert d2l.count_parameters(ours) == d2l.count_parameters(theirs) == 61_100_840
    # 320 as well: there adaptive pooling has something to average.
    for size in (224, 320):
        X = torch.randn(2, 3, size, size)
        with torch.no_grad():
            scores = theirs(X)
            torch.testing.assert_close(ours(X), scores, atol=1e-4, rtol=0)
        assert scores.std() > 0.005  # weights, not biases alone, make the scores


def test_cifar_form_shapes_and_work(alexnet_chapter):
    net = alexnet_chapter["alexnet_cifar"]()
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    inner = (32 * 96 * 15**2 + (96 * 128 + 128 * 96 + 96 * 96) * 7**2) * 3**2
    dense = 864 * 512 + 512 * 512 + 512 * 10
    work = d2l.count_multiply_adds(net, (3, 32, 32))
    assert work == 32 * 32**2 * 3 * 5**2 + inner + dense
    assert 5e6 <= work <= 25e6


def test_dropout_is_the_only_difference(alexnet_chapter):
    nets = [alexnet_chapter["alexnet_cifar"](dropout) for dropout in (0.5, 0)]
    changed = [pair for pair in zip(*nets, strict=True) if str(pair[0]) != str(pair[1])]
    assert [[layer.p for layer in pair] for pair in changed] == [[0.5, 0], [0.5, 0]]


def test_dropout_changes_no_initial_weight(alexnet_chapter):
    nets = []
    for dropout in (0.5, 0):
        torch.manual_seed(0)
        nets.append(alexnet_chapter["alexnet_cifar"](dropout).apply(d2l.init_xavier))
    for a, b in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(a, b)


def test_initial_weights_of_the_paper(alexnet_chapter):
    """Section 5: weights of standard deviation 0.01; biases of 1 in the 2nd, 4th and 5th
    convolution and in the hidden fully connected layers, of 0 elsewhere."""
    torch.manual_seed(0)
    net = alexnet_chapter["init_paper"](alexnet_chapter["alexnet_cifar"]())
    layers = learned_layers(net)
    assert [layer.bias.unique().tolist() for layer in layers] == [
        *([0], [1], [0], [1], [1]),  # convolutions
        *([1], [1], [0]),  # fully connected, the last of them gives the scores
    ]
    for layer in layers:
        weight = layer.weight.detach()
        assert weight.mean().abs() < 0.001
        assert weight.std().item() == pytest.approx(0.01, rel=0.05)
    without = alexnet_chapter["init_paper"](alexnet_chapter["alexnet_cifar"](), bias=0.0)
    assert not any(layer.bias.any() for layer in learned_layers(without))


def test_optimiser_follows_the_chapters_formula(alexnet_chapter):
    """g + decay * w into v, then a step along g + momentum * v, as the chapter writes Nesterov's
    momentum."""
    layer = nn.Linear(1, 1, bias=False)
    optimizer, _ = alexnet_chapter["recipe"](layer, 0.1, steps=100)
    w, v = layer.weight.item(), 0.0
    for _ in range(4):
        eta = optimizer.param_groups[0]["lr"]
        optimizer.zero_grad()
        layer.weight.square().sum().backward()
        optimizer.step()
        g = 2 * w + 5e-4 * w
        v = 0.9 * v + g
        w -= eta * (g + 0.9 * v)
        assert layer.weight.item() == pytest.approx(w, rel=1e-5)


def test_learning_rate_rises_over_three_tenths_of_the_steps_then_falls(alexnet_chapter):
    rates = rates_of(*alexnet_chapter["recipe"](nn.Linear(1, 1), 0.5, steps=100), steps=100)
    assert rates.index(max(rates)) == 29 and max(rates) == pytest.approx(0.5)
    rises, falls = torch.tensor(rates[:30]).diff(), torch.tensor(rates[29:]).diff()
    torch.testing.assert_close(rises, rises.mean().expand(29))  # straight lines
    torch.testing.assert_close(falls, falls.mean().expand(70))
    assert 0 < rates[-1] < 0.001


def test_the_recipe_in_the_open_is_that_of_train_by_protocol(alexnet_chapter, monkeypatch):
    """Same optimiser, and at each step the same learning rate."""
    given = {}
    monkeypatch.setattr(recipe, "train", lambda net, data, **settings: given.update(settings))
    data = types.SimpleNamespace(train=range(25), test=range(5))  # mini-batches
    net = nn.Linear(1, 1)
    d2l.train_by_protocol(net, data, epochs=20, lr=0.5, seed=0, name="test/linear/recipe")
    optimizer, schedule = alexnet_chapter["recipe"](net, 0.5, steps=500)
    for name in ("momentum", "dampening", "nesterov", "weight_decay"):
        assert optimizer.defaults[name] == given["optimizer"].defaults[name]
    ours = rates_of(optimizer, schedule, steps=500)
    theirs = rates_of(given["optimizer"], given["schedule"], steps=500)
    assert ours == pytest.approx(theirs)


def rates_of(optimizer, schedule, steps):
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_four_layers_differ_in_activation_only(alexnet_chapter):
    nets = [alexnet_chapter["four_layers"](a) for a in (nn.ReLU, nn.Tanh)]
    assert [sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net) for net in nets] == [4, 4]
    kinds = [[type(m) for m in net] for net in nets]
    changed = [pair for pair in zip(*kinds, strict=True) if pair[0] != pair[1]]
    assert changed == [(nn.ReLU, nn.Tanh)] * 3
    assert nets[0](torch.zeros(2, 3, 32, 32)).shape == (2, 10)
