"""What cannot work is refused before the first step, in words."""

import json
import math
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler
from toys import has_weights, numbers, toy_data, toy_net, weights

import d2lhelpers as d2l
from d2lhelpers.optimizers import check_schedule, move_state

pytestmark = pytest.mark.usefixtures("runs_folder")


def refused(match, net=None, data=None, **arguments):
    """``train`` refuses in both languages, with the weights as they were."""
    net = net or toy_net()
    before = weights(net)
    with pytest.raises(ValueError, match=match) as caught:
        d2l.train(net, data or toy_data(), **{"epochs": 2} | arguments)
    assert "。" in str(caught.value)
    assert has_weights(net, before)


# ------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0, "lr": 0.1}, "at least 1"),
        ({"epochs": 1.0, "lr": 0.1}, "epochs is 1.0"),
        ({"epochs": "2", "lr": 0.1}, "epochs is '2'"),
        ({"seed": 0.5, "lr": 0.1}, "seed is 0.5"),
        ({"lr": "0.1"}, "lr is '0.1'"),
        ({"seed": 2**64, "lr": 0.1}, "seed is 18446744073709551616"),
        ({"checkpoint": True, "lr": 0.1}, "True is a bool"),
        ({"checkpoint": "", "lr": 0.1}, "is a folder"),
        ({"checkpoint": ".", "lr": 0.1}, "is a folder"),
        ({"lr": -0.1}, "lr is -0.1"),
        ({"lr": math.nan}, "lr is nan"),
        ({"lr": torch.ones(2)}, "lr is tensor"),
        ({"epochs": True, "lr": 0.1}, "epochs is True"),
        ({"lr": True}, "lr is True"),
        ({"lr": 0.1, "seed": True}, "seed is True"),
        ({"lr": 0.1, "device": "gpu"}, "device is 'gpu'"),
        ({"lr": 0.1, "device": "cuda:99"}, "device is 'cuda:99'"),
        ({"lr": 0.1, "name": 3}, "name is 3"),
        ({"lr": 0.1, "name": ""}, "name is ''"),
        ({"lr": 0.1, "name": "/run"}, "name is '/run'"),
        ({"lr": 0.1, "name": "a/../../run"}, "below runs"),
        ({"epochs": 1}, "exactly one"),
        ({"epochs": 1, "lr": 0.1, "precision": "float8"}, "float8"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    refused(message, **arguments)


@pytest.mark.parametrize("lr", [np.float32(0.5), np.float64(0.5), torch.tensor(0.5), np.array(0.5)])
@pytest.mark.parametrize("whole", [np.int64, torch.tensor])
def test_numbers_are_numbers_wherever_they_come_from(lr, whole):
    plain = d2l.train(toy_net(), toy_data(), epochs=2, lr=0.5, seed=3)
    history = d2l.train(toy_net(), toy_data(), epochs=whole(2), lr=lr, seed=whole(3))
    assert numbers(history) == numbers(plain)
    record = json.loads((Path(history.log_dir) / "run.json").read_text())
    assert record["seed"] == 3 and record["learning_rate"] == [0.5, 0.5]


@pytest.mark.parametrize("lr", [np.float32(0.5), torch.tensor(0.5)])
def test_a_rate_within_an_optimizer_is_recorded_as_a_number(lr):
    net = toy_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    history = d2l.train(net, toy_data(), epochs=2, optimizer=optimizer, schedule=schedule)
    record = json.loads((Path(history.log_dir) / "run.json").read_text())
    assert record["learning_rate"] == pytest.approx([0.5 / 3, 0.5 / 6])


def make_nothing():
    raise AssertionError("a net was made")


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Flatten, r"a class; add brackets, Flatten\(\)"),
        (None, "NoneType"),
        ([nn.Flatten(), nn.Linear(16, 3)], r"nn.Sequential\(\*layers\)"),
        (make_nothing, "function"),
    ],
)
@pytest.mark.parametrize("call", [d2l.train, d2l.train_by_protocol, d2l.predict, d2l.evaluate])
def test_what_is_no_net_is_named(call, net, message):
    arguments = {"epochs": 1, "lr": 0.1} if "train" in call.__name__ else {}
    if call is d2l.train_by_protocol:
        arguments |= {"seed": 0, "name": "a/b/c"}
    data = toy_data() if arguments else toy_data().test
    with pytest.raises(ValueError, match=message):
        call(net, data, **arguments)


