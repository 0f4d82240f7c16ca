"""Chapter 4's networks (cells tagged ``model``) against the NiN paper."""

import pytest
import torch
from chapters import load_models
from torch import nn

import d2lhelpers as d2l


@pytest.fixture(scope="module")
def nin_chapter():
    return load_models("04_nin")


def convolutions(net):
    return [m for m in net.modules() if isinstance(m, nn.Conv2d)]


def test_nin_parameters(nin_chapter):
    """The configuration for CIFAR-10 that the authors published: about 0.97 M parameters."""
    with torch.device("meta"):
        net = nin_chapter["nin"](nin_chapter["PAPER"])
    by_layer = [d2l.count_parameters(m) for m in convolutions(net)]
    assert by_layer[:3] == [14_592, 30_880, 15_456]
    assert by_layer[3:6] == [460_992, 37_056, 37_056]
    assert by_layer[6:] == [331_968, 37_056, 1_930]
    assert d2l.count_parameters(net) == 966_986
    assert not [m for m in net.modules() if isinstance(m, nn.Linear)]


def test_nin_shapes(nin_chapter):
    with torch.device("meta"):
        net = nin_chapter["nin"](nin_chapter["PAPER"])
        X = torch.empty(1, 3, 32, 32)
    shapes = []
    for part in net:
        X = part(X)
        shapes.append(tuple(X.shape[1:]))
    expected = [(96, 32, 32), (96, 16, 16), (192, 16, 16), (192, 8, 8), (10, 8, 8), (10,)]
    assert [shapes[i] for i in (0, 1, 3, 4, 6, 8)] == expected


def test_nin_layers(nin_chapter):
    """Max pooling first, average pooling second; ReLU after every convolution; dropout of 0.5."""
    net = nin_chapter["nin"](((4, 4, 4), (4, 4, 4), (4, 4, 10)))
    leaves = [m for m in net.modules() if not list(m.children())]
    block = [nn.Conv2d, nn.ReLU] * 3
    between = [nn.MaxPool2d, nn.Dropout], [nn.AvgPool2d, nn.Dropout]
    head = [nn.AdaptiveAvgPool2d, nn.Flatten]
    assert [type(m) for m in leaves] == [*block, *between[0], *block, *between[1], *block, *head]
    kernels = [m.kernel_size[0] for m in leaves if isinstance(m, nn.Conv2d)]
    assert kernels == [5, 1, 1, 5, 1, 1, 3, 1, 1]
    assert {m.p for m in leaves if isinstance(m, nn.Dropout)} == {0.5}


def test_small_nin(nin_chapter):
    nin_cifar = nin_chapter["nin_cifar"]
    heads = ("average", "max", "dense")
    counts = {head: d2l.count_parameters(nin_cifar(head=head)) for head in heads}
    assert counts["max"] == counts["average"] == counts["dense"] - (10 * 8 * 8 * 10 + 10)
    for head in heads:
        net = nin_cifar(head=head)
        assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
        assert 5e6 < d2l.count_multiply_adds(net, (3, 32, 32)) < 25e6


def test_without_its_1x1_layers_the_net_costs_as_much(nin_chapter):
    """The last 1×1 convolution is the classifier and stays."""
    with_ones = nin_chapter["nin_cifar"](nin_chapter["SMALL"])
    without = nin_chapter["nin_cifar"](nin_chapter["PLAIN"])
    kernels = [conv.kernel_size[0] for conv in convolutions(without)]
    assert kernels == [5, 5, 3, 1]
    assert without[6][-1].out_channels == 10  # no ReLU after it
    work = [d2l.count_multiply_adds(net, (3, 32, 32)) for net in (with_ones, without)]
    assert work[1] == pytest.approx(work[0], rel=0.01)
    sizes = [d2l.count_parameters(net) for net in (with_ones, without)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_small_nin_is_narrower_by_a_quarter_and_a_third(nin_chapter):
    small, paper = nin_chapter["SMALL"], nin_chapter["PAPER"]
    assert [4 * width for width in small[0]] == list(paper[0])
    kept = [*small[1], *small[2][:-1]]
    assert [3 * width for width in kept] == [*paper[1], *paper[2][:-1]]


def test_block_is_a_sliding_mlp(nin_chapter):
    """Conv 5×5, 1×1, 1×1 at one pixel: three matrix products over the window around it."""
    torch.manual_seed(0)
    block = nin_chapter["nin_block"](3, (8, 7, 6), kernel_size=5)
    X = torch.randn(1, 3, 9, 9)
    values = X[0, :, 2:7, 2:7].flatten()
    for layer in block:
        is_conv = isinstance(layer, nn.Conv2d)
        values = layer.weight.flatten(1) @ values + layer.bias if is_conv else values.clamp(min=0)
    torch.testing.assert_close(block(X)[0, :, 4, 4], values)


@pytest.mark.parametrize("head", ["average", "max"])
def test_scores_are_pooled_maps(nin_chapter, head):
    torch.manual_seed(0)
    net = nin_chapter["nin_cifar"](head=head).eval()
    X = torch.randn(2, 3, 32, 32)
    maps = nin_chapter["class_maps"](net, X)
    assert maps.shape == (2, 10, 8, 8)
    assert (maps < 0).any()  # no ReLU after the last convolution
    pooled = maps.mean(dim=(2, 3)) if head == "average" else maps.amax(dim=(2, 3))
    torch.testing.assert_close(net(X), pooled)


@pytest.mark.parametrize(("row", "column"), [(3, 3), (4, 2)])
def test_a_cell_sees_27_pixels_and_the_cover_is_in_their_middle(nin_chapter, row, column):
    torch.manual_seed(0)
    net = nin_chapter["nin_cifar"]()
    for conv in convolutions(net):
        nn.init.uniform_(conv.weight, 0.1, 1)  # nothing cancels, every ReLU is open
    X = torch.rand(8, 3, 32, 32, requires_grad=True)
    net[:-2](X)[:, 0, row, column].sum().backward()
    reached = X.grad.abs().sum(dim=(0, 1)).nonzero()
    middle = torch.tensor([4 * row + 3, 4 * column + 3])
    assert torch.equal(reached.min(dim=0).values, (middle - 13).clamp(min=0))
    assert torch.equal(reached.max(dim=0).values, (middle + 13).clamp(max=31))

    hidden = nin_chapter["cover"](torch.ones(1, 3, 32, 32), torch.tensor([8 * row + column]))
    covered = (hidden[0] == 0).all(dim=0).nonzero()
    assert len(covered) == 64 and (hidden == 0).sum() == 3 * 64
    assert torch.equal(covered.min(dim=0).values, middle - 4)  # of 8 pixels, 4 are before it
