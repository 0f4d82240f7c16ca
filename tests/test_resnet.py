"""Chapter 7: residual networks against their paper and torchvision, and the notes' own network."""

import pytest
import torch
import torchvision
from chapters import load_models, move_normalisation, take_weights
from torch import nn

import d2lhelpers as d2l

SIZES = {"ResNet-18": 11_689_512, "ResNet-34": 21_797_672}
# He et al., 2015, Table 6, in millions; exact counts with option A by hand from section 4.2.
CIFAR = {20: (269_722, 0.27), 32: (464_154, 0.46), 44: (658_586, 0.66), 56: (853_018, 0.85)}
CIFAR[110] = 1_727_962, 1.7


@pytest.fixture(scope="module")
def resnet_chapter():
    return load_models("07_resnet_cifar10")


def layers(net):
    return [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize("name", SIZES)
def test_resnet_equals_torchvision(resnet_chapter, name):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name.lower().replace("-", ""))().eval()
    move_normalisation(theirs, variance=(0.5, 1.5))
    with torch.device("meta"):
        ours = resnet_chapter["resnet"](resnet_chapter["RESNETS"][name]).eval()
    assert d2l.count_parameters(ours) == d2l.count_parameters(theirs) == SIZES[name]
    # Shortcuts with a convolution are not layers of their name.
    assert sum(m.kernel_size != (1, 1) for m in layers(ours)[:-1]) + 1 == int(name[-2:])
    take_weights(ours, theirs.state_dict().values())
    X = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        scores, expected = ours(X), theirs(X)
    assert expected.std() > 0.05
    torch.testing.assert_close(scores, expected, atol=1e-4 * expected.abs().max().item(), rtol=0)


@pytest.mark.parametrize("depth", CIFAR)
def test_cifar_resnet_sizes(resnet_chapter, depth):
    exact, millions = CIFAR[depth]
    with torch.device("meta"):
        net = resnet_chapter["cifar_resnet"](depth)
    assert d2l.count_parameters(net) == exact
    assert round(exact / 1e6, 1 if depth == 110 else 2) == millions
    assert len(layers(net)) == depth


def test_option_b_does_not_fit_the_paper(resnet_chapter):
    counts = [d2l.count_parameters(resnet_chapter["cifar_resnet"](d, "B")) for d in (32, 56)]
    assert [round(count / 1e6, 2) for count in counts] == [0.47, 0.86]


def test_shortcut_a_by_hand(resnet_chapter):
    X = torch.randn(2, 3, 5, 6)
    Y = resnet_chapter["PadShortcut"](2, stride=2)(X)
    assert torch.equal(Y[:, :3], X[:, :, ::2, ::2])
    assert Y.shape == (2, 5, 3, 3) and not Y[:, 3:].any()


@pytest.mark.parametrize("kind", ["A", "B", None])
def test_block_by_hand(resnet_chapter, kind):
    torch.manual_seed(0)
    block = resnet_chapter["Residual"](4, 8, stride=2, kind=kind).eval()
    X = torch.randn(2, 4, 6, 6)
    Y = block.bn2(block.conv2(block.bn1(block.conv1(X)).relu()))
    expected = (Y if kind is None else Y + block.shortcut(X)).relu()
    assert torch.equal(block(X), expected)
    assert expected.shape == (2, 8, 3, 3)


def test_block_can_be_the_identity(resnet_chapter):
    block = resnet_chapter["Residual"](4, 4)
    nn.init.zeros_(block.bn2.weight)
    X = torch.rand(2, 4, 6, 6)
    assert torch.equal(block(X), X)


@pytest.mark.parametrize("depth", [20, 44])
def test_plain_and_residual_differ_in_shortcuts_only(resnet_chapter, depth):
    make = resnet_chapter["cifar_resnet"]
    nets = [make(depth, kind, stride=2) for kind in ("A", None)]
    shapes = [{k: v.shape for k, v in net.state_dict().items()} for net in nets]
    assert shapes[0] == shapes[1]
    work = [d2l.count_multiply_adds(net, (3, 32, 32)) for net in nets]
    assert work[0] == work[1] and 5e6 <= work[0] <= 25e6
    assert [net(torch.zeros(2, 3, 32, 32)).shape for net in nets] == [(2, 10)] * 2