def test_net_and_data_swapped_are_named():
    with pytest.raises(ValueError, match="swapped"):
        d2l.train(toy_data(), toy_net(), epochs=1, lr=0.1)


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Flatten(), nn.Linear(16, 3)]


@pytest.mark.parametrize(
    ("net", "message"), [(nn.Flatten(), "nn.Linear"), (Listed(), r"self.layers.*nn.ModuleList")]
)
def test_a_net_without_parameters_is_named(net, message):
    refused(message, net=net, lr=0.1)


# --------------------------------------------------------------------------------------- data


class Stream(IterableDataset):
    """Images of which nobody knows how many there are."""

    def __init__(self, samples):
        X, y = toy_data().test.dataset.tensors
        self.samples = list(zip(X, y, strict=True))[:samples]

    def __iter__(self):
        return iter(self.samples)


@pytest.mark.parametrize(
    ("loaders", "message"),
    [
        ({"test": None}, "validation and data.test are both None"),
        ({"train": None}, "without data.train"),
        ({"train": DataLoader([], 4)}, "data.train is empty"),
        ({"train": []}, "data.train is empty"),
        ({"test": []}, "data.test is empty"),
        ({"validation": []}, "data.validation is empty"),
        ({"test": DataLoader(Stream(0), 4)}, "data.test is empty"),
        ({"train": iter([])}, "data.train is a list_iterator"),
        ({"test": (batch for batch in toy_data().test)}, "data.test is a generator"),
        ({"test": [{"image": 1, "label": 2}]}, "data.test yields a dict"),
        ({"train": lambda: None}, "data.train is a function"),
        ({"train": 32}, "data.train is a int"),
        ({"test": DataLoader}, "data.test is a type"),
        ({"test": [(np.zeros((2, 1, 4, 4)), np.zeros(2))]}, "ndarray, ndarray"),
    ],
)
def test_loaders_that_cannot_do_are_named(loaders, message):
    refused(message, data=toy_data(**loaders), lr=0.1)


def relabelled(change, loader="train"):
    """Toy data whose mini-batches (X, y) are what ``change`` makes of them, in one loader."""
    batches = [change(X, y) for X, y in toy_data().test]
    return toy_data(**{loader: batches})


WRONG_BATCHES = {
    "labels .* torch.float32": lambda X, y: (X, y.float()),
    r"labels .* \(4, 1\).*flatten": lambda X, y: (X, y[:, None]),
    r"labels .* \(4, 3\).*argmax": lambda X, y: (X, nn.functional.one_hot(y, 3)),
    r"labels .* \(4, 3\) .*float32.*argmax": lambda X, y: (X, nn.functional.one_hot(y, 3) * 1.0),
    "labels .* torch.bool": lambda X, y: (X, y > 1),
    "labels .* from 1 to 3": lambda X, y: (X, y + 1),
    "labels .* from -1 to 1": lambda X, y: (X, y - 1),
    "images .* torch.uint8.*/ 255": lambda X, y: (X.to(torch.uint8), y),
    "images .* torch.float64": lambda X, y: (X.double(), y),
    "4 images but 3 labels|2 images but 1 labels": lambda X, y: (X, y[1:]),
    r"tuple \(Tensor, Tensor, Tensor\)": lambda X, y: (X, y, y),
    "yields a dict": lambda X, y: {"image": X, "label": y},
    "ndarray, ndarray": lambda X, y: (X.numpy(), y.numpy()),
}


@pytest.mark.parametrize("message", WRONG_BATCHES)
def test_wrong_batches_are_named(message):
    change = WRONG_BATCHES[message]
    refused(
        f"data.train(?s:.*)({message})|({message})(?s:.*)data.train",
        data=relabelled(change),
        lr=0.1,
    )
    if not message.startswith("images"):
        for loader in ("test", "validation"):
            refused(f"data.{loader}", data=relabelled(change, loader), lr=0.1)
            refused(message, data=relabelled(change, loader), lr=0.1)
    loader = relabelled(change).train
    with pytest.raises(ValueError, match=message) as caught:
        d2l.evaluate(toy_net(), loader)
    assert "。" in str(caught.value)


