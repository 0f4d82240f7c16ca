"""Training is tested by what it must achieve."""

import dataclasses
import json
import math
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler
from toys import numbers, toy_data, toy_net

import d2lhelpers as d2l
from d2lhelpers.training import AlreadyTrainedWarning

pytestmark = pytest.mark.usefixtures("runs_folder")


def test_overfits_one_batch():
    data = d2l.load_mnist(32, train_size=32, test_size=32, source="synthetic")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    history = d2l.train(net, data, epochs=60, lr=0.3, name="test/mlp/overfit")
    assert history.train_accuracy[-1] == 1.0
    assert history.train_loss[-1] < 0.05


def test_seed_decides_everything():
    first, second, other = (
        d2l.train(toy_net(), toy_data(), epochs=3, lr=0.1, seed=seed) for seed in (5, 5, 6)
    )
    assert numbers(first) == numbers(second)
    assert numbers(first) != numbers(other)


class Noisy(torch.utils.data.TensorDataset):
    """Augmented from a generator of its own, which goes on where it was."""

    def __init__(self):
        super().__init__(*toy_data().test.dataset.tensors)
        self.generator = torch.Generator()

    def __getitem__(self, index):
        X, y = super().__getitem__(index)
        return X + torch.randn(X.shape, generator=self.generator), y


GENERATORS = {
    "data set": lambda data: DataLoader(data, 4, shuffle=True),
    "sampler": lambda data: DataLoader(data, 4, sampler=RandomSampler(data, generator=OWN)),
    "batch sampler": lambda data: DataLoader(
        data, batch_sampler=BatchSampler(RandomSampler(data, generator=OWN), 4, False)
    ),
}
OWN = torch.Generator()


@pytest.mark.parametrize("holder", GENERATORS)
def test_seed_decides_whatever_draws_from_a_generator_of_its_own(holder):
    data = toy_data(train=GENERATORS[holder](Noisy()))
    first, second, other = (
        numbers(d2l.train(toy_net(), data, epochs=2, lr=0.1, seed=seed)) for seed in (5, 5, 6)
    )
    assert first == second != other


def test_averages_are_over_samples():
    # A step of length zero: the training figures are those of the untouched net.
    net, data = toy_net(), toy_data(samples=10, batch_size=4)
    X, y = data.test.dataset.tensors
    scores = net(X)
    loss = nn.functional.cross_entropy(scores, y).item()
    right = (scores.argmax(1) == y).sum().item() / 10
    history = d2l.train(net, data, epochs=1, lr=0.0)
    assert history.train_loss[0] == pytest.approx(loss, abs=1e-6)
    assert history.test_loss[0] == pytest.approx(loss, abs=1e-6)
    assert history.train_accuracy[0] == history.test_accuracy[0] == pytest.approx(right)
    assert d2l.evaluate(net, data.test) == pytest.approx((loss, right))


def test_one_forward_pass_a_batch():
    net, passes = toy_net(), []
    net.register_forward_hook(lambda net, *_: passes.append(net.training))
    d2l.train(net, toy_data(samples=10, batch_size=4), epochs=2, lr=0.1)
    assert passes.count(True) == 2 * 3


