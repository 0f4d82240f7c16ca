"""What pictures hold: pixels, captions, frames."""

import types

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from figures import (
    CLASSES,
    DATA,
    MEAN,
    STD,
    assert_is_tidy,
    heading,
    normalised,
    pixels_of,
    raw,
    shown_as,
    titles,
    visible,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from torch import nn

from d2lhelpers import show_feature_maps, show_filters, show_images, show_worst


@pytest.fixture(autouse=True)
def no_figure_is_left():
    settings_before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == settings_before


# --- show_images ------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [torch.tensor, np.array], ids=["tensor", "array"])
def test_uint8_and_unit_floats_are_shown_as_they_are(channels, kind):
    images = raw(4, channels)
    for images_given in (kind(images.numpy()), kind(images.numpy() / 255)):
        figure = show_images(images_given)
        np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=1e-6)
        if channels == 1:
            for ax in visible(figure):
                assert ax.images[0].get_clim() == (0, 1)
                assert ax.images[0].get_cmap().name == "gray"
        assert_is_tidy(figure)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_normalised_images_are_shown_in_their_true_colours(dtype):
    images = raw(4)
    figure = show_images(normalised(images).to(dtype), data=DATA)
    error = {torch.float16: 1 / 255, torch.bfloat16: 2 / 255}.get(dtype, 1e-5)
    np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=error)


@settings(max_examples=15)
@given(st.integers(0, 99), st.sampled_from([1, 3]), st.floats(0.01, 0.99), st.floats(0.01, 2))
def test_any_normalisation_is_undone(seed, channels, mean, std):
    images = raw(2, channels, seed=seed)
    X = normalised(images, torch.full((channels,), mean), torch.full((channels,), std))
    for given_mean, given_std in ((mean, std), ([mean] * channels, np.full(channels, std))):
        figure = show_images(X, mean=given_mean, std=given_std)
        np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=1e-4)
        plt.close(figure)


def test_uint8_needs_no_normalisation_undone():
    images = raw(2)
    np.testing.assert_allclose(pixels_of(show_images(images, data=DATA)), shown_as(images))


def test_denormalised_values_are_clipped():
    figure = show_images(torch.tensor([[[[-9.0, 9.0, 0.0]]]]), mean=0.5, std=0.25)
    assert pixels_of(figure).ravel().tolist() == [0.0, 1.0, 0.5]


def test_explicit_mean_and_std_go_before_those_of_data():
    images = raw(2)
    X = normalised(images, torch.zeros(3), torch.ones(3) * 2)
    figure = show_images(X, data=DATA, mean=0.0, std=2.0)
    np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=1e-5)


def test_all_accepted_shapes():
    images = raw(5, 1)
    for shaped, count in (
        (images, 5),
        (images[:, 0], 5),  # (N, H, W)
        (images[0], 1),  # (1, H, W)
        (images[0, 0], 1),  # (H, W)
    ):
        assert pixels_of(show_images(shaped)).shape == (count, 6, 6)
        np.testing.assert_allclose(pixels_of(show_images(shaped)), shown_as(images)[:count])
    assert pixels_of(show_images(raw(1)[0])).shape == (1, 6, 6, 3)


def test_gradients_and_other_memory_layouts():
    images = raw(4)
    X = normalised(images).to(memory_format=torch.channels_last).requires_grad_()
    np.testing.assert_allclose(pixels_of(show_images(X, data=DATA)), shown_as(images), atol=1e-5)
    frozen = images.numpy()[::-1]
    frozen.flags.writeable = False
    np.testing.assert_allclose(pixels_of(show_images(frozen)), shown_as(frozen))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_on_a_gpu():
    images = raw(4)
    labels = torch.tensor([1, 2, 3, 4], device="cuda")
    data = types.SimpleNamespace(mean=MEAN.cuda(), std=STD.cuda(), classes=CLASSES, source="x")
    figure = show_images(normalised(images).cuda(), labels, labels, data=data)
    np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=1e-5)


def test_fewer_images_than_cells():
    figure = show_images(raw(11))
    assert len(visible(figure)) == 11 and len(figure.axes) == 16
    assert heading(figure) == ""
    assert len(show_images(raw(3)).axes) == 3
    assert_is_tidy(figure)


def test_more_images_than_cells():
    images = raw(100)
    figure = show_images(images)
    np.testing.assert_allclose(pixels_of(figure), shown_as(images[:16]))
    assert heading(figure) == "16 of 100"
    assert heading(show_images(images, rows=1, columns=3, title="A")) == "A (3 of 100)"
    assert "of" not in heading(show_images(images[:16], title="All"))


def test_the_title_names_the_source():
    assert heading(show_images(raw(16), data=DATA)) == "CIFAR-10 (JPEG copy)"
    figure = show_images(raw(40), data=DATA, title="Test images")
    assert heading(figure) == "Test images — CIFAR-10 (JPEG copy) (16 of 40)"


