"""Histories of runs, their records, and tables of them."""

import dataclasses
import json
import math

import pytest
from figures import history
from records import kept

from d2lhelpers import table, use_language
from d2lhelpers.history import History
from d2lhelpers.results import row_of


def diverged(**changes):
    return history(
        train_loss=[2.3, math.nan],
        train_accuracy=[0.1, math.nan],
        test_loss=[math.nan],
        test_accuracy=[math.nan],
        seconds=[1.0, math.nan],
        **changes,
    )


def test_a_history_is_written_and_read(tmp_path):
    run = history(validation=True, log_dir=str(tmp_path / "new"), seconds=[1, 2.5], precision="b")
    run.write()
    assert History.read(tmp_path / "new" / "run.json") == run
    assert "torch" in run.versions and "python" in run.versions


def test_a_diverged_history_is_read_as_one(tmp_path):
    diverged(log_dir=str(tmp_path)).write()
    again = History.read(tmp_path / "run.json")
    assert again.diverged and math.isnan(again.test_accuracy[0]) and again.train_loss[0] == 2.3


@pytest.mark.parametrize("curve", ["train_loss", "validation_loss", "test_loss"])
@pytest.mark.parametrize("last", [math.nan, math.inf])
def test_a_run_diverged_if_its_last_loss_is_not_finite(curve, last):
    assert history(validation=True, **{curve: [0.5, last]}).diverged
    assert not history(validation=True, **{curve: [last, 0.5]}).diverged
    assert not history(epochs=0).diverged


def test_a_record_may_have_a_mark_in_front_and_what_later_versions_add(tmp_path):
    run = history()
    text = json.dumps(dataclasses.asdict(run) | {"of a later version": 1})
    (tmp_path / "run.json").write_text("\ufeff" + text, encoding="utf-8")
    assert History.read(tmp_path / "run.json") == run


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1, 2]",
        "null",
        "not json",
        '{"name": "a run of another program", "epochs": 3}',
        json.dumps(dataclasses.asdict(history()) | {"train_loss": 0.5}),
        json.dumps(dataclasses.asdict(history()) | {"seed": "zero"}),
        json.dumps(dataclasses.asdict(history()) | {"test_accuracy": ["high"]}),
    ],
)
def test_what_is_no_record_is_refused_by_name(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"run\.json"):
        History.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"run\.json"):
        History.read(path)


def test_a_row_of_results_is_what_a_history_says():
    run = history("01_a/LeNet/plain", epochs=3, validation=True, seed=7, seconds=[1.0, 2.0, 3.04])
    row = row_of(run)
    assert (row["chapter"], row["model"], row["variant"]) == ("01_a", "LeNet", "plain")
    assert (row["test_accuracy"], row["epochs"], row["seconds"]) == (0.7, 3, 6.0)
    assert (row["seed"], row["data_source"], row["train_samples"]) == (7, "MNIST", 100)
    assert row["versions"] == run.versions
    again = kept(run)
    assert row_of(again) == row and again.name == run.name and not again.diverged
    lost = diverged(name="01_a/LeNet/plain")
    assert math.isnan(row_of(lost)["test_accuracy"])
    assert kept(lost).diverged


def test_a_diverged_epoch_is_said_in_the_table_of_a_history():
    html = diverged()._repr_html_()
    assert "diverged" in html and "nan" not in html


def test_table_of_runs():
    losses, accuracies = ([0.5, 0.4], [0.3, 0.2]), ([0.8], [0.9])
    frame = table(
        {
            "one": history(epochs=2, parameters=1_234, multiply_adds=5_678_900, seconds=[1, 2]),
            "seeds": [
                history(validation=True, seed=seed, train_loss=loss, test_accuracy=accuracy)
                for seed, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True))
            ],
            "lost": diverged(),
            "in part": [history(seed=0), diverged(seed=1)],
        }
    )
    assert list(frame.index) == ["one", "seeds", "lost", "in part"]
    one, seeds, lost, in_part = (frame.loc[name] for name in frame.index)
    assert (one["parameters"], one["multiply-adds"], one["seconds"]) == ("1,234", "5,678,900", "3")
    assert (one["epochs"], one["seeds"], one["validation accuracy"]) == ("2", "1", "")
    assert (one["train loss"], one["test accuracy"]) == ("0.3333", "0.5667")
    # Hand-worked: the deviation of two numbers is their distance over √2.
    assert (seeds["seeds"], seeds["train loss"]) == ("2", "0.3000 ± 0.1414")
    assert seeds["test accuracy"] == "0.8500 ± 0.0707"
    assert lost["train loss"] == lost["test accuracy"] == "diverged"
    assert "diverged" in in_part["test accuracy"] and "1 of 2" in in_part["test accuracy"]
    assert "nan" not in frame.to_string() and "nan" not in frame.to_html()


@pytest.mark.parametrize("runs", [{}, {"a": []}, {"a": history(epochs=0)}])
def test_a_table_of_nothing_is_refused(runs):
    with pytest.raises(ValueError):
        table(runs)


def test_a_table_of_something_else_is_refused():
    with pytest.raises(TypeError, match="float"):
        table({"a": [0.5]})


def test_a_refused_record_is_said_in_the_chosen_language(tmp_path):
    (tmp_path / "run.json").write_text("")
    use_language("en")
    try:
        with pytest.raises(ValueError) as refused:
            History.read(tmp_path / "run.json")
        assert "记录" not in str(refused.value)
    finally:
        use_language(None)