def test_plain_sgd_as_by_hand():
    net, by_hand, data = toy_net(), toy_net(), toy_data(samples=4, batch_size=4)
    X, y = data.test.dataset.tensors
    d2l.train(net, data, epochs=2, lr=0.5, device="cpu")
    for _ in range(2):
        loss = nn.functional.cross_entropy(by_hand(X), y)
        gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(by_hand.parameters(), gradients, strict=True):
                parameter -= 0.5 * gradient
    for ours, theirs in zip(net.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_schedule_steps_every_batch():
    net = toy_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    history = d2l.train(net, toy_data(), epochs=2, optimizer=optimizer, schedule=schedule)
    # Three batches an epoch; the rate recorded is the one that the last step used.
    assert history.learning_rate == pytest.approx([1 / 3, 1 / 6])


def test_validation_every_epoch_and_test_once():
    data = toy_data()
    data.validation = data.test
    history = d2l.train(toy_net(), data, epochs=3, lr=0.1)
    assert len(history.validation_accuracy) == len(history.validation_loss) == 3
    assert history.test_accuracy == history.validation_accuracy[-1:]
    assert history.test_loss == history.validation_loss[-1:]
    assert "test_loss" not in history.rows()[0]


def test_test_set_can_be_left_alone():
    data = toy_data()
    data.validation, data.test = data.test, None
    history = d2l.train(toy_net(), data, epochs=2, lr=0.1)
    assert history.test_accuracy == [] and len(history.validation_accuracy) == 2


def spoilt_net():
    """Its scores are NaN once it has learned, but not while it does: only a held-out loss shows."""

    class Spoilt(nn.Sequential):
        def forward(self, X):
            return super().forward(X) * (1 if self.training else float("nan"))

    return Spoilt(nn.Flatten(), nn.Linear(16, 3))


CAUSES = {
    "rate": "the learning rate .* is likely too high",
    "images": "hold NaN",
    "last step": "test loss .* the learning rate .* is likely too high",
    "held out": "validation loss .* the learning rate",
    "held-out images": "images of data.test hold NaN",
}


@pytest.mark.parametrize("cause", CAUSES)
def test_nan_anywhere_is_a_result_that_names_its_cause(cause):
    net, data, epochs, lr = toy_net(), toy_data(), 50, 0.1
    if cause == "rate":
        lr = 1e38
    elif cause == "images":
        data.train.dataset.tensors[0][3] = math.nan
        data.test = toy_data().test
    elif cause == "last step":  # one step: its own loss is finite, the weights after it are not
        data, epochs, lr = toy_data(samples=4), 1, 1e38
    elif cause == "held out":
        net, data.validation = spoilt_net(), data.test
    else:
        data.test = toy_data().test
        data.test.dataset.tensors[0][3] = math.nan
    with pytest.raises(d2l.DivergedError, match=CAUSES[cause]) as caught:
        d2l.train(net, data, epochs=epochs, lr=lr, name="test/linear/diverging")
    assert "损失" in str(caught.value)
    history = caught.value.history
    assert history.diverged and 1 <= history.epochs <= epochs
    curves = numbers(history)
    empty = {"validation_loss", "validation_accuracy"} if cause != "held out" else set()
    assert {curve for curve in curves if not curves[curve]} == empty
    for curve in curves.keys() - empty:
        assert math.isnan(curves[curve][-1])
        assert all(map(math.isfinite, curves[curve][:-1]))
    assert len(history.test_loss) == (1 if cause == "held out" else history.epochs)
    record = json.loads((Path(history.log_dir) / "run.json").read_text())
    assert math.isnan(record["train_loss"][-1])


def test_a_run_that_learned_has_not_diverged():
    assert not d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1).diverged


# ------------------------------------------------------------------------------ the stop button


def stopped_net(part):
    """Training is stopped in the third of its epochs of three mini-batches, learning or tested."""
    net, steps = toy_net(), []

    def stop(*_):
        learns = torch.is_grad_enabled()
        steps.extend([1] * learns)
        if (part, len(steps), learns) in (("train", 8, True), ("test", 9, False)):
            raise KeyboardInterrupt

    net.register_forward_hook(stop)
    return net


@pytest.fixture
def person(monkeypatch):
    monkeypatch.setattr("d2lhelpers.say.is_interactive", lambda: True)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("file", [None, "c.pt"])
