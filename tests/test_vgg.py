"""Chapter 3: VGG against its paper and against torchvision."""

import pytest
import torch
import torchvision
from chapters import load_models, take_weights
from torch import nn

import d2lhelpers as d2l

# torchvision's exact counts; the paper's Table 2, in millions, of its columns A, B, D and E.
SIZES = {
    "VGG-11": (132_863_336, 133),
    "VGG-13": (133_047_848, 133),
    "VGG-16": (138_357_544, 138),
    "VGG-19": (143_667_240, 144),
}


@pytest.fixture(scope="module")
def vgg_chapter():
    return load_models("03_vgg")


def full_size(chapter, name):
    """A network of the paper without memory for its weights."""
    with torch.device("meta"):
        return chapter["vgg"](chapter["VGG"][name])


def torchvision_vgg(name):
    return getattr(torchvision.models, name.lower().replace("-", ""))()


@pytest.mark.parametrize("name", SIZES)
def test_vgg_parameters(vgg_chapter, name):
    exact, millions = SIZES[name]
    count = d2l.count_parameters(full_size(vgg_chapter, name))
    assert count == exact
    assert round(count / 1e6) == millions


@pytest.mark.parametrize("name", SIZES)
def test_vgg_is_named_after_its_layers(vgg_chapter, name):
    modules = full_size(vgg_chapter, name).modules()
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in modules) == int(name[-2:])


def test_vgg_column_c(vgg_chapter):
    """The 134 million of Table 2 belong to C: VGG-16 with 1×1 where blocks 3 to 5 end."""
    net = full_size(vgg_chapter, "VGG-16")
    saved = sum(block[4].weight.numel() * 8 // 9 for block in net[2:5])
    assert round((d2l.count_parameters(net) - saved) / 1e6) == 134


@pytest.mark.parametrize("name", SIZES)
def test_vgg_logits_equal_torchvision(vgg_chapter, name):
    torch.manual_seed(0)
    theirs = torchvision_vgg(name).eval()
    for parameter in theirs.parameters():
        if parameter.dim() == 1:  # torchvision starts all biases at zero
            nn.init.normal_(parameter, std=0.1)
    ours = full_size(vgg_chapter, name).eval()
    take_weights(ours, theirs.state_dict().values())
    X = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = theirs(X)
        assert expected.std() > 0.05
        torch.testing.assert_close(ours(X), expected, atol=1e-4, rtol=0)


def test_vgg_layers_equal_torchvision(vgg_chapter):
    """Dropout included, which eval mode hides."""

    def kinds(net):
        leaves = [type(m) for m in net.modules() if not list(m.children())]
        return [kind for kind in leaves if kind not in (nn.AdaptiveAvgPool2d, nn.Flatten)]

    with torch.device("meta"):
        theirs = torchvision_vgg("VGG-16")
    assert kinds(full_size(vgg_chapter, "VGG-16")) == kinds(theirs)


def test_cifar_vgg_layers(vgg_chapter):
    net = vgg_chapter["cifar_vgg"]()
    widths = [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [20, 20, 40, 40, 80, 80]
    assert net[:3](torch.zeros(2, 3, 32, 32)).shape == (2, 80, 4, 4)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_cifar_vgg_work(vgg_chapter):
    cifar_vgg = vgg_chapter["cifar_vgg"]
    nets = [cifar_vgg(**shape) for shape in vgg_chapter["DEPTHS"].values()]
    adds = [d2l.count_multiply_adds(net, (3, 32, 32)) for net in nets]
    default = d2l.count_multiply_adds(cifar_vgg(), (3, 32, 32))
    single = d2l.count_multiply_adds(cifar_vgg(convs=1, kernel_size=5), (3, 32, 32))
    assert all(5e6 < count < 25e6 for count in [*adds, default, single])
    # Depth is compared at about equal work, with the chapter's own network in the middle.
    assert adds[1] == default
    assert adds == pytest.approx([default] * 3, rel=0.06)


def test_kernel_size_leaves_the_shapes(vgg_chapter):
    block = vgg_chapter["vgg_block"]
    X = torch.zeros(1, 3, 16, 16)
    assert block(2, 3, 8)(X).shape == block(1, 3, 8, kernel_size=5)(X).shape == (1, 8, 8, 8)
