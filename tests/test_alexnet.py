"""Chapter 2's networks (cells tagged ``model``) against their sources."""

import pytest
import torch
import torchvision
from chapters import load_models, take_weights
from torch import nn

import d2lhelpers as d2l


@pytest.fixture(scope="module")
def alexnet_chapter():
    return load_models("02_alexnet")


def test_two_towers_parameters(alexnet_chapter):
    """Krizhevsky et al., 2012, section 3.5 gives the sizes, the abstract 60 million in all."""
    with torch.device("meta"):
        net = alexnet_chapter["alexnet_two_towers"]()
    by_layer = [d2l.count_parameters(m) for m in net if isinstance(m, nn.Conv2d | nn.Linear)]
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
        if isinstance(layer, nn.Conv2d | nn.Flatten):
            shapes.append(tuple(X.shape[1:]))
    sizes = [(96, 55, 55), (256, 27, 27), (384, 13, 13), (384, 13, 13), (256, 13, 13)]
    assert shapes == [*sizes, (256 * 6 * 6,)]


def test_towers_are_apart(alexnet_chapter):
    """Section 3.2: the 2nd, 4th and 5th convolution see their own tower, the 3rd sees both."""
    with torch.device("meta"):
        net = alexnet_chapter["alexnet_two_towers"]()
    assert [m.groups for m in net if isinstance(m, nn.Conv2d)] == [1, 2, 1, 2, 2]


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


def test_four_layers_differ_in_activation_only(alexnet_chapter):
    nets = [alexnet_chapter["four_layers"](a) for a in (nn.ReLU, nn.Tanh)]
    assert [sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net) for net in nets] == [4, 4]
    kinds = [[type(m) for m in net] for net in nets]
    changed = [pair for pair in zip(*kinds, strict=True) if pair[0] != pair[1]]
    assert changed == [(nn.ReLU, nn.Tanh)] * 3
    assert nets[0](torch.zeros(2, 3, 32, 32)).shape == (2, 10)
