"""Chapter 5: GoogLeNet against its paper and against torchvision."""

import pytest
import torch
import torchvision
from chapters import load_models, move_normalisation, take_weights
from torch import nn

import d2lhelpers as d2l

# Weights by stage from the channels of the paper's Table 1, in its K of 1024. The table itself
# prints 2.7 for the first and 364, 437, 463, 580, 840, 1072, 1388 for 4a to 5b: its own
# multiply-adds (but for 7x7, 4a and 5a) agree with these figures.
STAGES = {
    "conv 7x7": 9_408,
    "conv 3x3": 114_688,
    "3a": 163_328,
    "3b": 388_096,
    "4a": 375_552,
    "4b": 448_512,
    "4c": 509_440,
    "4d": 604_672,
    "4e": 867_328,
    "5a": 1_042_432,
    "5b": 1_442_816,
    "linear": 1_024_000,
}
# Table 1's multiply-adds in millions, where they agree with the channels, and output sides.
WORK = {
    **{"conv 3x3": (360, 56), "3a": (128, 28), "3b": (304, 28)},
    **{"4b": (88, 14), "4c": (100, 14), "4d": (119, 14), "4e": (170, 14)},
    **{"5b": (71, 7), "linear": (1, 1)},
}


@pytest.fixture(scope="module")
def googlenet_chapter():
    return load_models("05_googlenet")


def test_stages_have_the_weights_of_table_1(googlenet_chapter):
    with torch.device("meta"):
        net = googlenet_chapter["googlenet"]()
    counts = {
        name: sum(p.numel() for p in net.get_submodule(name).parameters() if p.dim() > 1)
        for name in STAGES
    }
    assert counts == STAGES
    assert d2l.count_parameters(net) == 6_998_552
    for name, (millions, side) in WORK.items():
        assert round(counts[name] * side**2 / 1e6) == millions, name


def test_stages_have_the_shapes_of_table_1(googlenet_chapter):
    with torch.device("meta"):
        net = googlenet_chapter["googlenet"]()
        X = torch.empty(1, 3, 224, 224)
    shapes = {}
    for name, stage in net.named_children():
        X = stage(X)
        shapes[name] = tuple(X.shape[1:])
    assert shapes["conv 7x7"] == (64, 56, 56)
    assert shapes["conv 3x3"] == (192, 28, 28)
    assert [shapes[name][0] for name in ("3a", "3b")] == [256, 480]
    assert [shapes[f"4{x}"] for x in "abcde"] == [(c, 14, 14) for c in (512, 512, 512, 528, 832)]
    assert [shapes[f"5{x}"] for x in "ab"] == [(832, 7, 7), (1024, 7, 7)]
    assert shapes["linear"] == (1000,)


def torchvisions(chapter):
    """torchvision's variant, made of the chapter's: batch normalisation, no bias, 3x3 in place of
    5x5, no local response normalisation and a smaller fourth pooling."""

    def conv_norm_relu(in_channels, out_channels, kernel_size, stride=1):
        size = {5: 3}.get(kernel_size, kernel_size)
        conv = nn.Conv2d(in_channels, out_channels, size, stride, size // 2, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(out_channels, eps=1e-3), nn.ReLU())

    net = chapter["googlenet"](conv=conv_norm_relu)
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.LocalResponseNorm):
            net.set_submodule(name, nn.Identity())
    net.set_submodule("pool 4e", nn.MaxPool2d(2, stride=2, ceil_mode=True))
    return net


@pytest.mark.parametrize(("auxiliary", "parameters"), [(False, 6_624_904), (True, 13_004_888)])
def test_logits_of_torchvision(googlenet_chapter, auxiliary, parameters):
    """Auxiliary classifiers, which the chapter does not build, play no part in evaluation."""
    torch.manual_seed(0)
    theirs = torchvision.models.GoogLeNet(aux_logits=auxiliary, init_weights=False).eval()
    assert d2l.count_parameters(theirs) == parameters
    move_normalisation(theirs, variance=(0.1, 0.5))
    with torch.device("meta"):
        ours = torchvisions(googlenet_chapter).eval()
    assert d2l.count_parameters(ours) == 6_624_904
    state = theirs.state_dict().items()
    take_weights(ours, [value for key, value in state if not key.startswith("aux")])
    # 200 as well: there the poolings of window 2 and 3, and rounding up or down, differ.
    for size in (224, 200):
        X = torch.randn(2, 3, size, size)
        X[1] *= 3
        with torch.no_grad():
            expected = theirs(X)
            assert (expected[0] - expected[1]).abs().max() > 1e-3  # the image matters
            torch.testing.assert_close(ours(X), expected, atol=1e-4, rtol=0)


def test_block_concatenates_its_branches(googlenet_chapter):
    for kind in ("Inception", "Naive"):
        block = googlenet_chapter[kind](8, (1, 2, 3, 4, 5, 6))
        X = torch.randn(2, 8, 7, 7)
        branches = dict(block.named_children())
        widths = {name: branch(X).shape[1] for name, branch in branches.items()}
        assert widths == {"one": 1, "three": 3, "five": 5, "pool": 6}
        assert block.out_channels == 15
        torch.testing.assert_close(block(X), torch.cat([b(X) for b in branches.values()], dim=1))


def test_naive_block_has_no_reductions(googlenet_chapter):
    """Figure 2 of the paper; the convolution after the pooling stays."""
    widths = (1, 2, 3, 4, 5, 6)
    shapes = {
        kind: [tuple(p.shape) for p in googlenet_chapter[kind](8, widths).parameters()][::2]
        for kind in ("Inception", "Naive")
    }
    one, three, five, pooled = (1, 8, 1, 1), (3, 8, 3, 3), (5, 8, 5, 5), (6, 8, 1, 1)
    assert shapes["Naive"] == [one, three, five, pooled]
    reduced = [(2, 8, 1, 1), (3, 2, 3, 3)], [(4, 8, 1, 1), (5, 4, 5, 5)]
    assert shapes["Inception"] == [one, *reduced[0], *reduced[1], pooled]


def test_cifar_form_keeps_the_proportions_of_the_paper(googlenet_chapter):
    """Sixteen channels go into every 5x5, of 192 as in block 3a; the 3x3 branch is the widest."""
    net = googlenet_chapter["googlenet_cifar"]()
    blocks = [m for m in net if isinstance(m, googlenet_chapter["Inception"])]
    assert [block.five[0][0].out_channels for block in blocks] == [16, 16, 16]
    assert [block.five[0][0].in_channels for block in blocks] == [64, 192, 192]
    X = torch.randn(1, 192, 4, 4)
    widths = [branch(X).shape[1] for branch in blocks[1].children()]
    assert max(widths) == widths[1] and sum(widths) == 192
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_sides_of_the_comparison_cost_the_same(googlenet_chapter):
    make, naive = googlenet_chapter["googlenet_cifar"], googlenet_chapter["Naive"]
    sides = make(), make(naive, 2)
    work = [d2l.count_multiply_adds(net, (3, 32, 32)) for net in sides]
    assert 5e6 <= work[0] <= 25e6
    assert work[1] == pytest.approx(work[0], rel=0.02)
    sizes = [d2l.count_parameters(net) for net in sides]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
    wide = d2l.count_multiply_adds(googlenet_chapter["lenet_rgb"](8), (3, 32, 32))
    assert wide == pytest.approx(work[0], rel=0.02)


def test_lenet_for_colour(googlenet_chapter):
    net = googlenet_chapter["lenet_rgb"]()
    assert d2l.count_parameters(net) == 61_706 + 2 * 6 * 25
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
