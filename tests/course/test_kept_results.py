"""Keeping the results of full runs, and the README's table of them."""

import csv
import re
import threading
import time

import filelock
import pytest
from records import record, write_chapter

import d2lhelpers as d2l
from d2lhelpers import results
from d2lhelpers.course import notebooks as files
from d2lhelpers.course import results as writing

ROOT = results.project_folder()


@pytest.fixture
def empty_course(tmp_path, move_project):
    move_project(tmp_path)


def test_results_are_kept_and_replaced(empty_course):
    writing.add_results([record(seed=0, accuracy=0.5), record(seed=1)])
    writing.add_results([record(seed=0, accuracy=0.7), record(name="02_bad/Net/plain")])
    rows = results.read_results()
    assert [(r.name, r.seed, r.test_accuracy) for r in rows] == [
        ("01_good/Net/plain", 0, [0.7]),
        ("01_good/Net/plain", 1, [0.9]),
        ("02_bad/Net/plain", 0, [0.9]),
    ]
    assert (rows[0].epochs, rows[0].seconds, rows[0].multiply_adds) == (2, [3.5], 2_000_000)
    with results.results_file().open() as file:
        assert tuple(next(csv.reader(file))) == tuple(results.COLUMNS)


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
    writing.add_results([record(seed=2, accuracy=0.5, **change)])
    rows = results.read_results()
    assert [(r.name, r.seed, r.test_accuracy) for r in rows] == [
        ("01_good/Net/plain", 2, [0.5]),
        ("01_good/Net/other", 1, [0.9]),
    ]


def test_runs_that_never_saw_the_test_set_are_no_results(empty_course):
    writing.add_results([record(test_accuracy=[])])
    assert results.read_results() == []


def test_a_chapter_that_trains_all_its_seeds_itself_leaves_no_old_rows(empty_course):
    writing.add_results([record(), record(name="01_good/Net/gone"), record(name="02_b/Net/plain")])
    writing.add_results([record(accuracy=0.7)], instead_of="01_good")
    rows = results.read_results()
    assert [(row.name, row.test_accuracy) for row in rows] == [
        ("01_good/Net/plain", [0.7]),
        ("02_b/Net/plain", [0.9]),
    ]


def test_only_headlines_are_in_the_readme(tmp_path, empty_course):
    """What a notebook names, once it has run with three seeds; not all that has."""
    write_chapter(tmp_path)
    writing.add_results([record(seed=s) for s in range(2)])
    assert "Net" not in writing.results_table()
    writing.add_results(
        [record(seed=s, name=f"01_good/Net/{v}") for s in range(3) for v in ("plain", "x")]
    )
    assert "Net (plain)" in writing.results_table() and "Net (x)" not in writing.results_table()


def test_readme_shows_the_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert writing.readme_with_table(text) == text


@pytest.mark.parametrize(
    "text", ["", "<!-- results: start -->", "<!-- results: end --><!-- results: start -->"]
)
def test_a_readme_without_its_markers_is_told_where_they_belong(text):
    with pytest.raises(ValueError, match="<!-- results: start --> and then <!-- results: end -->"):
        writing.readme_with_table(text)


def test_two_full_runs_at_once_lose_nothing(tmp_path, empty_course, monkeypatch):
    """Each reads the file before the other has written it, were there no lock."""
    write_chapter(tmp_path)
    (tmp_path / "README.md").write_text("<!-- results: start -->\n<!-- results: end -->\n")
    read = writing.read_results

    def slowly():
        rows = read()
        time.sleep(0.2)
        return rows

    monkeypatch.setattr(writing, "read_results", slowly)
    keep = [
        threading.Thread(target=writing.keep_results, args=([record(seed=seed)],))
        for seed in range(3)
    ]
    for thread in keep:
        thread.start()
    for thread in keep:
        thread.join()
    assert sorted(row.seed for row in read()) == [0, 1, 2]
    assert "(3 seeds)" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_results_held_by_another_process_are_not_written(empty_course, monkeypatch):
    writing.add_results([record(seed=0)])
    before = results.results_file().read_bytes()

    def never(lock, *_, **__):
        raise filelock.Timeout(lock.lock_file)

    monkeypatch.setattr(filelock.FileLock, "acquire", never)
    with pytest.raises(OSError, match="another process"):
        writing.keep_results([record(seed=1)])
    assert results.results_file().read_bytes() == before


def test_a_file_that_a_spreadsheet_saved_is_read(empty_course):
    """With a byte order mark before it and carriage returns in it."""
    writing.add_results([record(seed=0)])
    text = results.results_file().read_text(encoding="utf-8")
    results.results_file().write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    writing.add_results([record(seed=1)])
    assert [row.seed for row in results.read_results()] == [0, 1]
    assert results.results_file().read_bytes().startswith(b"chapter,")


def test_a_diverged_run_is_a_row_and_no_number_in_the_table(tmp_path, empty_course):
    write_chapter(tmp_path)
    writing.add_results([record(seed=s) for s in range(3)])
    writing.add_results([record(seed=1, accuracy=float("nan"))])
    assert [row.seed for row in results.read_results()] == [0, 1, 2]
    table = writing.results_table()
    assert "diverged" in table and "nan" not in table and "0.9" not in table


def verdicts_on_test_accuracy():
    """Chapter, code and stored text of each verdict that compares variants in the results."""
    for path in files.notebooks():
        for cell in files.lesson_cells(files.read_notebook(path)):
            for output in cell.outputs:
                text = output.get("data", {}).get("text/plain", "")
                if re.match(r". [^:：]+: test accuracy", text):
                    yield pytest.param(path.stem, cell.source, text, id=f"{path.stem}-{cell.id}")


@pytest.mark.parametrize(("chapter", "code", "text"), [*verdicts_on_test_accuracy()])
def test_stored_marks_are_those_of_today_s_results(chapter, code, text):
    """Noise is pooled over chapters: another one's full run may change what a mark rests on."""

    def side(mean, name):
        """The variant's runs, of another chapter where this one has none of that name.

        Where only variants are named, the models are told by the mean.
        """
        groups = [
            runs
            for variant, runs in results.by_variant(results.read_results()).items()
            if variant.endswith(f"/{name}") and f"{results.mean_accuracy(runs):.4f}" == mean
        ]
        own = [runs for runs in groups if writing.chapter_of(runs[0]) == chapter]
        (runs,) = own or groups
        return runs

    found = re.findall(r"(0\.\d{4}) \((.+?)\) (>|<|==) (0\.\d{4}) \((.+?)\), 95%", text)
    margin = re.search(r"margin=([\d.]+)", code)
    options = {"margin": float(margin[1])} if margin else {}
    claim = [side(*found[0][:2])]
    for _, _, relation, mean, name in found:
        claim += [relation, side(mean, name)]
    assert d2l.judge(*claim, **options).mark == text[0]
