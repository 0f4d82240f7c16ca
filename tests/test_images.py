"""What grids of images hold: pixels, captions, frames, descriptions."""

import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from figures import (
    CLASSES,
    DATA,
    MEAN,
    STD,
    a_data_set,
    assert_is_tidy,
    drawn,
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

import d2lhelpers as d2l

show_images, show_worst = drawn(d2l.show_images), drawn(d2l.show_worst)


pytestmark = pytest.mark.usefixtures("no_figure_is_left")


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
        figure = show_images(X, data=a_data_set(mean=given_mean, std=given_std))
        np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=1e-4)
        plt.close(figure)


def test_uint8_needs_no_normalisation_undone():
    images = raw(2)
    np.testing.assert_allclose(pixels_of(show_images(images, data=DATA)), shown_as(images))


def test_data_of_ones_own_need_not_have_names():
    images, data = raw(2), types.SimpleNamespace(mean=0.0, std=2.0)
    figure = show_images(images / 510, [3, 1], data=data)
    np.testing.assert_allclose(pixels_of(figure), shown_as(images), atol=1e-5)
    assert (titles(figure), heading(figure)) == (["3", "1"], "")


def test_denormalised_values_are_clipped():
    data = a_data_set(mean=0.5, std=0.25)
    figure = show_images(torch.tensor([[[[-9.0, 9.0, 0.0]]]]), data=data)
    assert pixels_of(figure).ravel().tolist() == [0.0, 1.0, 0.5]


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
    ],
)
def test_labels_in_every_form(labels):
    assert titles(show_images(raw(3), labels, data=DATA)) == ["cat", "dog", "airplane"]
    assert titles(show_images(raw(3), labels)) == ["3", "5", "0"]
    assert titles(show_images(raw(3), predictions=labels, data=DATA)) == ["cat", "dog", "airplane"]


@pytest.mark.parametrize("label", [7, torch.tensor(7), np.int64(7)])
def test_one_image_and_its_label(label):
    assert titles(show_images(raw(1, 1)[0], label)) == ["7"]


def test_mistakes_have_a_mark_a_frame_and_the_true_class():
    figure = show_images(raw(3), torch.tensor([5, 3, 1]), torch.tensor([3, 3, 0]), data=DATA)
    assert [title.split() for title in titles(figure)] == [
        ["✗", "cat", "(dog)"],
        ["cat"],
        ["✗", "airplane", "(automobile)"],
    ]
    framed = [ax.spines["left"].get_visible() for ax in visible(figure)]
    assert framed == [True, False, True]
    wrong, right, also_wrong = (to_hex(ax.title.get_color()) for ax in visible(figure))
    assert wrong == also_wrong != right
    assert_is_tidy(figure)


def test_long_names_are_broken():
    data = a_data_set(classes=("a class with a very long name indeed", "x"))
    title = "A rather long title " * 9
    assert_is_tidy(show_images(raw(16), [0] * 16, [1] * 16, data=data, title=title))


@pytest.mark.parametrize("channels_last", [np.zeros((5, 8, 8, 3)), np.zeros((8, 8, 1))])
def test_channels_last_is_refused(channels_last):
    with pytest.raises(ValueError, match=r"channels last.*images\.transpose\("):
        show_images(channels_last)
    with pytest.raises(ValueError, match=r"images\.permute\("):
        show_images(torch.tensor(channels_last))


