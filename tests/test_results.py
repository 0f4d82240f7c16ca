"""Results of full runs: kept, replaced, averaged over seeds, shown in the README."""

import functools
import math

import pytest
from records import kept, record, write_chapter

import d2lhelpers as d2l
from d2lhelpers import results
from d2lhelpers.course import results as writing


@pytest.fixture
def empty_course(tmp_path, move_project):
    move_project(tmp_path)
    write_chapter(tmp_path)


def test_mean_and_deviation_over_seeds(empty_course):
    writing.add_results([record(seed=s, accuracy=a) for s, a in enumerate((0.90, 0.92, 0.97))])
    rows = results.read_results()
    assert results.mean_accuracy(rows) == pytest.approx(0.93)
    assert results.deviation(rows) == pytest.approx(0.0360555, abs=1e-6)
    assert results.deviation(rows[:1]) is None
    assert "0.9300 ± 0.0361 (3 seeds)" in writing.results_table()


def test_seconds_are_those_of_the_median_seed(empty_course):
    seconds = ([1.0, 2.0], [50.0, 50.0], [2.0, 2.0])  # something else ran beside the second
    writing.add_results([record(seed=s, seconds=t) for s, t in enumerate(seconds)])
    assert results.median_seconds(results.read_results()) == 4
    assert "| 4 |" in writing.results_table()


def test_a_seed_that_diverged_leaves_no_mean(empty_course):
    nan = {"train_loss": [2.0, math.nan], "test_accuracy": [math.nan], "seconds": [1.0, math.nan]}
    writing.add_results([record(seed=0), record(seed=1), record(seed=2, **nan)])
    rows = results.read_results()
    assert math.isnan(results.mean_accuracy(rows)) and results.deviation(rows) is None
    assert [run.training_seconds for run in rows] == [3.5, 3.5, 1.0]
    # It stopped early, which makes it no other recipe: no seed replaces the others.
    early = nan | {"train_loss": [math.nan], "seconds": [math.nan]}
    writing.add_results([record(seed=1, **early)])
    assert [row.epochs for row in results.read_results()] == [2, 1, 2]
    assert d2l.table({"net": rows}).loc["net", "test accuracy"] == "1 of 3 diverged"


def test_rows_are_read_as_they_were_written_and_with_a_byte_order_mark(empty_course):
    writing.add_results([record(seed=s) for s in range(2)])
    before = results.read_results()
    nothing = {"train_loss": [], "precision": "", "log_dir": "", "started": 0.0, "execution": ""}
    ends = {"test_accuracy": [0.9], "seconds": [3.5], "epochs": 2}
    assert before == [record(seed=s, **nothing, **ends) for s in range(2)]
    path = results.results_file()
    path.write_text("\ufeff" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert results.read_results() == before


@pytest.mark.parametrize("change", ["semicolons", "marks of a merge", "a word for a number"])
def test_a_damaged_file_is_named_with_the_line(empty_course, change):
    writing.add_results([record(seed=0)])
    path = results.results_file()
    text = path.read_text(encoding="utf-8")
    changed = {
        "semicolons": text.replace(",", ";"),
        "marks of a merge": text + "<<<<<<< HEAD\n",
        "a word for a number": text.replace(",0.9,", ",high,"),
    }[change]
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(ValueError, match=r"line [23] of .*results\.csv") as caught:
        results.read_results()
    assert "。" in str(caught.value)


def test_table_of_kept_results():
    rows = [
        kept(record(accuracy=accuracy, seed=seed, seconds=[1.0, 2.0]))
        for seed, accuracy in enumerate((0.90, 0.92))
    ]
    shown = d2l.table({"one seed": rows[0], "two": rows})
    assert list(shown.index) == ["one seed", "two"]
    assert shown.loc["two"].to_dict() == {
        "parameters": "10",
        "multiply-adds": "2,000,000",
        "epochs": "2",
        "seeds": "2",
        "test accuracy": "0.9100 ± 0.0141",
        "seconds": "3",
    }
    assert shown.loc["one seed", "test accuracy"] == "0.9000"
    both = d2l.table({"kept": rows, "here": record(train_loss=[2.0, 1.0])})
    assert list(both["train loss"]) == ["", "1.0000"]
    assert list(both["test accuracy"]) == ["0.9100 ± 0.0141", "0.9000"]


SHOWN = [d2l.table, functools.partial(d2l.plot_spreads, title="Nets")]


@pytest.mark.parametrize("show", SHOWN)
def test_runs_without_names_are_refused(show):
    for runs in (record(), [record()]):
        with pytest.raises(TypeError, match="dict from names to runs"):
            show(runs)
    with pytest.raises(ValueError):
        show({"net": []})
    for other in (0.9, "0.9"):
        with pytest.raises(TypeError, match=type(other).__name__):
            show({"net": other})


@pytest.mark.parametrize("show", SHOWN)
def test_kept_runs_stand_beside_those_at_hand(show):
    show({"kept": kept(record()), "here": record(seed=1), "both": [kept(record()), record(seed=1)]})


def test_kept_runs_have_no_curves():
    run = kept(record())
    assert run.rows() == [] and "0.9" in run._repr_html_()
    with pytest.raises(ValueError, match="has no curves"):
        d2l.plot_history(run)


def test_kept_runs_are_judged():
    high, low = ([kept(record(seed=s, accuracy=a + s / 100)) for s in range(3)] for a in (0.9, 0.5))
    assert d2l.judge(high, ">", low).mark == "✓"


@pytest.mark.parametrize(
    ("change", "message"),
    [({"name": "scratch"}, "chapter/model/variant"), ({"test_accuracy": []}, "test set")],
)
def test_a_run_that_cannot_be_a_result_says_why(empty_course, change, message):
    with pytest.raises(ValueError, match=message):
        results.row_of(record(**change))
