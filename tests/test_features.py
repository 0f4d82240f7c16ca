"""What filters and feature maps show."""

import numpy as np
import pytest
import torch
from figures import assert_is_tidy, drawn, heading, pixels_of, titles, visible
from torch import nn
from toys import has_weights, weights

import d2lhelpers as d2l

show_filters, show_feature_maps = drawn(d2l.show_filters), drawn(d2l.show_feature_maps)


pytestmark = pytest.mark.usefixtures("no_figure_is_left")


# --- show_filters -----------------------------------------------------------------------------


def test_colour_filters_are_symmetric_about_grey():
    weight = torch.zeros(3, 3, 2, 2)
    weight[0, 0, 0, 0], weight[0, 1, 1, 1] = 0.2, -0.1
    weight[1] = -3.0
    figure = show_filters(weight)
    pictures = pixels_of(figure)
    assert pictures.shape == (3, 2, 2, 3)
    np.testing.assert_allclose(pictures[0, 0, 0], [1, 0.5, 0.5])
    np.testing.assert_allclose(pictures[0, 1, 1], [0.5, 0.25, 0.5])
    assert (pictures[1] == 0).all() and (pictures[2] == 0.5).all()
    assert heading(figure).startswith("3 filters of 2×2 weights, 3 channels")
    assert_is_tidy(figure)


def test_grey_filters_share_a_symmetric_scale():
    layer = nn.Conv2d(1, 6, 5)
    with torch.no_grad():
        layer.weight[2, 0, 1, 1] = -0.75
    figure = show_filters(layer.weight, title="T")
    *cells, bar = visible(figure)
    assert [ax.images[0].get_clim() for ax in cells] == [(-0.75, 0.75)] * 6
    for ax, weight in zip(cells, layer.weight.detach().numpy(), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), weight[0])
    assert bar.get_ylabel() == "weight" and heading(figure) == "T"
    assert_is_tidy(figure)


@pytest.mark.parametrize("number", [1, 7, 96])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_number_of_filters(number, channels):
    figure = show_filters(torch.ones(number, channels, 3, 3, dtype=torch.float16))
    assert len(visible(figure)) == number + (channels == 1)
    assert_is_tidy(figure)


@pytest.mark.parametrize("weight", [nn.Conv2d(16, 8, 3).weight, torch.zeros(4, 4)])
def test_deeper_filters_are_refused(weight):
    with pytest.raises(ValueError, match="1 or 3 channels"):
        show_filters(weight)


def test_filters_of_what_has_none():
    with pytest.raises(TypeError, match=r"Conv2d; pass its \.weight"):
        show_filters(nn.Conv2d(3, 4, 3))
    with pytest.raises(TypeError, match="list"):
        show_filters([1])
    with pytest.raises(ValueError, match="NaN"):
        show_filters(torch.full((1, 1, 2, 2), float("nan")))


# --- show_feature_maps ------------------------------------------------------------------------


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 20, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Sequential(nn.Conv2d(20, 4, 3)),
        nn.Flatten(),
    )


IMAGE = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(1))


def test_maps_are_what_the_layer_puts_out_before_an_inplace_relu(net):
    figure = show_feature_maps(net, IMAGE, net[0])
    with torch.no_grad():
        expected = net[0](IMAGE[None])[0]
    *cells, bar = visible(figure)
    for i, ax in enumerate(cells):
        np.testing.assert_allclose(ax.images[0].get_array(), expected[i], rtol=1e-5, atol=1e-6)
    limit = expected[:16].abs().max().item()
    assert {ax.images[0].get_clim() for ax in cells} == {cells[0].images[0].get_clim()}
    assert cells[0].images[0].get_clim() == pytest.approx((-limit, limit))
    assert titles(figure)[:2] == ["channel 0", "channel 1"] and len(cells) == 16
    assert heading(figure) == "Feature maps of layer 0 (Conv2d): 16 of 20 channels"
    assert bar.get_ylabel() == "activation"
    assert_is_tidy(figure)


