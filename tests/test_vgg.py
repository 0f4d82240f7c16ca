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


def learned_layers(net):
    return [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


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
    assert len(learned_layers(full_size(vgg_chapter, name))) == int(name[-2:])


def test_vgg_column_c(vgg_chapter):
    """Table 1: as D, but blocks 3 to 5 end in a 1×1; Table 2: 134 million parameters."""
    with torch.device("meta"):
        net = vgg_chapter["vgg_c"]()
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    sides = [conv.kernel_size[0] for conv in convs]
    assert sides == [3, 3, 3, 3, 3, 3, 1, 3, 3, 1, 3, 3, 1]
    d = [m for m in full_size(vgg_chapter, "VGG-16").modules() if isinstance(m, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [conv.out_channels for conv in d]
    assert round(d2l.count_parameters(net) / 1e6) == 134
    assert net[:5](torch.zeros(1, 3, 224, 224, device="meta")).shape == (1, 512, 7, 7)


def test_vgg_is_bigger_and_deeper_than_alexnet(vgg_chapter):
    with torch.device("meta"):
        theirs = torchvision.models.alexnet()
    ours = full_size(vgg_chapter, "VGG-11")
    assert len(learned_layers(ours)) > len(learned_layers(theirs))
    assert d2l.count_parameters(ours) > d2l.count_parameters(theirs)
    shape = 3, 224, 224
    assert d2l.count_multiply_adds(ours, shape) > d2l.count_multiply_adds(theirs, shape)


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


def test_depth_is_compared_at_equal_work(vgg_chapter):
    cifar_vgg = vgg_chapter["cifar_vgg"]
    nets = [cifar_vgg(**shape) for shape in vgg_chapter["DEPTHS"].values()]
    assert [len(learned_layers(net)) for net in nets] == [6, 9, 12]
    work = [d2l.count_multiply_adds(net, (3, 32, 32)) for net in nets]
    default = d2l.count_multiply_adds(cifar_vgg(), (3, 32, 32))
    assert work[1] == default  # the chapter's own network is in the middle
    assert work == pytest.approx([default] * 3, rel=0.06)
    assert all(5e6 < count < 25e6 for count in work)


def test_kernels_are_compared_at_equal_work(vgg_chapter):
    pairs, single = vgg_chapter["cifar_vgg"](), vgg_chapter["cifar_5x5"]()
    sides = [m.kernel_size for m in single.modules() if isinstance(m, nn.Conv2d)]
    assert sides == [(5, 5)] * 3
    shapes = [net[:3](torch.zeros(1, 3, 32, 32)).shape[2:] for net in (pairs, single)]
    assert shapes == [(4, 4), (4, 4)]
    work = [d2l.count_multiply_adds(net, (3, 32, 32)) for net in (single, pairs)]
    assert work[0] == pytest.approx(work[1], rel=0.01)


def test_kernels_are_compared_at_equal_receptive_fields(vgg_chapter):
    for net in (vgg_chapter["cifar_vgg"](), vgg_chapter["cifar_5x5"]()):
        for block in net[:3]:
            block[-1] = nn.AvgPool2d(2)  # passes gradients to all of its window
        for parameter in net.parameters():
            nn.init.constant_(parameter, 0.01)  # positive: no ReLU stops a gradient
        X = torch.rand(1, 3, 96, 96, requires_grad=True)
        (gradient,) = torch.autograd.grad(net[:3](X)[0, :, 6, 6].sum(), X)
        assert gradient.abs().sum(dim=(0, 1, 3)).count_nonzero() == 36


def test_scale_is_all_that_differs_in_initial_weights(vgg_chapter):
    nets = {}
    for scale in (1.0, 0.5):
        torch.manual_seed(0)
        nets[scale] = vgg_chapter["scaled"](vgg_chapter["cifar_vgg"](convs=3, width=15), scale)
    for he, half in zip(nets[1.0].parameters(), nets[0.5].parameters(), strict=True):
        assert torch.equal(half, 0.5 * he)
    for layer in learned_layers(nets[1.0])[:-1]:
        expected = (2 / layer.weight[0].numel()) ** 0.5
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.15)
        assert not layer.bias.any()


def test_signal_and_gradients_follow_the_scale(vgg_chapter):
    """With s for each of 12 layers: the scores are s to the 12th, a layer's gradient, for the same
    gradient at the scores, s to the 11th."""
    X, direction = torch.rand(4, 3, 32, 32), torch.randn(4, 10)
    scores, gradients = [], []
    for scale in (1.0, 0.5):  # a power of two multiplies without rounding
        torch.manual_seed(0)
        net = vgg_chapter["scaled"](vgg_chapter["cifar_vgg"](convs=3, width=15), scale)
        scores.append(net(X))
        weights = [layer.weight for layer in learned_layers(net)]
        gradients.append(torch.autograd.grad((scores[-1] * direction).sum(), weights))
    torch.testing.assert_close(scores[1], 0.5**12 * scores[0])
    for he, half in zip(*gradients, strict=True):
        torch.testing.assert_close(half, 0.5**11 * he)
