"""The one recipe of chapters 2 to 7."""

import dataclasses
import functools
import math
import types

import pytest
import torch
from torch import nn

import d2lhelpers as d2l
from d2lhelpers import recipe, training
from d2lhelpers.history import History
from d2lhelpers.recipe import best_rate


@pytest.fixture(autouse=True)
def runs_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("D2L_RUNS", str(tmp_path))


@pytest.fixture(scope="module")
def data():
    return d2l.load_protocol_data(40, train_size=200, test_size=100, source="synthetic")


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))


def test_split_and_augmentation(data):
    sizes = [len(loader.dataset) for loader in (data.train, data.validation, data.test)]
    assert sizes == [200, 50, 100]
    assert data.train.dataset.augment == (d2l.random_flip, d2l.random_crop)
    assert data.validation.dataset.augment == data.test.dataset.augment == ()
    whole = d2l.load_protocol_data(source="synthetic")
    sizes = [len(loader.dataset) for loader in (whole.train, whole.validation, whole.test)]
    assert sizes == [45_000, 5_000, 10_000]


def test_one_cycle_of_learning_rates(data):
    torch.manual_seed(0)
    history = d2l.train_by_protocol(
        linear(), data, epochs=10, lr=0.02, seed=0, name="test/linear/cycle"
    )
    assert len(history.validation_accuracy) == 10 and len(history.test_accuracy) == 1
    # Five steps an epoch, fifty in all: the fifteenth has the highest rate, the last almost none.
    rises, falls = (
        [0.04 + 0.96 * step / 14 for step in (4, 9, 14)],
        [(49 - n) / 35 for n in range(19, 50, 5)],
    )
    expected = [0.02 * share for share in rises + falls]
    assert history.learning_rate == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("images", [10, 20, 30, 40, 120])
def test_a_cycle_of_any_length(images):
    """From one step to twelve: the shortest trainings, too, are trained to their end."""
    few = d2l.load_cifar10(10, train_size=images, test_size=10, source="synthetic")
    history = d2l.train_by_protocol(linear(), few, epochs=1, lr=0.02, seed=0, name="test/linear/1")
    assert history.epochs == 1 and history.learning_rate[-1] < 0.02


def test_a_rate_is_chosen_without_the_test_set(data):
    blind = dataclasses.replace(data, test=None)
    history = d2l.train_by_protocol(
        linear(), blind, epochs=1, lr=0.01, seed=0, name="test/linear/lr"
    )
    assert history.test_accuracy == [] and len(history.validation_accuracy) == 1


WRONG = {"epochs": (0, 2.0, "1", True), "lr": ("0.1", None, True), "seed": ("0", True)}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_numbers_that_are_none_are_named(data, name, value):
    arguments = {"epochs": 1, "lr": 0.01, "seed": 0, "name": "test/linear/plain"}
    with pytest.raises(ValueError, match=f"{name} is {value!r}"):
        d2l.train_by_protocol(linear(), data, **arguments | {name: value})
    with pytest.raises(ValueError, match=f"{name} is {value!r}"):
        arguments["rates"] = [0.01]
        if name == "lr":
            arguments["rates"].append(value)
        else:
            arguments[name] = value
        del arguments["lr"]
        d2l.try_rates(linear, data, **arguments)


@pytest.mark.parametrize("make_net", [linear(), None])
def test_a_function_that_makes_the_net_is_asked_for(data, make_net):
    with pytest.raises(ValueError, match="a function that makes a new net"):
        d2l.try_rates(make_net, data, [0.1], epochs=1, seed=0, name="test/linear/plain")


def test_data_that_cannot_do_is_named(data):
    arguments = {"epochs": 1, "lr": 0.01, "seed": 0, "name": "test/linear/plain"}
    with pytest.raises(ValueError, match="without data"):
        d2l.train_by_protocol(linear(), [data.train], **arguments)
    stream = torch.utils.data.DataLoader(Stream(), 4)
    with pytest.raises(ValueError, match="does not know its number"):
        d2l.train_by_protocol(linear(), dataclasses.replace(data, train=stream), **arguments)


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(3, 32, 32), 0)])


def test_rates_are_tried_alike_and_blindly(data, capsys):
    found = d2l.try_rates(
        linear, data, (0.01, 0.02, 0.01), epochs=1, seed=3, name="test/linear/plain"
    )
    assert list(found) == [0.01, 0.02]
    assert all(run.test_accuracy == [] and run.seed == 3 for run in found.values())
    assert found[0.02].name == "test/linear/plain, trial at 0.02"
    first, _, again = capsys.readouterr().out.splitlines()[1::2]  # the English lines
    assert first.startswith("plain, learning rate 0.01:")
    assert first == again  # the same weights and the same batches
    assert f"validation accuracy {found[0.01].validation_accuracy[-1]:.4f}" in first


def test_rates_are_tried_on_data_of_ones_own(data):
    own = types.SimpleNamespace(train=data.train, validation=data.validation, test=data.test)
    found = d2l.try_rates(linear, own, [0.01], epochs=1, seed=0, name="test/linear/plain")
    assert found[0.01].test_accuracy == [] and len(found[0.01].validation_accuracy) == 1