def test_trashnet_is_the_notes_own(resnet_chapter):
    net = resnet_chapter["trashnet"]()
    shapes = [tuple(layer.weight.shape) for layer in layers(net)]
    first, second = [(64, 32, 3, 3), (64, 64, 3, 3), (64, 32, 1, 1)], [(64, 64, 3, 3)] * 2
    assert shapes == [(32, 3, 3, 3), *first, *second, (10, 64)]
    assert all(layer.bias is not None for layer in layers(net))
    assert sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) == 5
    assert net[:5](torch.zeros(2, 3, 32, 32)).shape == (2, 64, 16, 16)


def test_small_resnet(resnet_chapter):
    net = resnet_chapter["small_resnet"]()
    assert len(layers(net)) == 9
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    plain = resnet_chapter["small_resnet"](kind=None)
    assert d2l.count_parameters(plain) == d2l.count_parameters(net)


def test_whitening(resnet_chapter):
    """Uncorrelated outputs of variance 1, and both signs of each."""
    torch.manual_seed(0)
    X = nn.functional.avg_pool2d(torch.randn(32, 3, 20, 20), 3, stride=1)
    filters = resnet_chapter["whitening_filters"](X, epsilon=0)
    assert filters.shape == (24, 3, 2, 2)
    assert torch.equal(filters[:12], -filters[12:])
    outputs = nn.functional.conv2d(X, filters[:12]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(torch.cov(outputs), torch.eye(12), atol=1e-2, rtol=0)


def test_start_of_the_small_network(resnet_chapter):
    torch.manual_seed(0)
    X = torch.randn(8, 3, 32, 32)
    net = resnet_chapter["make_small"](X)
    assert torch.equal(net[0].weight, resnet_chapter["whitening_filters"](X))
    assert not net[0].weight.requires_grad and net[0].bias.requires_grad
    maps = torch.rand(2, 24, 8, 8)
    assert torch.equal(net[2](maps)[:, :24], maps)  # 24 channels passed on, the others new
    assert net[2](maps)[:, 24:].any()
    free = resnet_chapter["make_small"](X, whiten=False, identity=False)
    assert all(p.requires_grad for p in free.parameters())


def test_alternating_flip(resnet_chapter):
    flip = resnet_chapter["ByEpoch"](resnet_chapter["flip_alternately"], images_per_epoch=3)
    X = torch.arange(12, dtype=torch.uint8).view(2, 1, 2, 3)
    flipped = [not torch.equal(flip(part, None), part) for _ in range(4) for part in (X, X[:1])]
    assert flipped == [False, False, True, True, False, False, True, True]


def test_shrunk_images_keep_their_content(resnet_chapter):
    shrink = resnet_chapter["shrink"]
    plain = torch.full((2, 3, 32, 32), 200, dtype=torch.uint8)
    assert torch.equal(shrink(plain, 24), plain[:, :, :24, :24])
    ramp = torch.arange(32, dtype=torch.uint8).mul(8).expand(1, 1, 32, 32)
    small = shrink(ramp, 24)
    assert small.dtype == torch.uint8 and small.shape == (1, 1, 24, 24)
    # Pixel i of 24 lies at (i + 0.5) * 32 / 24 - 0.5 of the 32; away from the border it is exact.
    places = (torch.arange(2, 22) + 0.5) * 32 / 24 - 0.5
    assert (small[0, 0, 12, 2:22] - 8 * places).abs().max() <= 1


@pytest.mark.parametrize("options", [{"kind": None}, {"whiten": False}, {"identity": False}])
def test_ablation_keeps_the_size(resnet_chapter, options):
    make, X = resnet_chapter["make_small"], torch.rand(8, 3, 32, 32)
    nets = make(X), make(X, **options)
    sizes = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert sizes[0] == sizes[1]
    work = [d2l.count_multiply_adds(net, (3, 32, 32)) for net in nets]
    assert work[0] == work[1]


def test_ablation_removes_one_idea_a_row(resnet_chapter):
    rows = resnet_chapter["ABLATION"]
    assert all(len(removed) == 1 for removed in rows.values())
    assert len({key for removed in rows.values() for key in removed}) == len(rows)