@pytest.mark.parametrize(
    "labels",
    [
        [3, 5, 0],
        (3, 5, 0),
        torch.tensor([3, 5, 0]),
        list(torch.tensor([3, 5, 0])),
        np.array([3, 5, 0], dtype=np.uint8),
        ["cat", "dog", "airplane"],
    ],
)
def test_labels_in_every_form(labels):
    assert titles(show_images(raw(3), labels, data=DATA)) == ["cat", "dog", "airplane"]
    assert titles(show_images(raw(3), labels, classes=CLASSES)) == ["cat", "dog", "airplane"]
    assert titles(show_images(raw(3), predictions=labels, data=DATA)) == ["cat", "dog", "airplane"]


@pytest.mark.parametrize("label", [7, torch.tensor(7), np.int64(7), "7"])
def test_one_image_and_its_label(label):
    assert titles(show_images(raw(1, 1)[0], label)) == ["7"]


def test_mistakes_have_a_mark_a_frame_and_the_true_class():
    figure = show_images(raw(3), torch.tensor([5, 3, 1]), torch.tensor([3, 3, 0]), data=DATA)
    assert titles(figure) == ["✗ cat\n(dog)", "cat", "✗ airplane\n(automobile)"]
    framed = [ax.spines["left"].get_visible() for ax in visible(figure)]
    assert framed == [True, False, True]
    assert to_hex(visible(figure)[0].title.get_color()).upper() == "#D55E00"
    assert to_hex(visible(figure)[1].title.get_color()) == "#000000"
    assert_is_tidy(figure)


def test_strings_against_ints():
    figure = show_images(raw(2), ["cat", "dog"], [3, 3], data=DATA)
    assert titles(figure) == ["cat", "✗ cat\n(dog)"]


def test_long_names_are_broken():
    names = ["a class with a very long name indeed"] * 16
    assert_is_tidy(show_images(raw(16), names, ["x"] * 16, title="A rather long title " * 9))


@pytest.mark.parametrize("channels_last", [np.zeros((5, 8, 8, 3)), np.zeros((8, 8, 1))])
def test_channels_last_is_refused(channels_last):
    with pytest.raises(ValueError, match=r"channels last.*Expected.*images\.transpose\("):
        show_images(channels_last)
    with pytest.raises(ValueError, match=r"images\.permute\("):
        show_images(torch.tensor(channels_last))


@pytest.mark.parametrize("shape", [(5,), (2, 4, 8, 8), (1, 2, 3, 8, 8), (0, 3, 8, 8), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="Expected"):
        show_images(np.zeros(shape))


@pytest.mark.parametrize("value", [-0.1, 1.1, 255.0])
def test_floats_outside_the_unit_range_need_a_normalisation(value):
    with pytest.raises(ValueError, match="pass data="):
        show_images(torch.full((2, 3, 4, 4), value))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("data", [None, DATA])
def test_nan_and_infinity_are_refused(value, data):
    images = torch.zeros(2, 3, 4, 4)
    images[1, 0, 0, 0] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        show_images(images, data=data)


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match="uint8"):
        show_images(torch.zeros(2, 3, 4, 4, dtype=torch.long))
    with pytest.raises(TypeError, match="list"):
        show_images([[0.0]])
    with pytest.raises(TypeError, match="labels must hold ints or strings"):
        show_images(raw(2), [0.5, 1.0])
    with pytest.raises(TypeError, match="labels must hold ints or strings"):
        show_images(raw(1), 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [1]}, "labels holds 1 classes for 2"),
        ({"labels": [1, 2, 3]}, "3 classes for 2"),
        ({"predictions": [1, 10], "data": DATA}, "predictions holds 10, but there are 10"),
        ({"labels": [1, -1], "data": DATA}, "holds -1"),
        ({"predictions": torch.zeros(2, 10)}, r"argmax\(1\)"),
        ({"rows": 0}, "at least 1"),
        ({"columns": 0}, "at least 1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        show_images(raw(2), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": 0.5}, "belong together"),
        ({"std": 0.5}, "belong together"),
        ({"mean": [0.5, 0.5], "std": 1.0}, "mean must hold one number, or one for each of the 3"),
        ({"mean": 0.5, "std": torch.ones(3, 1, 1)}, "std must hold one number"),
    ],
)
def test_a_mean_that_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        show_images(torch.zeros(2, 3, 4, 4), **options)


def test_nothing_is_drawn_when_refused():
    with pytest.raises(ValueError, match="labels"):
        show_images(raw(2), [1])
    assert plt.get_fignums() == []


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
    figure = show_filters(layer, title="T")
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


@pytest.mark.parametrize("layer", [nn.Conv2d(16, 8, 3), nn.Linear(3, 3), torch.zeros(4, 4)])
def test_deeper_filters_are_refused(layer):
    with pytest.raises(ValueError, match="1 or 3 channels"):
        show_filters(layer)