def test_a_dataset_is_no_loader():
    dataset = toy_data().test.dataset
    pairs = [(X, int(y)) for X, y in dataset]
    refused("data.train is a dataset", data=toy_data(train=dataset), lr=0.1)
    refused("data.test is a dataset", data=toy_data(test=dataset), lr=0.1)
    refused(r"tuple \(Tensor, int\)", data=toy_data(train=pairs), lr=0.1)
    with pytest.raises(ValueError, match="is a dataset"):
        d2l.predict(toy_net(), dataset)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_class_indices_may_be_of_any_integer_type(dtype):
    change = lambda X, y: (X, y.to(dtype))  # noqa: E731
    data, plain = relabelled(change), relabelled(lambda X, y: (X, y))
    data.test = data.train
    expected = d2l.train(toy_net(), plain, epochs=2, lr=0.1)
    assert numbers(d2l.train(toy_net(), data, epochs=2, lr=0.1)) == numbers(expected)


def test_a_net_that_makes_floats_itself_may_have_other_images():
    class Scaling(nn.Sequential):
        def forward(self, X):
            return super().forward(X.float() / 255)

    data = relabelled(lambda X, y: (X.to(torch.uint8), y))
    d2l.train(Scaling(nn.Flatten(), nn.Linear(16, 3)), data, epochs=1, lr=0.1)


@pytest.mark.parametrize("net", [nn.Linear(4, 3), nn.Sequential(nn.Flatten(), nn.Linear(16, 1))])
def test_scores_of_another_shape_are_named(net):
    refused("class scores", net=net, lr=0.1)
    with pytest.raises(ValueError, match="class scores"):
        d2l.evaluate(net, toy_data().test)


def test_a_net_whose_scores_have_no_gradient_is_named():
    class Detached(nn.Linear):
        def forward(self, X):
            return super().forward(X.flatten(1)).detach()

    refused("the net's scores have no gradient", net=Detached(16, 3), lr=0.1)


def test_gradients_switched_off_elsewhere_are_no_matter():
    expected = d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1)
    with torch.no_grad():
        assert numbers(d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1)) == numbers(expected)
        assert not torch.is_grad_enabled()


def test_data_without_loaders_is_refused():
    refused("tuple without data.train", data=(toy_data().train, toy_data().test), lr=0.1)


def test_lists_and_streams_are_loaders():
    X, y = toy_data().test.dataset.tensors
    batches = [(X[:4], y[:4]), (X[4:8], y[4:8]), (X[8:], y[8:])]
    expected = None
    for loader in (batches, tuple(batches), DataLoader(Stream(10), 4)):
        data = types.SimpleNamespace(train=loader, test=loader)
        history = d2l.train(toy_net(), data, epochs=2, lr=0.1)
        expected = expected or numbers(history)
        assert numbers(history) == expected and history.train_samples == 10


def normalised(size=16):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, size), nn.BatchNorm1d(size), nn.Linear(size, 3)
    )


def batches_of(*sizes):
    X, y = toy_data().test.dataset.tensors
    return list(zip(X.split(list(sizes)), y.split(list(sizes)), strict=True))


def batch_sampler(size, drop_last=False):
    dataset = toy_data().test.dataset
    batches = BatchSampler(SequentialSampler(dataset), size, drop_last)
    return DataLoader(dataset, batch_sampler=batches)


@pytest.mark.parametrize(
    "train",
    [
        batches_of(3, 3, 3, 1),
        batches_of(1, 9),
        DataLoader(toy_data().test.dataset, 3),
        batch_sampler(3),
    ],
)
def test_batch_norm_and_a_single_image(train):
    """Without batch normalisation, or with it within a larger map, one image is no fault."""
    net = normalised()
    refused("single image.*drop_last", net=net, data=toy_data(train=train), lr=0.1)
    d2l.train(toy_net(), toy_data(train=train), epochs=1, lr=0.1)
    over_maps = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(16, 3))
    d2l.train(over_maps, toy_data(train=train), epochs=1, lr=0.1)
    net[2].eval()  # frozen, it needs no statistics
    d2l.train(net, toy_data(train=train), epochs=1, lr=0.1)


@pytest.mark.parametrize(
    "train",
    [DataLoader(toy_data().test.dataset, 3, drop_last=True), batch_sampler(3, drop_last=True)],
)
def test_a_single_image_left_out_is_no_fault(train):
    assert d2l.train(normalised(), toy_data(train=train), epochs=1, lr=0.1).train_samples == 9


