"""Chapter 7: residual networks against their paper and torchvision, and the notes' own network."""

import functools

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
    assert len(layers(net)) == 8
    assert sum(isinstance(m, nn.GELU) for m in net.modules()) == 7
    assert net[-1].factor == 1 / 9
    X = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(net.eval()(X), net[:-1](X) / 9)
    for size in (32, 24):
        assert net(torch.zeros(2, 3, size, size)).shape == (2, 10)


@pytest.mark.parametrize("shortcut", [True, False])
def test_small_block_by_hand(resnet_chapter, shortcut):
    torch.manual_seed(0)
    block = resnet_chapter["SmallBlock"](4, shortcut, nn.ReLU)
    X = torch.randn(2, 4, 5, 5)
    Y = nn.functional.batch_norm(block.conv(X), None, None, training=True)
    expected = (Y + X if shortcut else Y).relu()
    torch.testing.assert_close(block(X), expected)


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
    assert d2l.count_parameters(net) == 1_971_352
    assert torch.equal(net[0].weight, resnet_chapter["whitening_filters"](X))
    assert not net[0].bias.any() and net[0].bias.requires_grad
    frozen = [net[0], *(m for m in net.modules() if isinstance(m, nn.BatchNorm2d))]
    assert {id(m.weight) for m in frozen} == {
        id(p) for p in net.parameters() if not p.requires_grad
    }
    assert all((m.weight == 1).all() for m in frozen[1:])
    convolutions = [m for m in layers(net) if getattr(m, "kernel_size", None) == (3, 3)]
    assert len(convolutions) == 6
    for layer in convolutions:  # each passes all its input channels on; what is left is new
        maps = torch.rand(2, layer.in_channels, 8, 8)
        assert torch.equal(layer(maps)[:, : layer.in_channels], maps)
        assert layer(maps)[:, layer.in_channels :].any() == (layer.out_channels > layer.in_channels)


def test_fast_biases(resnet_chapter):
    """Every parameter to learn is in one group; biases have another rate, the same decay a step."""
    net = resnet_chapter["make_small"](torch.rand(8, 3, 32, 32))
    groups = resnet_chapter["group_parameters"](net, rate=0.5, decay=2e-3, bias_factor=64)
    grouped = sorted(id(p) for group in groups for p in group["params"])
    assert grouped == sorted(id(p) for p in net.parameters() if p.requires_grad)
    assert {id(p) for p in groups[1]["params"]} == {
        id(m.bias) for m in net.modules() if isinstance(m, nn.BatchNorm2d)
    }
    assert [group["lr"] for group in groups] == [0.5, 32]
    assert [group["lr"] * group["weight_decay"] for group in groups] == [1e-3, 1e-3]


def test_lookahead_by_hand(resnet_chapter):
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    resnet_chapter["look_ahead"](net, optimizer, steps=5, every=2)
    found = []
    for _ in range(5):  # each step adds 1
        net.weight.grad = torch.full((1, 1), -1.0)
        optimizer.step()
        found.append(net.weight.item())
    first = 2 * (1 - 0.95**2 * 0.4**3)
    second = first + 2 * (1 - 0.95**2 * 0.8**3)
    # After the last step, which is not the second of a pair, the slow weight itself.
    assert found == pytest.approx([1, first, first + 1, second, second])


