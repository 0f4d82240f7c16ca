"""Running notebooks, keeping their outputs and results."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from d2lhelpers import __main__ as command
from d2lhelpers import results
from d2lhelpers._paths import project_folder
from d2lhelpers.course import notebooks as files
from d2lhelpers.course import run
from d2lhelpers.sources import Found

ROOT = project_folder()


def notebook_of(*sources, tags=()):
    cells = [nbformat.v4.new_code_cell(source, id=f"c{i}") for i, source in enumerate(sources)]
    for index, tag in tags:
        cells[index].metadata["tags"] = [tag]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture
def small_course(tmp_path, move_project, monkeypatch):
    """A project of its own, with two small notebooks."""
    move_project(tmp_path)
    monkeypatch.setenv("D2L_RUNS", str(tmp_path / "runs"))
    (tmp_path / "notebooks").mkdir()
    parameters = (
        "EPOCHS = 16\nTRAIN_SIZE = TEST_SIZE = None\nSOURCE = 'auto'\nSEED = 0\nEXPERIMENTS = True"
    )
    good = notebook_of(parameters, "print(EPOCHS, SOURCE)", tags=[(0, "parameters")])
    bad = notebook_of("x = 1", "# divide\nx / 0")
    nbformat.write(good, tmp_path / "notebooks" / "01_good.ipynb")
    nbformat.write(bad, tmp_path / "notebooks" / "02_bad.ipynb")
    return tmp_path


# ------------------------------------------------------------------------------------- running


@pytest.mark.slow
def test_quick_run_injects_parameters_and_leaves_the_notebook_alone(small_course):
    path = small_course / "notebooks" / "01_good.ipynb"
    before, lines = path.read_bytes(), []
    run.run_quick([path], {"SOURCE": "synthetic"}, report=lines.append)
    assert path.read_bytes() == before
    executed = files.read_notebook(small_course / "build" / "notebooks" / "01_good.ipynb")
    assert executed.cells[-1].outputs[0].text == f"{run.QUICK['EPOCHS']} synthetic\n"
    (line,) = lines
    assert line.startswith("01_good") and "no training" in line


@pytest.mark.slow
def test_failure_names_notebook_cell_and_error(small_course, monkeypatch, capsys):
    monkeypatch.setattr(run, "source_at_hand", lambda report: "synthetic")
    path = small_course / "notebooks" / "02_bad.ipynb"
    assert command.main(["run", str(path)]) == 1
    error = capsys.readouterr().err
    for part in ("02_bad.ipynb", "cell 2 of 2, 'c1'", "# divide", "ZeroDivisionError"):
        assert part in error


def test_full_run_refuses_stand_ins(small_course, monkeypatch, capsys):
    monkeypatch.setattr(run, "source_at_hand", lambda report: "synthetic")
    before = (small_course / "notebooks" / "01_good.ipynb").read_bytes()
    assert command.main(["run", "--full", str(small_course / "notebooks" / "01_good.ipynb")]) == 1
    assert "real data" in capsys.readouterr().err
    assert (small_course / "notebooks" / "01_good.ipynb").read_bytes() == before


def test_missing_notebook_is_named(capsys):
    assert command.main(["run", "no/such.ipynb"]) == 2
    assert str(Path("no/such.ipynb")) in capsys.readouterr().err


def test_messages_get_through_a_pipe_that_knows_no_chinese():
    """As on Windows, where its encoding is that of the country."""
    result = subprocess.run(
        [sys.executable, "-c", "from d2lhelpers import say; say('正在下载 …', '')"],
        capture_output=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [rb"\u6b63\u5728\u4e0b\u8f7d", b"\x85"]


@pytest.mark.slow
def test_quick_mode_of_every_notebook(request):
    """The main job, through its command: a line each, exit 0, and no process left behind."""
    expected = len(files.notebooks())
    result = subprocess.run(
        [sys.executable, "-m", "d2lhelpers", "run"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if "test accuracy 0." in line]
    assert len(lines) == expected
    for path in files.notebooks():
        executed = files.read_notebook(files.build_folder() / "notebooks" / path.name)
        outputs = [o for c in executed.cells if c.cell_type == "code" for o in c.outputs]
        assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert not _tensorboards()


@pytest.mark.slow
def test_first_chapter_on_the_stand_in():
    lines = []
    path = files.notebooks()[0]
    run.run_quick([path], {"SOURCE": "synthetic"}, report=lines.append)
    executed = files.read_notebook(files.build_folder() / "notebooks" / path.name)
    text = nbformat.writes(executed)
    assert "synthetic stand-in for MNIST" in text and "StandInWarning" not in text


def test_missing_data_is_said_once_in_both_languages(monkeypatch):
    found = {"MNIST": True, "CIFAR-10": False}
    monkeypatch.setattr(run, "fetch", lambda name: Found(name, found[name], source=name))
    said = []
    assert run.source_at_hand(report=said.append) == "synthetic"
    (message,) = said
    assert "没有真实数据（CIFAR-10）" in message and "No real data (CIFAR-10)" in message
    found["CIFAR-10"] = True
    assert run.source_at_hand(report=said.append) == "real" and len(said) == 1


def _tensorboards():
    if not Path("/proc").exists():
        return []
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes())
        except OSError:
            continue
    return [c for c in commands if b"tensorboard" in c and str(ROOT).encode() in c]


# ------------------------------------------------------------------------------ stored outputs


@pytest.mark.slow
def test_full_run_stores_outputs_and_notices_changed_code(small_course):
    path = small_course / "notebooks" / "01_good.ipynb"
    (small_course / "README.md").write_text("<!-- results: start -->\n<!-- results: end -->\n")
    assert not files.outputs_are_current(files.read_notebook(path))
    run.run_full([path], report=lambda line: None)
    stored = files.read_notebook(path)
    assert [cell.id for cell in stored.cells] == ["c0", "c1"]
    assert stored.cells[1].outputs[0].text == "16 auto\n"
    assert "papermill" not in stored.metadata and "papermill" not in stored.cells[0].metadata
    assert files.outputs_are_current(stored)
    stored.cells[1].source = "print(EPOCHS)"
    assert not files.outputs_are_current(stored)
    nbformat.write(stored, path)
    before, executed = path.read_bytes(), small_course / "build" / "notebooks" / path.name
    with pytest.raises(files.NotebookFailure, match=r"01_good\.ipynb: its code was edited"):
        files.save_outputs(executed, path)
    assert path.read_bytes() == before


@pytest.fixture
def trained(small_course, monkeypatch):
    """Runs of notebooks without a kernel: each is noted, leaves one result, and 02_bad fails."""
    markers = "<!-- results: start -->\n<!-- results: end -->\n"
    (small_course / "README.md").write_text(markers, encoding="utf-8")
    monkeypatch.setattr(run, "source_at_hand", lambda report: "real")
    ran = []

    def execute(path, parameters, executed):
        ran.append((path.stem, parameters))
        if path.stem == "02_bad":
            raise files.NotebookFailure("02_bad.ipynb: cell 2 of 2 failed")
        executed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, executed)
        record = {"name": f"{path.stem}/Net/plain", "source": "MNIST", "device": "CPU"}
        record |= {"seed": parameters.get("SEED", 0), "parameters": 1, "multiply_adds": 1}
        record |= {"train_samples": 8, "train_loss": [1.0], "seconds": [1.0], "versions": ""}
        return run.Outcome(path, 1.0, executed, [record | {"test_accuracy": [0.5]}])

    monkeypatch.setattr(run, "run_notebook", execute)
    return ran


def test_full_run_takes_the_other_seeds_first(small_course, trained):
    path = small_course / "notebooks" / "01_good.ipynb"
    assert command.main(["run", "--full", "--seeds", "0", "1", "2", "--", str(path)]) == 0
    headline = {"EXPERIMENTS": False}
    assert trained == [(path.stem, {"SEED": s} | headline) for s in (1, 2)] + [(path.stem, {})]
    assert [row["seed"] for row in results.read_results()] == [1, 2, 0]
    assert "(3 seeds)" in (small_course / "README.md").read_text(encoding="utf-8")
    assert files.outputs_are_current(files.read_notebook(path))


def test_seeds_alone_add_results_and_store_no_outputs(small_course, trained):
    path = small_course / "notebooks" / "01_good.ipynb"
    before = path.read_bytes()
    assert command.main(["run", str(path), "--seeds", "0", "3"]) == 0
    assert trained == [(path.stem, {"SEED": s, "EXPERIMENTS": False}) for s in (0, 3)]
    assert [row["seed"] for row in results.read_results()] == [0, 3]
    assert path.read_bytes() == before


def test_a_failed_run_changes_nothing_and_keeps_what_went_before(small_course, trained, capsys):
    paths = [small_course / "notebooks" / name for name in ("01_good.ipynb", "02_bad.ipynb")]
    seeds = ["--seeds", "0", "1", "2"]
    notebook = files.read_notebook(paths[1])
    notebook.cells.insert(
        0, nbformat.v4.new_code_cell("SEED = 0", metadata={"tags": ["parameters"]})
    )
    nbformat.write(notebook, paths[1])
    before = paths[1].read_bytes()
    assert command.main(["run", "--full", *seeds, "--", *map(str, paths)]) == 1
    assert "02_bad.ipynb: cell 2 of 2 failed" in capsys.readouterr().err
    assert {row["chapter"] for row in results.read_results()} == {"01_good"}
    assert "01_good" in (small_course / "README.md").read_text(encoding="utf-8")
    assert paths[1].read_bytes() == before


@pytest.mark.slow
def test_runs_of_others_and_relative_folders(small_course, monkeypatch):
    """Only the notebook's own runs count, in the reader's folder wherever the kernel works."""
    path = small_course / "notebooks" / "01_good.ipynb"
    code = """
