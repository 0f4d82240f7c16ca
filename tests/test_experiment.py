"""Experiments: one call from variants to a table and marks."""

import functools
import math
import re

import pytest
import torch
from figures import history
from torch import nn

import d2lhelpers as d2l
from d2lhelpers import experiment
from d2lhelpers.say import Text


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, move_project):
    monkeypatch.setenv("D2L_RUNS", str(tmp_path / "runs"))
    move_project(tmp_path)


@pytest.fixture(autouse=True)
def without_images(monkeypatch):
    """Where there is no data, nets are not tried on it."""
    try_nets = experiment.try_nets
    monkeypatch.setattr(experiment, "try_nets", lambda *given: given[1] is None or try_nets(*given))


@pytest.fixture(scope="module")
def data():
    return d2l.load_protocol_data(40, train_size=200, test_size=100, source="synthetic")


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))


def constant(accuracy):
    """Makes a net that ``quick_training`` trains to this accuracy; NaN diverges."""

    def make_net():
        net = nn.Linear(1, 1)
        net.accuracy = accuracy
        return net

    return make_net


@pytest.fixture
def quick_training(monkeypatch):
    """Trainings that take no time: the accuracy is the net's own, and a little the seed's."""

    def train(net, data, *, epochs, lr, seed, name):
        accuracy = net.accuracy + 0.001 * seed
        losses = [accuracy * 0 + 1] * epochs
        return history(name, seed=seed, epochs=epochs, train_loss=losses, test_accuracy=[accuracy])

    monkeypatch.setattr(experiment, "train_by_protocol", train)


@pytest.fixture
def quick_trials(monkeypatch):
    """Call it with a function from a rate to an accuracy, which trials then have; NaN diverges.

    Returns the rates tried.
    """

    def use(accuracy):
        tried = []

        def run_trials(found, make_net, data, rates, *, epochs, seed, name):
            tried.extend(rates)
            reached = {rate: accuracy(rate) for rate in rates}
            found |= {
                rate: history(validation_accuracy=[value])
                for rate, value in reached.items()
                if math.isfinite(value)
            }

        monkeypatch.setattr(experiment, "run_trials", run_trials)
        return tried

    return use


run = functools.partial(
    d2l.run_experiment,
    data=None,
    name="09_test/Net",
    rates=(0.01, 0.02, 0.04),
    epochs=1,
    seeds=(0, 1, 2),
)


def test_an_experiment_is_what_the_recipe_gives_at_the_best_rate(data, capsys):
    runs = run({"plain": linear}, data=data, epochs=4, rates=(0.005, 0.01), seeds=(3, 1))
    (rate,) = runs.rates.values()
    said = capsys.readouterr().out.splitlines()[1::2]  # the English lines
    best = max(said, key=lambda line: float(line.rsplit(" ", 1)[1].rstrip(".")))
    assert len(said) >= 3 and f" {rate:.3g}:" in best  # an edge of two was extended
    torch.manual_seed(1)
    net = linear()
    alone = d2l.train_by_protocol(net, data, epochs=4, lr=rate, seed=1, name="a/b/c")
    first, second = runs["plain"]
    assert second.train_loss == alone.train_loss and second.test_accuracy == alone.test_accuracy
    assert (first.seed, first.name) == (3, "09_test/Net/plain")
    assert first.train_loss != second.train_loss
    tested = d2l.evaluate(runs.nets["plain"], data.test, precision="auto")
    assert tested.accuracy == first.test_accuracy[-1]


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"plain": linear, "narrow": lambda: nn.Linear(3, 10)}, "variant narrow cannot take"),
        ({"plain": linear, "..": linear}, "leads|name is"),
        ({"plain": linear, "none": lambda: None}, "variant none"),
    ],
)
def test_what_is_wrong_with_a_variant_is_said_before_any_training(
    data, variants, message, tmp_path
):
    with pytest.raises(ValueError, match=message) as caught:
        run(variants, data=data)
    assert re.search("[一-鿿]", str(caught.value))
    assert not list(tmp_path.rglob("run.json"))


def test_the_sides_of_the_central_claim_have_all_seeds(quick_training):
    variants = {"plain": constant(0.5), "wide": constant(0.6), "third": constant(0.7)}
    runs = run(variants)
    assert list(runs) == ["plain", "wide", "third"]
    assert [[h.seed for h in group] for group in runs.values()] == [[0, 1, 2], [0, 1, 2], [0]]
    assert {h.name for h in runs["wide"]} == {"09_test/Net/wide"}
    assert [len(group) for group in run(variants, central=["third"]).values()] == [1, 1, 3]


def test_a_net_is_made_for_each_run_of_its_seed():
    made = []

    def make_net():
        made.append(torch.rand(1).item())
        raise KeyboardInterrupt

    for seed in (0, 5):
        with pytest.raises(KeyboardInterrupt):
            run({"plain": make_net}, seeds=[seed])
        torch.manual_seed(seed)
        assert made[-1] == torch.rand(1).item()


def test_an_experiment_displays_itself_as_a_table(quick_training):
    runs = run({"plain": constant(0.5)}) | run({"other": constant(0.6)}, seeds=[0])
    text, html = repr(runs), runs._repr_html_()
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["plain", "other"]
    assert "<table" in html and "plain" in html and "other" in html
    assert list(runs.table()["learning rate"]) == ["0.02", "0.02"]
    assert list(runs.table()["test accuracy"]) == ["0.5010 ± 0.0010", "0.6000"]