# ------------------------------------------------------------------------------ loss, optimiser


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.CrossEntropyLoss, r"nn.CrossEntropyLoss\(\)"),
        ("cross_entropy", "loss is 'cross_entropy'"),
        (nn.CrossEntropyLoss(reduction="none"), r"shape \(2,\)"),
        (nn.CrossEntropyLoss(reduction="sum"), "sum over the images"),
        (lambda scores, y: nn.functional.cross_entropy(scores, y) * len(y), "sum over the images"),
        (lambda scores, y: nn.functional.cross_entropy(scores, y).item(), "a float"),
        (lambda scores, y: nn.functional.cross_entropy(scores, y).detach(), "without a gradient"),
        (lambda scores, y: None, "a NoneType"),
        (lambda scores, y: (scores.sum(), y), "a tuple"),
    ],
)
def test_a_loss_that_is_none_is_refused(loss, message):
    refused(message, lr=0.1, loss=loss)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.BCEWithLogitsLoss(), "one_hot"),
        (lambda y, scores: nn.functional.cross_entropy(scores, y), "loss cannot take the scores"),
        (nn.CrossEntropyLoss(torch.ones(2)), "loss cannot take the scores"),
    ],
)
def test_a_loss_that_cannot_take_scores_and_labels_is_named(loss, message, tmp_path):
    refused(message, lr=0.1, loss=loss, checkpoint=tmp_path / "c.pt")
    assert not (tmp_path / "c.pt").exists()  # nor does it stand in the way of the next start
    d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1, checkpoint=tmp_path / "c.pt")


def test_a_label_out_of_range_in_a_later_batch_is_named():
    X, y = next(iter(toy_data().test))
    with pytest.raises(ValueError, match="go from 3 to 5"):
        d2l.train(toy_net(), toy_data(train=[(X, y), (X, y % 3 + 3)]), epochs=1, lr=0.1)


def squares(scores, y):
    return nn.functional.mse_loss(scores, nn.functional.one_hot(y, 3).float())


@pytest.mark.parametrize(
    "loss",
    [
        squares,
        nn.MultiMarginLoss(),
        nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 3.0]), label_smoothing=0.1),
        lambda scores, y: nn.functional.cross_entropy(scores, y) + scores.std(),
    ],
)
def test_an_own_loss_is_taken(loss):
    d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1, loss=loss)


def test_labels_that_the_loss_ignores_are_in_no_class():
    data = relabelled(lambda X, y: (X, y.masked_fill(y == 2, 9)))
    refused("from 0 to 9", data=data, lr=0.1)
    d2l.train(toy_net(), data, epochs=1, lr=0.1, loss=nn.CrossEntropyLoss(ignore_index=9))


def test_a_loss_goes_where_the_net_is():
    moved = []

    class Weighted(nn.CrossEntropyLoss):
        def _apply(self, function, *arguments):
            moved.append(True)
            return super()._apply(function, *arguments)

    d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1, device="cpu", loss=Weighted(torch.ones(3)))
    assert moved


def sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("adam", r"torch.optim.Adam\(net.parameters"),
        ("sgd", r"torch.optim.SGD\(net.parameters"),
        (torch.optim.RMSprop, r"torch.optim.RMSprop\(net.parameters"),
        (0.1, "optimizer is 0.1"),
        (sgd(toy_net()), "no parameter of this net"),
    ],
)
def test_an_optimizer_that_is_none_is_refused(optimizer, message):
    refused(message, optimizer=optimizer)


def test_an_optimizer_that_needs_a_closure_is_refused():
    net = toy_net()
    refused("LBFGS.*closure", net=net, optimizer=torch.optim.LBFGS(net.parameters()))