def test_a_person_who_stops_training_gets_the_finished_epochs(part, file, tmp_path, person, capsys):
    whole = d2l.train(toy_net(), toy_data(), epochs=5, lr=0.1)
    arguments = {"epochs": 5, "lr": 0.1, "checkpoint": file and tmp_path / file}
    history = d2l.train(stopped_net(part), toy_data(), **arguments)
    shown = capsys.readouterr().out
    assert "epoch 3 of 5" in shown and "第 3 轮" in shown and repr(history) in shown
    assert numbers(history) == {curve: values[:2] for curve, values in numbers(whole).items()}
    record = json.loads((Path(history.log_dir) / "run.json").read_text())
    assert record["train_loss"] == history.train_loss
    if file is not None:  # and the same cell, run again, goes on
        assert numbers(d2l.train(toy_net(), toy_data(), **arguments)) == numbers(whole)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_script_that_is_stopped_ends_and_its_record_is_kept(part, runs_folder, capsys):
    with pytest.raises(KeyboardInterrupt):
        d2l.train(stopped_net(part), toy_data(), epochs=5, lr=0.1, name="test/linear/stopped")
    (record,) = (runs_folder / "test/linear/stopped").glob("*/run.json")
    assert len(json.loads(record.read_text())["test_loss"]) == 2
    assert str(record.parent) in capsys.readouterr().out


def test_before_the_first_epoch_ends_there_is_nothing_to_keep(person, runs_folder):
    with pytest.raises(KeyboardInterrupt):
        d2l.train(stopped_net("train"), toy_data(samples=40), epochs=5, lr=0.1)
    assert list(runs_folder.rglob("run.json")) == []


def test_epochs_before_an_error_are_kept(runs_folder):
    X, y = next(iter(toy_data().test))
    validation = [(X, y), (X, y + 3)]  # of which only the first batch is looked at in advance
    calls = []

    class Failing(torch.utils.data.TensorDataset):
        def __getitem__(self, index):
            calls.append(index)
            if len(calls) > 20:
                raise OSError("a broken image")
            return super().__getitem__(index)

    train = torch.utils.data.DataLoader(Failing(X, y), batch_size=4)
    with pytest.raises(OSError, match="a broken image") as caught:
        d2l.train(toy_net(), toy_data(train=train), epochs=9, lr=0.1)
    (record,) = runs_folder.rglob("run.json")
    assert len(json.loads(record.read_text())["train_loss"]) == 4
    assert "4 epochs" in caught.value.__notes__[0] and "4 轮" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="labels"):
        d2l.train(toy_net(), toy_data(validation=validation), epochs=1, lr=0.1)


def test_training_a_net_twice_is_said():
    net, data = toy_net(), toy_data()
    with warnings.catch_warnings():
        warnings.simplefilter("error", AlreadyTrainedWarning)
        d2l.train(net, data, epochs=1, lr=0.1)
    with pytest.warns(AlreadyTrainedWarning, match="已经训练过"):
        d2l.train(net, data, epochs=1, lr=0.1)


def test_bfloat16_learns_as_float32_does():
    histories = [
        d2l.train(toy_net(), toy_data(), epochs=5, lr=0.1, precision=precision)
        for precision in ("float32", "bfloat16")
    ]
    assert histories[0].train_loss == pytest.approx(histories[1].train_loss, rel=0.05)
    assert histories[0].train_loss != histories[1].train_loss


def test_history_counts_the_images_of_an_epoch():
    assert d2l.train(toy_net(), toy_data(samples=10), epochs=2, lr=0.1).train_samples == 10


@pytest.mark.parametrize("missing", ["test", "validation"])
def test_size_recorded_is_that_of_images_as_they_come(missing):
    """Augmentation may shrink training images; a network is as large as on those evaluated."""
    data = d2l.load_mnist(8, train_size=16, test_size=8, source="synthetic", validation_size=8)
    data.train.dataset.augment = (lambda images, generator: images[:, :, ::2, ::2],)
    data = dataclasses.replace(data, **{missing: None})
    net = nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    history = d2l.train(net, data, epochs=1, lr=0.1, name="test/conv/small images")
    assert history.multiply_adds == 26 * 26 * 9 * 10


def test_every_run_has_its_own_folder():
    folders = {d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1).log_dir for _ in range(3)}
    assert len(folders) == 3


def test_table_in_a_notebook():
    history = d2l.train(toy_net(), toy_data(), epochs=2, lr=0.1)
    html = history._repr_html_()
    assert html.count("<tr>") == 3 and f"{history.test_loss[1]:.4g}" in html
    assert "2 epochs" in repr(history)
