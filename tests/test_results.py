"""Results of full runs: kept, replaced, averaged over seeds, shown in the README."""

import csv
import math

import pytest

import d2lhelpers as d2l
from d2lhelpers import results
from d2lhelpers.course import results as writing

ROOT = results.project_folder()


@pytest.fixture
def empty_course(tmp_path, move_project):
    move_project(tmp_path)


def record(name="01_good/Net/plain", seed=0, accuracy=0.9, source="MNIST"):
    return {
        "name": name,
        "source": source,
        "seed": seed,
        "device": "CPU with 2 threads",
        "precision": "float32",
        "parameters": 10,
        "multiply_adds": 2_000_000,
        "train_samples": 60_000,
        "versions": "python 3, torch 2",
        "train_loss": [2.0, 1.0],
        "test_accuracy": [0.5, accuracy],
        "seconds": [1.0, 2.5],
        "started": 0.0,
    }


def test_results_are_kept_and_replaced(empty_course):
    writing.add_results([record(seed=0, accuracy=0.5), record(seed=1)])
    writing.add_results([record(seed=0, accuracy=0.7), record(name="02_bad/Net/plain")])
    rows = results.read_results()
    assert [(r["chapter"], r["seed"], r["test_accuracy"]) for r in rows] == [
        ("01_good", 0, 0.7),
        ("01_good", 1, 0.9),
        ("02_bad", 0, 0.9),
    ]
    assert (rows[0]["epochs"], rows[0]["seconds"], rows[0]["multiply_adds"]) == (2, 3.5, 2_000_000)
    with results.results_file().open() as file:
        assert tuple(next(csv.reader(file))) == results.RESULT_COLUMNS


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": 11},
        {"multiply_adds": 1},
        {"train_samples": 1000},
        {"train_loss": [2.0]},
        {"source": "MNIST, another copy"},
    ],
)
def test_seeds_of_another_recipe_are_not_averaged_with_the_new_one(empty_course, change):
    other = record(seed=1, name="01_good/Net/other")
    writing.add_results([*(record(seed=s) for s in range(3)), other])
    writing.add_results([record(seed=2, accuracy=0.5) | change])
    rows = results.read_results()
    assert [(r["variant"], r["seed"], r["test_accuracy"]) for r in rows] == [
        ("plain", 2, 0.5),
        ("other", 1, 0.9),
    ]


def test_runs_that_never_saw_the_test_set_are_no_results(empty_course):
    writing.add_results([record() | {"test_accuracy": []}])
    assert results.read_results() == []


def test_mean_and_deviation_over_seeds(empty_course):
    writing.add_results([record(seed=s, accuracy=a) for s, a in enumerate((0.90, 0.92, 0.97))])
    (spread,) = results.spreads(results.read_results())
    assert spread.mean == pytest.approx(0.93)
    assert spread.deviation == pytest.approx(0.0360555, abs=1e-6)
    assert "0.9300 ± 0.0361 (3 seeds)" in writing.results_table()


def test_seconds_are_those_of_the_median_seed(empty_course):
    seconds = ([1.0, 2.0], [50.0, 50.0], [2.0, 2.0])  # something else ran beside the second
    writing.add_results([record(seed=s) | {"seconds": t} for s, t in enumerate(seconds)])
    (spread,) = results.spreads(results.read_results())
    assert spread.seconds == 4
    assert "| 4 |" in writing.results_table()


def test_table_of_networks():
    rows = [
        {"epochs": 2, "parameters": 10, "multiply_adds": 2_000_000, "test_accuracy": accuracy}
        | {"chapter": "01_good", "model": "Net", "variant": "plain", "seed": 0, "seconds": 3.0}
        for accuracy in (0.90, 0.92)
    ]
    (one,), (two,) = results.spreads(rows[:1]), results.spreads(rows)
    head, *lines = d2l.spread_table({"one seed": one, "two": two}).splitlines()
    assert head.split() == [
        "parameters",
        "multiply-adds",
        "epochs",
        "seconds",
        "seeds",
        "test",
        "accuracy",
    ]
    assert lines[0].split() == ["one", "seed", "10", "2,000,000", "2", "3", "1", "0.9000"]
    assert lines[1].split() == ["two", "10", "2,000,000", "2", "3", "2", "0.9100", "±", "0.0141"]
    for column, value in (("parameters", "10"), ("multiply-adds", "2,000,000"), ("seeds", "2")):
        end = head.index(column) + len(column)
        assert lines[1][:end].endswith(value)