def test_lookahead_takes_normalisations_averages_along(resnet_chapter):
    net = nn.BatchNorm1d(1, momentum=1.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    resnet_chapter["look_ahead"](net, optimizer, steps=2, every=1)
    for value in (1.0, 3.0):
        net(torch.full((2, 1), value)).sum().backward()
        optimizer.step()
    # The first step goes back by 0.95 / 8 from 1 to the 0 at the start; the last keeps that.
    assert net.running_mean.item() == pytest.approx(1 - 0.95 / 8)
    assert net.num_batches_tracked.item() == 2


def test_alternating_flip(resnet_chapter):
    flip_all, is_odd = resnet_chapter["flip_all"], resnet_chapter["is_odd"]
    flip = resnet_chapter["ByEpoch"](flip_all, when=is_odd, images_per_epoch=3)
    X = torch.arange(12, dtype=torch.uint8).view(2, 1, 2, 3)
    flipped = [not torch.equal(flip(part, None), part) for _ in range(4) for part in (X, X[:1])]
    assert flipped == [False, False, True, True, False, False, True, True]


def test_shrunk_images_keep_their_content(resnet_chapter):
    shrink = resnet_chapter["shrink"]
    plain = torch.full((2, 3, 32, 32), 200, dtype=torch.uint8)
    assert torch.equal(shrink(plain, None, 24), plain[:, :, :24, :24])
    small = shrink(torch.randint(256, (1, 1, 32, 32), dtype=torch.uint8), None, 24)
    assert small.dtype == torch.uint8 and small.shape == (1, 1, 24, 24)
    # A new pixel is a mean of old ones, with weights that fall to zero 32 / 24 pixels away.
    row = torch.randint(256, (32,)).to(torch.uint8)
    centres = (torch.arange(24) + 0.5) * 32 / 24
    distance = (torch.arange(32) + 0.5 - centres[:, None]).abs()
    weights = (1 - distance * 24 / 32).clamp(min=0)
    expected = weights @ row.float() / weights.sum(dim=1)
    found = shrink(row.expand(1, 1, 32, 32), None, 24)[0, 0, 12]
    assert (found - expected).abs().max() <= 0.5 + 1e-3


def test_augmentation_by_epoch(resnet_chapter):
    """Three epochs of two batches: the first small, the last without shifts, flips alternating."""
    changes = {
        "shift": functools.partial(d2l.random_crop, padding=2),
        "small": functools.partial(resnet_chapter["shrink"], size=24),
    }
    augment_by_epoch = resnet_chapter["augment_by_epoch"]
    augment = augment_by_epoch(8, early=1, moving=2, alternating=True, **changes)
    generator = torch.Generator().manual_seed(0)
    bright = torch.full((4, 3, 32, 32), 100, dtype=torch.uint8)
    bright[..., :4] = 200  # the left edge
    seen = []
    for _ in range(6):
        images = bright
        for change in augment:
            images = change(images, generator)
        flipped = images[0, 0, 8, 5].item() < images[0, 0, 8, -3].item()
        seen.append((images.shape[-1], bool((images < 50).any()), flipped))
    first, second, third = seen[:2], seen[2:4], seen[4:]
    assert first == [(24, True, False)] * 2
    assert second == [(32, True, True)] * 2
    assert third == [(32, False, False)] * 2
    drawn = augment_by_epoch(8, early=0, moving=0, alternating=False, **changes)
    assert drawn[0] is d2l.random_flip


@pytest.mark.parametrize(
    "options",
    [{"shortcut": False}, {"whiten": False}, {"identity": False}, {"activation": nn.ReLU}],
)
def test_ablation_changes_the_network_but_not_its_size(resnet_chapter, options):
    make, X = resnet_chapter["make_small"], torch.rand(8, 3, 32, 32)
    nets = []
    for chosen in ({}, options):
        torch.manual_seed(0)
        nets.append(make(X, **chosen).eval())
    sizes = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert sizes[0] == sizes[1]
    work = [d2l.count_multiply_adds(net, (3, 32, 32)) for net in nets]
    assert work[0] == work[1]
    with torch.no_grad():
        assert not torch.allclose(nets[0](X), nets[1](X))


def test_ablation_changes_one_idea_a_row(resnet_chapter):
    """Each row is another option of the training's functions, set to other than its default."""
    assert resnet_chapter["ABLATION"] == {
        "no shortcuts": {"shortcut": False},
        "no whitening": {"whiten": False},
        "no identity": {"identity": False},
        "ReLU": {"activation": nn.ReLU},
        "slow biases": {"bias_factor": 1},
        "no lookahead": {"lookahead": False},
        "no smoothing": {"smoothing": 0.0},
        "random flips": {"alternating": False},
        "black borders": {"border": "zeros"},
        "shifts to the end": {"still": 0},
        "full size": {"early": 0},
    }
