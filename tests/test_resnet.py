"""Chapter 7: residual networks against their paper and torchvision, and the notes' own network."""

import types

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
    conv1, bn1, _, conv2, bn2 = block.f
    Y = bn2(conv2(bn1(conv1(X)).relu()))
    expected = (Y if kind is None else Y + block.shortcut(X)).relu()
    assert torch.equal(block(X), expected)
    assert expected.shape == (2, 8, 3, 3)


def test_ten_line_block_is_the_block_that_keeps_the_shape(resnet_chapter):
    torch.manual_seed(0)
    first, block = resnet_chapter["SameShape"](4), resnet_chapter["Residual"](4, 4)
    block.load_state_dict(first.state_dict())
    X = torch.randn(2, 4, 6, 6)
    assert torch.equal(first(X), block(X))


@pytest.mark.parametrize("name", ["Residual", "SameShape"])
def test_block_can_be_the_identity(resnet_chapter, name):
    block = resnet_chapter[name](*[4, 4][: 2 if name == "Residual" else 1])
    nn.init.zeros_(block.f[-1].weight)
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
    shapes = [tuple(layer.weight.shape) for layer in layers(net)]
    first, second = [(64, 24, 3, 3)], [(256, 64, 3, 3), (256, 256, 3, 3)]
    third = [(256, 256, 3, 3)] * 2
    assert shapes == [(24, 3, 2, 2), *first, *second, *third, (10, 256)]
    for size in (24, 32):
        assert net(torch.zeros(2, 3, size, size)).shape == (2, 10)


def test_block_of_one_convolution_by_hand(resnet_chapter):
    torch.manual_seed(0)
    block = resnet_chapter["OneConvolution"](4).eval()
    X = torch.randn(2, 4, 6, 6)
    conv, norm = block.f
    assert torch.equal(block(X), (norm(conv(X)) + X).relu())


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


def test_augmentation_follows_the_epoch(resnet_chapter):
    """Four epochs of three steps: two with small images, three with shifts."""
    schedule = types.SimpleNamespace(last_epoch=0)
    augment = resnet_chapter["augment_by"](schedule, 3, small_until=2, shifts_until=3)
    images = torch.full((40, 3, 32, 32), 255, dtype=torch.uint8)  # a shift lets zeros in
    sizes, shifted = [], []
    for step in range(12):
        schedule.last_epoch = step
        changed = augment(images, torch.Generator().manual_seed(step))
        sizes.append(changed.shape[-1])
        shifted.append(bool((changed < 255).any()))
    assert sizes == [24] * 6 + [32] * 6
    assert shifted == [True] * 9 + [False] * 3


def test_the_epoch_survives_a_lost_session(resnet_chapter, tmp_path):
    """Resumed from its checkpoint, training sees images of the size that its epoch asks for."""

    def start(epochs_at_most):
        torch.manual_seed(0)
        sizes, net = [], nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        data = d2l.load_cifar10(10, train_size=20, test_size=10, source="synthetic")
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=3 * 2)
        augment = resnet_chapter["augment_by"](schedule, 2, small_until=2, shifts_until=2)
        data.train.dataset.augment = (augment,)

        def look(net, inputs):
            if net.training and schedule.last_epoch == 2 * epochs_at_most:
                raise KeyboardInterrupt
            if net.training:
                sizes.append(inputs[0].shape[-1])

        net.register_forward_pre_hook(look)
        parts = {"optimizer": optimizer, "schedule": schedule, "checkpoint": tmp_path / "small.pt"}
        return d2l.train(net, data, epochs=3, name="test/small/resumed", **parts), sizes

    with pytest.raises(KeyboardInterrupt):
        start(1)
    history, sizes = start(99)
    assert history.epochs == 3
    assert sizes[-4:] == [24, 24, 32, 32]


def test_second_pass_of_the_notes_changes_counts_and_running_averages_only(resnet_chapter):
    draw = {"generator": torch.Generator().manual_seed(0)}
    noise = [(torch.randn(50, 3, 8, 8, **draw), torch.randint(10, (50,), **draw)) for _ in range(5)]
    nets, optimizers = [], []
    for _ in range(2):
        torch.manual_seed(0)
        nets.append(resnet_chapter["trashnet"]().to(memory_format=torch.channels_last))
        optimizers.append(torch.optim.SGD(nets[-1].parameters(), lr=0.02))
    found = resnet_chapter["notes_epoch"](nets[0], noise, optimizers[0], constant(optimizers[0]))
    for X, y in noise:  # the same steps, with a single pass each
        with torch.autocast("cpu", torch.bfloat16, enabled=d2l.has_bfloat16(torch.device("cpu"))):
            scores = nets[1](X.to(memory_format=torch.channels_last))
        loss = nn.functional.cross_entropy(scores.float(), y)
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
    assert [net[1].num_batches_tracked.item() for net in nets] == [10, 5]
    for a, b in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(a, b)
    assert found["before"] < found["after"]


def constant(optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


def test_numbers_of_the_notes_epoch_by_hand(resnet_chapter):
    """Means over images, the last batch smaller; the loss and `before` are from before the step."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 10))
    X, y = torch.randn(30, 3, 2, 2), torch.arange(30) % 10
    optimizer = torch.optim.SGD(net.parameters(), lr=0)
    batches = [(X[:20], y[:20]), (X[20:], y[20:])]
    found = resnet_chapter["notes_epoch"](net, batches, optimizer, constant(optimizer))
    expected = nn.functional.cross_entropy(net(X), y).item()
    assert found["loss"] == pytest.approx(expected, rel=1e-2)  # bfloat16 where it is fast
    right = d2l.accuracy(net(X), y)
    assert found["before"] == pytest.approx(right, abs=0.04) and found["after"] == found["before"]