def test_maps_after_dropout_are_those_of_eval_mode(net):
    figure = show_feature_maps(net, IMAGE, net[2], count=20)
    with torch.no_grad():
        expected = net[0](IMAGE[None])[0].relu()
    *cells, _ = visible(figure)
    for ax, picture in zip(cells, expected, strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), picture, rtol=1e-5, atol=1e-6)
    assert cells[0].images[0].get_clim()[0] == 0
    assert heading(figure) == "Feature maps of layer 2 (Dropout)"


def test_a_layer_within_a_layer(net):
    shown = [pixels_of_maps(show_feature_maps(net, IMAGE, layer)) for layer in (net[3], net[3][0])]
    assert shown[0].shape == (4, 4, 4) and (shown[0] == shown[1]).all()


def pixels_of_maps(figure):
    return np.stack([np.asarray(ax.images[0].get_array()) for ax in visible(figure)[:-1]])


def test_the_net_is_left_as_it_was(net):
    net[2].eval()
    before = weights(net)
    state = torch.get_rng_state()
    show_feature_maps(net.requires_grad_(), IMAGE.clone().requires_grad_(), net[0])
    assert [net.training, net[0].training, net[2].training] == [True, True, False]
    assert not any(module._forward_hooks for module in net.modules())
    assert has_weights(net, before)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(RuntimeError):
        show_feature_maps(net, torch.zeros(7, 6, 6), net[0])
    assert net.training and not any(module._forward_hooks for module in net.modules())


def test_maps_of_other_dtypes(net):
    assert_is_tidy(show_feature_maps(net.double(), IMAGE, net[0], count=1))
    assert_is_tidy(show_feature_maps(net.bfloat16(), IMAGE, net[1], count=9))


def test_maps_that_are_all_zero():
    net = nn.Sequential(nn.ReLU())
    figure = show_feature_maps(net, -torch.ones(2, 3, 3), net[0])
    assert visible(figure)[0].images[0].get_clim() == (0, 1)
    assert_is_tidy(figure)


@pytest.mark.parametrize(
    ("image", "i", "message"),
    [
        (IMAGE[None], 0, r"one image \(C, H, W\).*X\[0\]"),
        (IMAGE[0], 0, "one image"),
        (IMAGE, 4, r"\(1, 64\).*before the network is flattened"),
        (IMAGE * float("nan"), 0, "(?s)^第 0 层里有 NaN.*\nlayer 0 holds NaN"),
    ],
)
def test_maps_that_are_refused(net, image, i, message):
    with pytest.raises(ValueError, match=message):
        show_feature_maps(net, image, net[i])


def test_the_whole_network_is_named_in_both_languages():
    whole = nn.Sequential(nn.Flatten())
    with pytest.raises(ValueError, match=r"(?s)^整个网络的输出.*\nThe output of the whole network"):
        show_feature_maps(whole, IMAGE, whole)
    whole = nn.Sequential(nn.ReLU())
    figure = show_feature_maps(whole, IMAGE, whole)
    assert heading(figure) == "Feature maps of the whole network (Sequential)"


def test_a_layer_of_another_net_is_refused(net):
    with pytest.raises(ValueError, match="ReLU is not a layer"):
        show_feature_maps(net, IMAGE, nn.ReLU())


def test_maps_of_a_layer_that_is_not_used():
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            self.spare = nn.Conv2d(3, 3, 1)

        def forward(self, X):
            return X

    lazy = Lazy()
    with pytest.raises(ValueError, match="did not use layer spare"):
        show_feature_maps(lazy, IMAGE, lazy.spare)


def test_wrong_types_and_counts_of_maps(net):
    with pytest.raises(TypeError, match="ndarray"):
        show_feature_maps(net, IMAGE.numpy(), net[0])
    with pytest.raises(TypeError, match=r"net\[0\]"):
        show_feature_maps(net, IMAGE, 0)
    with pytest.raises(ValueError, match="count"):
        show_feature_maps(net, IMAGE, net[0], count=0)


def test_descriptions_of_filters_and_maps(net):
    weight = torch.tensor([[[[-0.5, 0.25]]], [[[0.0, 2.0]]]])
    assert "2 filters of 1×2 for 1 input channel, weights from -0.5 to 2" in (
        show_filters(weight).get_label()
    )
    with torch.no_grad():
        net[0].weight[7] *= 100
    assert "channel 7 responds most" in show_feature_maps(net, IMAGE, net[0]).get_label()