import json, os, time
from pathlib import Path
for name in ("01_good/Net/plain", "scratch", "02_other/Net/plain"):
    folder = Path(os.environ["D2L_RUNS"]) / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"name": name, "started": time.time()}))
"""
    nbformat.write(notebook_of("EPOCHS = 1", code, tags=[(0, "parameters")]), path)
    monkeypatch.chdir(small_course)
    monkeypatch.setenv("D2L_RUNS", "mine")
    outcome = run.run_notebook(path, {}, small_course / "build" / path.name)
    assert [run["name"] for run in outcome.runs] == ["01_good/Net/plain"]
    assert (small_course / "mine" / "scratch" / "run.json").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on this system")
def test_a_dead_kernel_names_its_notebook(small_course):
    path = small_course / "notebooks" / "01_good.ipynb"
    kill = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    nbformat.write(notebook_of("EPOCHS = 1", kill, tags=[(0, "parameters")]), path)
    with pytest.raises(files.NotebookFailure, match=r"01_good\.ipynb: its kernel died"):
        run.run_notebook(path, {}, small_course / "build" / path.name)


def test_parameters_and_tags():
    notebook = notebook_of("EPOCHS = 3\nSEED = 1", "EPOCHS", tags=[(0, "parameters")])
    assert files.parameters_of(notebook) == {"EPOCHS": 3, "SEED": 1}
    with pytest.raises(ValueError, match="found 0"):
        files.cell_with_tag(notebook, "model")


# ----------------------------------------------------------------------------------------- nbval


@pytest.mark.slow
@pytest.mark.parametrize("altered", [False, True])
def test_nbval_fails_when_a_checked_output_changes(altered):
    """The beginning of chapter 1, once as it is and once with one stored shape altered."""
    notebook = files.read_notebook(files.notebooks()[0])
    end = [cell.id for cell in notebook.cells].index("batch") + 1
    notebook.cells = [cell for cell in notebook.cells[:end] if cell.cell_type == "code"]
    output = notebook.cells[-1].outputs[0]
    assert "28" in output.text
    if altered:
        output.text = output.text.replace("28", "27")
    folder = files.build_folder() / f"nbval-{altered}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "01.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", folder]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == int(altered), result.stdout
    assert ("27" in result.stdout) is altered