def two_layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def test_state_made_in_advance_is_brought_to_where_the_parameters_are():
    parameter = nn.Parameter(torch.ones(2, device="meta"))
    optimizer = torch.optim.Adagrad([parameter])
    optimizer.state[parameter]["sum"] = torch.zeros(2)  # as if it had been made on the CPU
    move_state(optimizer)
    state = optimizer.state[parameter]
    assert (state["sum"].device.type, state["step"].device.type) == ("meta", "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_an_optimizer_with_state_from_the_start_trains_on_a_gpu():
    net = toy_net()
    optimizer = torch.optim.Adagrad(net.parameters())
    assert d2l.train(net, toy_data(), epochs=1, optimizer=optimizer, device="cuda").epochs == 1


def test_an_optimizer_made_before_a_layer_was_replaced_is_refused():
    net = two_layers()
    optimizer = sgd(net)
    net[3] = nn.Linear(8, 3)
    refused("lacks 3.weight, 3.bias", net=net, optimizer=optimizer)


def test_layers_left_out_of_the_optimizer_are_said():
    net = two_layers()
    with pytest.warns(UserWarning, match=r"lacks 1.weight, 1.bias") as caught:
        d2l.train(net, toy_data(), epochs=1, optimizer=sgd(net[3]))
    assert len(caught) == 1
    frozen = two_layers()
    frozen[1].requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        d2l.train(frozen, toy_data(), epochs=1, optimizer=sgd(frozen[3]))
        d2l.train(two_layers(), toy_data(), epochs=1, lr=0.1)


def test_a_frozen_net_is_refused():
    net = toy_net().requires_grad_(False)
    refused("frozen", net=net, lr=0.1)
    refused("frozen", net=net, optimizer=sgd(net))


def test_an_optimizer_that_tells_no_learning_rate_is_refused():
    class Fixed(torch.optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, {})

        def step(self, closure=None):
            raise AssertionError("too late")

    net = toy_net()
    refused('Fixed have no "lr"', net=net, optimizer=Fixed(net.parameters()))


# ----------------------------------------------------------------------------------- schedule


def test_a_schedule_of_another_optimizer_is_refused():
    net = toy_net()
    schedule = lr_scheduler.ConstantLR(sgd(net))
    for optimizer in ({"optimizer": sgd(net)}, {"lr": 0.1}):
        refused("schedule is of another optimizer", net=net, schedule=schedule, **optimizer)


def in_sequence(optimizer):
    parts = [lr_scheduler.LinearLR(optimizer), lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[2])


def sequence(optimizer, steps):
    parts = [
        lr_scheduler.LinearLR(optimizer),
        lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - 2),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[2])


# Ten epochs of three mini-batches.
COUNTED_IN_EPOCHS = {
    r"T_max=10 \* 3": lr_scheduler.ReduceLROnPlateau,
    r"StepLR\(optimizer, step_size=4 \* 3, gamma=0.1": lambda o: lr_scheduler.StepLR(o, 4),
    r"step_size=1 \* 3, gamma=0.8": lambda o: lr_scheduler.StepLR(o, 1, 0.8),
    r"milestones=\[5 \* 3, 8 \* 3\]": lambda o: lr_scheduler.MultiStepLR(o, [5, 8]),
    r"gamma=0.8 \*\* \(1 / 3\)": lambda o: lr_scheduler.ExponentialLR(o, 0.8),
    r"CosineAnnealingLR\(.*T_max=10 \* 3": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    r"PolynomialLR\(.*total_iters=10 \* 3": lambda o: lr_scheduler.PolynomialLR(o, 10),
    r"LinearLR\(.*total_iters=10 \* 3": lambda o: lr_scheduler.LinearLR(o, 1, 0.1, 10),
    r"total_steps=10 \* 3": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
    r"T_max=8 \* 3": lambda o: sequence(o, 10),
}


@pytest.mark.parametrize("meant", COUNTED_IN_EPOCHS)
def test_a_schedule_counted_in_epochs_is_refused_with_the_call_that_was_meant(meant):
    net = toy_net()
    optimizer = sgd(net)
    schedule = COUNTED_IN_EPOCHS[meant](optimizer)
    refused(meant, net=net, epochs=10, optimizer=optimizer, schedule=schedule)


# Twenty epochs of a hundred mini-batches.
COUNTED_IN_MANY_EPOCHS = {
    r"milestones=\[6 \* 100, 13 \* 100\]": lambda o: lr_scheduler.MultiStepLR(o, [30, 60]),
    r"milestones=\[6 \* 100, 13 \* 100\], gamma=0.5": lambda o: lr_scheduler.MultiStepLR(
        o, [100, 150], 0.5
    ),
    r"T_max=20 \* 100\)": lambda o: lr_scheduler.CosineAnnealingLR(o, 20),
    r"CosineAnnealingLR\(.*T_max=20 \* 100\)": lambda o: lr_scheduler.CosineAnnealingLR(o, 200),
    r"total_iters=20 \* 100\)": lambda o: lr_scheduler.PolynomialLR(o, 200),
    r"T_0=5 \* 100, T_mult=2": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5, 2),
    r"30 steps, .* takes 1990 .*total_steps=1990": lambda o: one_cycle_second(o, 30),
    r"1999 steps, .* takes 2000": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.OneCycleLR(o, 0.1, total_steps=1999)], o
    ),
}


