"""Results of full runs: averaged over seeds, told."""

import pytest

import d2lhelpers as d2l
from d2lhelpers import results
from d2lhelpers.course import results as writing


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


@pytest.mark.parametrize(
    ("change", "message"),
    [({"name": "scratch"}, "chapter/model/variant"), ({"test_accuracy": []}, "test set")],
)
def test_a_run_that_cannot_be_a_result_says_why(empty_course, change, message):
    fields = {key: value for key, value in record().items() if key != "versions"} | change
    with pytest.raises(ValueError, match=message):
        d2l.report(d2l.History(**fields, log_dir=""))