def test_only_headlines_are_in_the_readme(empty_course):
    writing.add_results([record(seed=s) for s in range(2)])
    assert "Net" not in writing.results_table()


def test_readme_shows_the_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert writing.readme_with_table(text) == text


def test_a_run_joins_the_seeds_in_the_file(empty_course, capsys):
    def history(seed, accuracy, epochs=2, **others):
        fields = {key: value for key, value in record().items() if key != "versions"}
        fields |= {"seed": seed, "train_loss": [1.0] * epochs, "test_accuracy": [accuracy] * epochs}
        return d2l.History(**fields | others, log_dir="")

    d2l.report(history(0, 0.8))
    zh, en = capsys.readouterr().out.splitlines()
    for sentence in (zh, en):
        assert "0.8000" in sentence and "MNIST" in sentence
    assert "完整" not in zh and "full runs" not in en  # the file has none
    alone = d2l.over_seeds(history(0, 0.8))
    assert (alone.mean, alone.deviation, len(alone.rows)) == (0.8, 0.0, 1)
    writing.add_results([record(seed=s, accuracy=a) for s, a in enumerate((0.90, 0.92))])
    d2l.report(history(0, 0.94))
    zh, en = capsys.readouterr().out.splitlines()
    assert "共 2 个随机种子，均值 0.9300" in zh and "full runs: 2, mean 0.9300" in en
    # A full run stands for its own seed; a shorter one, or one on fewer images, does not count.
    assert d2l.over_seeds(history(0, 0.94)).mean == pytest.approx((0.94 + 0.92) / 2)
    assert d2l.over_seeds(history(2, 0.97)).mean == pytest.approx(0.93)
    assert d2l.over_seeds(history(0, 0.1, epochs=1)).mean == pytest.approx(0.91)
    assert d2l.over_seeds(history(0, 0.1, train_samples=2000)).mean == pytest.approx(0.91)


def test_a_run_that_diverged_is_reported_and_joins_no_seeds(empty_course, capsys):
    fields = {key: value for key, value in record().items() if key != "versions"}
    nan = {"train_loss": [2.0, math.nan], "test_loss": [math.nan], "test_accuracy": [math.nan]}
    history = d2l.History(**fields | nan, log_dir="")
    d2l.report(history)
    zh, en = capsys.readouterr().out.splitlines()
    assert "发散" in zh and "diverged" in en and "nan" not in zh + en
    alone = d2l.over_seeds(history)
    assert len(alone.rows) == 1 and math.isnan(alone.mean)  # no accuracy, and not one of 0
    line = d2l.spread_table({"net": alone}).splitlines()[1]
    assert line.split()[-1] == "diverged"

    writing.add_results([record(seed=s, accuracy=a) for s, a in enumerate((0.90, 0.92))])
    assert d2l.over_seeds(history).mean == pytest.approx(0.91)
    d2l.report(history)
    zh, en = capsys.readouterr().out.splitlines()
    assert "发散" in zh and "0.9100" in zh and "diverged" in en and "0.9100" in en


@pytest.mark.parametrize(
    ("change", "message"),
    [({"name": "scratch"}, "chapter/model/variant"), ({"test_accuracy": []}, "test set")],
)
def test_a_run_that_cannot_be_a_result_says_why(empty_course, change, message):
    fields = {key: value for key, value in record().items() if key != "versions"} | change
    with pytest.raises(ValueError, match=message):
        d2l.report(d2l.History(**fields, log_dir=""))


@pytest.mark.parametrize(
    "text", ["", "<!-- results: start -->", "<!-- results: end --><!-- results: start -->"]
)
def test_a_readme_without_its_markers_is_told_where_they_belong(text):
    with pytest.raises(ValueError, match="<!-- results: start --> and then <!-- results: end -->"):
        writing.readme_with_table(text)