def one_cycle_second(optimizer, steps):
    parts = [
        lr_scheduler.LinearLR(optimizer),
        lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[10])


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("meant", COUNTED_IN_MANY_EPOCHS)
def test_a_schedule_of_too_few_of_many_steps_is_refused(meant):
    optimizer = sgd(toy_net())
    schedule = COUNTED_IN_MANY_EPOCHS[meant](optimizer)
    with pytest.raises(ValueError, match=meant):
        check_schedule(schedule, optimizer, 20, 100, resumes=False)


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize(
    "make",
    [
        lambda o: lr_scheduler.MultiStepLR(o, [100, 1500]),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 500),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 100),
        lambda o: one_cycle_second(o, 1990),
        lambda o: lr_scheduler.SequentialLR(
            o,
            [lr_scheduler.CosineAnnealingLR(o, 150), lr_scheduler.ConstantLR(o, 0.1)],
            milestones=[150],
        ),
    ],
)
def test_a_schedule_of_many_steps_is_taken(make):
    optimizer = sgd(toy_net())
    check_schedule(make(optimizer), optimizer, 20, 100, resumes=False)


@pytest.mark.parametrize("schedule", [lr_scheduler.StepLR, "cosine", 0.1, [1, 2], "the optimizer"])
def test_what_is_no_schedule_is_refused(schedule):
    net = toy_net()
    optimizer = sgd(net)
    given = optimizer if schedule == "the optimizer" else schedule
    refused(r"has step\(\).*T_max=2 \* 3", net=net, optimizer=optimizer, schedule=given)


LEGITIMATE = [
    lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
    lambda o: lr_scheduler.StepLR(o, 4 * 3),
    lambda o: lr_scheduler.StepLR(o, 11),
    lambda o: lr_scheduler.StepLR(o, 1, gamma=0.99),
    lambda o: lr_scheduler.ExponentialLR(o, 0.95),
    lambda o: lr_scheduler.ExponentialLR(o, 1.175),
    lambda o: lr_scheduler.MultiStepLR(o, [15, 24]),
    lambda o: lr_scheduler.CosineAnnealingLR(o, 10 * 3),
    lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=10 * 3),
    lambda o: lr_scheduler.OneCycleLR(o, 0.1, epochs=10, steps_per_epoch=3),
    lambda o: lr_scheduler.LinearLR(o, 0.1, 1, total_iters=5),
    lambda o: lr_scheduler.ConstantLR(o, 0.1, total_iters=5),
    lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5),
    lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=6),
    lambda o: sequence(o, 10 * 3),
]


@pytest.mark.parametrize("make", LEGITIMATE)
def test_a_schedule_counted_in_steps_is_taken(make):
    net = toy_net()
    optimizer = sgd(net)
    arguments = {"epochs": 10, "optimizer": optimizer, "schedule": make(optimizer)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        d2l.train(net, toy_data(), **arguments)


def test_epochs_of_one_batch_are_steps():
    net = toy_net()
    optimizer = sgd(net)
    schedule = lr_scheduler.CosineAnnealingLR(optimizer, 10)
    data = toy_data(samples=4)
    history = d2l.train(net, data, epochs=10, optimizer=optimizer, schedule=schedule)
    assert history.learning_rate[0] == 0.1 and history.learning_rate[-1] < 0.01


def test_a_cycle_that_is_used_up_is_refused_and_one_too_long_said():
    net = toy_net()
    optimizer = sgd(net)
    schedule = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=4 * 3)
    arguments = {"epochs": 2, "optimizer": optimizer, "schedule": schedule}
    with pytest.warns(UserWarning, match="12 steps left"):
        d2l.train(net, toy_data(), **arguments)
    with pytest.warns(UserWarning, match="trained before"):
        d2l.train(net, toy_data(), **arguments)
    refused("0 steps left", net=net, **arguments)