def test_the_stop_button_ends_a_series(data, monkeypatch):
    """``train`` then returns the epochs that were whole; half a run enters no comparison."""

    def stopped(*arguments, epochs, **settings):
        return recipe_train(*arguments, epochs=epochs - 1, **settings)

    recipe_train = recipe.train_by_protocol
    monkeypatch.setattr(recipe, "train_by_protocol", stopped)
    with pytest.raises(KeyboardInterrupt):
        d2l.try_rates(linear, data, (0.01, 0.02), epochs=2, seed=0, name="test/linear/plain")


def test_the_stop_button_keeps_the_trials_that_are_whole(data, monkeypatch, capsys):
    made = []

    def make_net():
        made.append(1)
        if len(made) > 2:
            raise KeyboardInterrupt
        return linear()

    search = functools.partial(d2l.try_rates, make_net, data, (1e38, 0.01, 0.02, 0.04))
    settings = {"epochs": 1, "seed": 0, "name": "test/linear/plain"}
    with pytest.raises(KeyboardInterrupt):  # in a script
        search(**settings)
    made.clear()
    monkeypatch.setattr(recipe, "is_at_prompt", lambda: True)
    found = search(**settings)
    assert list(found) == [0.01] and found[1e38].diverged
    assert "to the end: 0.02, 0.04." in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt):  # nothing is whole
        search(**settings)


def test_a_rate_that_diverges_is_left_out(data, capsys):
    found = d2l.try_rates(linear, data, (1e38, 0.01), epochs=1, seed=0, name="test/linear/plain")
    assert list(found) == [0.01]
    assert "1e+38" in capsys.readouterr().out.splitlines()[0]


def test_a_run_that_diverges_is_a_result_and_says_so(data, capsys):
    run = d2l.train_by_protocol(linear(), data, epochs=2, lr=1e38, seed=0, name="07/linear/steep")
    assert run.diverged and math.isnan(run.test_accuracy[-1])
    zh, en = capsys.readouterr().out.splitlines()
    assert all("steep" in line and "1e+38" in line for line in (zh, en))
    sound = d2l.train_by_protocol(linear(), data, epochs=1, lr=0.01, seed=0, name="07/linear/calm")
    assert not sound.diverged and capsys.readouterr().out == ""
    shown = d2l.table({"calm": sound, "steep": run})
    assert ["diverged" in row.to_list() for _, row in shown.iterrows()] == [False, True]


def test_a_held_out_loss_that_is_not_finite_leaves_a_rate_out(data, monkeypatch):
    """The training loss is finite: only the contract of ``train`` tells."""

    def train(net, data, *, optimizer, **settings):
        run = training.train(net, data, optimizer=optimizer, **settings)
        if optimizer.defaults["lr"] == 0.02:
            run.validation_loss[-1] = run.validation_accuracy[-1] = math.nan
            raise d2l.DivergedError("held-out loss", run)
        return run

    monkeypatch.setattr(recipe, "train", train)
    rates, name = (0.02, 0.01), "test/linear/held out"
    found = d2l.try_rates(linear, data, rates, epochs=1, seed=0, name=name)
    assert list(found) == [0.01] and best_rate(found) == 0.01
    assert found[0.02].diverged and math.isfinite(found[0.02].train_loss[-1])


def test_only_the_history_of_a_rate_that_was_tried_can_be_looked_up(data):
    found = d2l.try_rates(linear, data, (1e38,), epochs=1, seed=0, name="test/linear/plain")
    assert not found and 1e38 not in found and found[1e38].diverged
    with pytest.raises(KeyError):
        found[0.01]


def trials(**accuracy):
    fields = dict.fromkeys(("source", "device", "precision", "log_dir", "name"), "")
    fields |= {"seed": 0, "parameters": 1, "multiply_adds": 1, "started": 0.0}
    return {
        float(rate.strip("r").replace("_", ".")): History(
            **fields, validation_accuracy=[0, a], validation_loss=[1, 1 - a]
        )
        for rate, a in accuracy.items()
    }


def test_rates_need_validation_images():
    data = types.SimpleNamespace(train=[], test=[], validation=None)
    data.train = data.test = [(torch.zeros(2, 3, 32, 32), torch.zeros(2).long())]
    with pytest.raises(ValueError, match=r"no data\.validation"):
        d2l.try_rates(linear, data, [0.1], epochs=1, seed=0, name="test/linear/plain")


def test_the_best_rate_is_that_of_the_highest_validation_accuracy():
    assert best_rate(trials(r0_1=0.50, r0_2=0.60, r0_4=0.595)) == 0.2
    found = trials(r0_1=0.50, r0_2=0.60, r0_4=math.nan)  # may hold what ``try_rates`` leaves out
    for order in (found, dict(reversed(found.items()))):
        assert best_rate(order) == 0.2
    for none_left in ({}, trials(r0_1=math.nan, r0_2=math.nan)):
        with pytest.raises(ValueError, match="not finite at any"):
            best_rate(none_left)