def test_filters_of_what_has_none():
    with pytest.raises(TypeError, match="ReLU has no weight"):
        show_filters(nn.ReLU())
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
    figure = show_feature_maps(net, IMAGE, 0)
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
    figure = show_feature_maps(net, IMAGE, 2, count=20)
    with torch.no_grad():
        expected = net[0](IMAGE[None])[0].relu()
    *cells, _ = visible(figure)
    for ax, picture in zip(cells, expected, strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), picture, rtol=1e-5, atol=1e-6)
    assert cells[0].images[0].get_clim()[0] == 0
    assert heading(figure) == "Feature maps of layer 2 (Dropout)"


def test_a_layer_by_number_name_or_itself(net):
    shown = [
        pixels_of_maps(show_feature_maps(net, IMAGE, layer))
        for layer in (3, -2, "3", "3.0", net[3], net[3][0])
    ]
    assert shown[0].shape == (4, 4, 4)
    assert all((maps == shown[0]).all() for maps in shown)


def pixels_of_maps(figure):
    return np.stack([np.asarray(ax.images[0].get_array()) for ax in visible(figure)[:-1]])


def test_a_shared_layer_by_either_name(net):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 3, 1)
            self.second = self.first

        def forward(self, X):
            return self.second(self.first(X))

    assert heading(show_feature_maps(Twice(), IMAGE, "second")).startswith(
        "Feature maps of layer second"
    )


def test_the_net_is_left_as_it_was(net):
    net[2].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    show_feature_maps(net.requires_grad_(), IMAGE.clone().requires_grad_(), 0)
    assert [net.training, net[0].training, net[2].training] == [True, True, False]
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(RuntimeError):
        show_feature_maps(net, torch.zeros(7, 6, 6), 0)
    assert net.training and not any(module._forward_hooks for module in net.modules())


def test_maps_of_other_dtypes(net):
    assert_is_tidy(show_feature_maps(net.double(), IMAGE, 0, count=1))
    assert_is_tidy(show_feature_maps(net.bfloat16(), IMAGE, 1, count=9))


def test_maps_that_are_all_zero():
    figure = show_feature_maps(nn.Sequential(nn.ReLU()), -torch.ones(2, 3, 3), 0)
    assert visible(figure)[0].images[0].get_clim() == (0, 1)
    assert_is_tidy(figure)


@pytest.mark.parametrize(
    ("image", "layer", "message"),
    [
        (IMAGE[None], 0, r"one image \(C, H, W\).*X\[0\]"),
        (IMAGE[0], 0, "one image"),
        (IMAGE, 5, "5 direct children; got 5"),
        (IMAGE, "body", "no layer named 'body'. It has: 0, 1, 2, 3, 3.0, 4"),
        (IMAGE, nn.ReLU(), "ReLU is not a layer"),
        (IMAGE, 4, r"\(1, 64\).*before the network is flattened"),
        (IMAGE * float("nan"), 0, "NaN"),
    ],
)
def test_maps_that_are_refused(net, image, layer, message):
    with pytest.raises(ValueError, match=message):
        show_feature_maps(net, image, layer)


def test_maps_of_a_layer_that_is_not_used():
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            self.spare = nn.Conv2d(3, 3, 1)

        def forward(self, X):
            return X

    with pytest.raises(ValueError, match="did not use layer spare"):
        show_feature_maps(Lazy(), IMAGE, "spare")


def test_wrong_types_and_counts_of_maps(net):
    with pytest.raises(TypeError, match="ndarray"):
        show_feature_maps(net, IMAGE.numpy(), 0)
    with pytest.raises(TypeError, match="float"):
        show_feature_maps(net, IMAGE, 0.0)
    with pytest.raises(ValueError, match="count"):
        show_feature_maps(net, IMAGE, 0, count=0)


def test_worst_mistakes_come_first():
    images = raw(n=20)
    test = types.SimpleNamespace(dataset=types.SimpleNamespace(images=images))
    data = types.SimpleNamespace(test=test, **vars(DATA))
    labels = torch.zeros(20, dtype=torch.int64)
    scores = torch.zeros(20, 10)
    scores[7, 3], scores[2, 1], scores[5, 0] = 9, 5, 9  # two mistakes, one sure answer
    figure = show_worst(scores, labels, data=data)
    assert heading(figure).startswith("Largest losses on the test set — CIFAR-10 (JPEG copy)")
    assert len(visible(figure)) == 16
    assert [ax.get_title() for ax in visible(figure)[:2]] == [
        "✗ cat\n(airplane)",
        "✗ automobile\n(airplane)",
    ]
    assert np.allclose(pixels_of(figure)[0], images[7].permute(1, 2, 0) / 255)
    with pytest.raises(ValueError, match="19 rows for 20 test images"):
        show_worst(scores[:19], labels[:19], data=data)