@pytest.mark.parametrize("shape", [(5,), (2, 4, 8, 8), (1, 2, 3, 8, 8), (0, 3, 8, 8), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(N, C, H, W\)"):
        show_images(np.zeros(shape))


@pytest.mark.parametrize("value", [-0.1, 1.1, 255.0])
def test_floats_outside_the_unit_range_need_a_normalisation(value):
    with pytest.raises(ValueError, match="pass data="):
        show_images(torch.full((2, 3, 4, 4), value))


def test_data_without_a_normalisation_is_refused():
    with pytest.raises(TypeError, match="without mean and std"):
        show_images(torch.zeros(2, 3, 4, 4), data=[])
    with pytest.raises(TypeError, match="without mean and std"):
        show_images(torch.zeros(2, 3, 4, 4), data=types.SimpleNamespace(mean=None, std=None))


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
    with pytest.raises(TypeError, match="labels must hold ints"):
        show_images(raw(2), [0.5, 1.0])
    with pytest.raises(TypeError, match="labels must hold ints"):
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
    ("change", "message"),
    [
        ({"mean": [0.5, 0.5]}, "mean must hold one number, or one for each of the 3"),
        ({"std": torch.ones(3, 1, 1)}, "std must hold one number"),
    ],
)
def test_the_normalisation_of_other_images_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        show_images(torch.zeros(2, 3, 4, 4), data=a_data_set(**change))


def test_nothing_is_drawn_when_refused():
    with pytest.raises(ValueError, match="labels"):
        show_images(raw(2), [1])
    assert plt.get_fignums() == []


def test_the_description_names_what_is_shown():
    labels, predictions = torch.tensor([5, 3, 1]), torch.tensor([3, 3, 0])
    assert show_images(raw(3), labels, data=DATA).get_label() == (
        "CIFAR-10 (JPEG copy): 3 images, in order: dog, cat, automobile."
    )
    mistakes = show_images(raw(3), labels, predictions, data=DATA).get_label()
    assert (
        "1 predicted right; mistakes: dog taken for cat, automobile taken for airplane" in mistakes
    )
    assert show_images(raw(20)).get_label() == "16 of 20: 16 images."


# --- show_worst -------------------------------------------------------------------------------


def data_of(images, labels):
    dataset = types.SimpleNamespace(images=images, labels=labels)
    return a_data_set(test=types.SimpleNamespace(dataset=dataset))


def test_worst_mistakes_come_first():
    images, labels = raw(n=20), torch.zeros(20, dtype=torch.int64)
    scores = torch.zeros(20, 10)
    scores[7, 3], scores[2, 1], scores[5, 0] = 9, 5, 9  # two mistakes, one sure answer
    figure = show_worst(scores, labels, data=data_of(images, labels))
    assert heading(figure).startswith("Largest losses on the test set — CIFAR-10 (JPEG copy)")
    assert len(visible(figure)) == 16
    assert [title.split() for title in titles(figure)[:2]] == [
        ["✗", "cat", "(airplane)"],
        ["✗", "automobile", "(airplane)"],
    ]
    assert np.allclose(pixels_of(figure)[0], images[7].permute(1, 2, 0) / 255)


def test_scores_of_other_images_are_refused():
    labels = torch.arange(20) % 10
    data = data_of(raw(n=20), labels)
    scores = torch.nn.functional.one_hot(labels, 10).float()
    shuffled = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    for kept in (slice(19), shuffled, torch.arange(20).flip(0)):  # fewer, another order
        with pytest.raises(ValueError, match="not the scores of the 20 test images"):
            show_worst(scores[kept], labels[kept], data=data)
    with pytest.raises(ValueError, match="not the scores of the 20 test images"):
        show_worst(scores[:19], labels, data=data)
    show_worst(scores, labels, data=data)


def test_scores_as_arrays_are_as_good():
    labels = torch.arange(20) % 10
    scores = torch.nn.functional.one_hot(labels, 10).float()
    given = scores.numpy(), labels.numpy().astype(np.int32)
    assert len(visible(show_worst(*given, data=data_of(raw(n=20), labels)))) == 16


NOT_SHOWN = {
    "NaN": {"scores": torch.full((4, 10), torch.nan)},
    r"expected \(N, K\)": {"scores": torch.zeros(4)},
    "each image and class": {"scores": torch.zeros(4, 3)},
    "scores must be a tensor": {"scores": [[0.0] * 10] * 4},
    "labels must be a tensor": {"labels": [0, 1, 2, 3]},
    "data with a test set": {"data": a_data_set(test=None)},
    "data of your own": {"data": a_data_set(test=[(raw(n=4), torch.arange(4))])},
    "no test images": {"data": a_data_set(test=types.SimpleNamespace(dataset=[1, 2, 3, 4]))},
}


@pytest.mark.parametrize("message", NOT_SHOWN)
def test_worst_of_what_cannot_be_looked_up_is_refused(message):
    given = {"scores": torch.zeros(4, 10), "labels": torch.arange(4)}
    given |= {"data": data_of(raw(n=4), torch.arange(4))}
    show_worst(**given)
    with pytest.raises((ValueError, TypeError), match=message):
        show_worst(**given | NOT_SHOWN[message])