def test_variants_are_judged_by_name(quick_training):
    accuracies = {"good": 0.9, "bad": 0.8, "same": 0.8}
    runs = run({name: constant(accuracy) for name, accuracy in accuracies.items()})
    assert runs.judge("good", ">", "bad").mark == "✓"
    assert runs.judge("good", "<", "bad").mark == "✗"
    assert runs.judge("good", ">", "bad", ">", "same").mark == "?"
    assert runs.judge("good", ">", "bad", margin=0.5).mark == "?"
    assert runs.judge("good", ">", "bad", learned=0.85).mark == "?"
    assert runs.judge("good", ">", "bad", by=lambda run: -run.test_accuracy[0]).mark == "✗"
    assert runs.judge("good", ">", 0.85).mark == "✓"
    # "same" has one seed; the noise is that of the others, pooled.
    assert runs.judge("same", "<", 0.85).comparisons[0].noise.freedom == 4
    with pytest.raises(ValueError, match="'god'"):
        runs.judge("god", ">", "bad")


def test_a_run_that_diverged_is_a_row(quick_training):
    runs = run({"good": constant(0.9), "lost": constant(math.nan)})
    assert "diverged" in runs.table().loc["lost", "test accuracy"]
    assert "diverged" in repr(runs) and "diverged" in runs._repr_html_() and "nan" not in repr(runs)
    assert runs.judge("lost", ">", "good").mark == "✗"
    assert runs.judge("good", ">", "lost").mark == "?"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Net"},
        {"name": "09_test/Net/plain"},
        {"seeds": []},
        {"central": ["elsewhere"]},
        {"variants": {}},
        {"variants": {"plain": nn.Linear(1, 1)}},
        {"variants": [linear]},
        {"rates": 0.1},
        {"rates": ["0.1"]},
        {"rates": [0, 0.1], "epochs": 4},
        {"seeds": [0, 0]},
        {"seeds": 3},
        {"seeds": [True]},
        {"epochs": 0},
        {"epochs": 2.0},
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_trained(change):
    def no_net():
        raise AssertionError("a net was made")

    with pytest.raises(ValueError) as refused:
        run(**{"variants": {"plain": no_net}} | change)
    assert isinstance(refused.value.args[0], Text)


# --- the stop button ---------------------------------------------------------------------------


def stops():
    raise KeyboardInterrupt


@pytest.mark.parametrize("stopped", ["wide", "plain"])
def test_the_stop_button_keeps_the_runs_that_are_whole(
    stopped, quick_training, monkeypatch, capsys
):
    made = []

    def make_net():
        made.append(1)
        return stops() if len(made) > 1 else constant(0.5)()

    variants = {"plain": make_net, "wide": constant(0.6)}
    if stopped == "wide":
        variants = {"plain": constant(0.5), "wide": stops}
    with pytest.raises(KeyboardInterrupt):  # in a script
        run(variants)
    assert "run.json" in capsys.readouterr().out
    made.clear()
    monkeypatch.setattr(experiment, "is_at_prompt", lambda: True)
    runs = run(variants)
    said = capsys.readouterr().out
    assert len(runs["plain"]) == (3 if stopped == "wide" else 1) and list(runs) == ["plain"]
    assert runs.rates.keys() == runs.nets.keys() == {"plain"}
    assert repr(runs) in said and "any: wide." in said


def test_where_nothing_is_whole_the_stop_button_ends_an_experiment(monkeypatch):
    monkeypatch.setattr(experiment, "is_at_prompt", lambda: True)
    with pytest.raises(KeyboardInterrupt):
        run({"plain": stops})


# --- the learning rate ------------------------------------------------------------------------


def find(rates, epochs=1):
    return experiment.find_rate(linear, None, rates, epochs=epochs, seed=0, name="a/b/c")


@pytest.mark.parametrize(
    ("best", "extended"),
    [(0.2, []), (0.4, [0.8]), (0.8, [0.8, 1.6]), (0.1, [0.05]), (0.05, [0.05, 0.025])],
)
def test_a_winner_at_the_edge_extends_the_grid(quick_trials, best, extended):
    tried = quick_trials(lambda rate: 1 / (1 + abs(math.log(rate / best))))
    assert find((0.4, 0.1, 0.2)) == pytest.approx(best)
    assert tried == pytest.approx([0.1, 0.2, 0.4, *extended])


def test_a_rate_given_twice_is_tried_once(quick_trials):
    tried = quick_trials(lambda rate: 1 - abs(rate - 0.2))
    assert find((0.1, 0.1, 0.2, 0.4)) == 0.2 and tried == [0.1, 0.2, 0.4]


def test_the_grid_is_not_extended_for_ever(quick_trials):
    tried = quick_trials(lambda rate: rate / 100)
    assert find((0.1, 0.2)) == pytest.approx(1.6) and len(tried) == 5


def test_a_rate_beyond_which_nets_diverge_is_no_edge(quick_trials):
    tried = quick_trials(lambda rate: rate if rate < 0.3 else math.nan)
    assert find((0.1, 0.2, 0.4)) == 0.2 and len(tried) == 3


def test_where_every_rate_diverges_smaller_ones_are_tried(quick_trials):
    quick_trials(lambda rate: 0.5 if rate < 0.03 else math.nan)
    assert find((0.1, 0.2)) == pytest.approx(0.025)
    quick_trials(lambda rate: math.nan)
    assert find((0.1, 0.2)) == pytest.approx(0.0125)  # the run will say that it diverged


def test_no_search_where_there_is_no_time_or_no_choice(quick_trials):
    tried = quick_trials(lambda rate: rate)
    assert find((0.1, 0.4, 0.2), epochs=0) == 0.2 and find([0.1]) == 0.1
    assert tried == []
    with pytest.raises(ValueError, match="no learning rate"):
        find([])
