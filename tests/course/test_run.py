"""Running notebooks, keeping their outputs and results."""

import contextlib
import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import wide
from records import record

from d2lhelpers import __main__ as command
from d2lhelpers import results
from d2lhelpers._paths import folder, project_folder
from d2lhelpers.course import full, parameters, run
from d2lhelpers.course import notebooks as files
from d2lhelpers.course import results as kept
from d2lhelpers.results import mean_accuracy
from d2lhelpers.say import use_language
from d2lhelpers.sources import Found

ROOT = project_folder()
NOTHING = parameters.Values({}, {})


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
    monkeypatch.setenv("D2L_BUILD", str(tmp_path / "build"))
    (tmp_path / "notebooks").mkdir()
    parameters = (
        "EPOCHS = 16\nTRAIN_SIZE = TEST_SIZE = None\nSOURCE = 'auto'\nLR = 0.1\nSEEDS = (0, 1, 2)"
    )
    good = notebook_of(parameters, "print(EPOCHS, SOURCE)", tags=[(0, "parameters")])
    good.metadata["d2lhelpers"] = {"headlines": ["Net/plain"]}
    bad = notebook_of("x = 1", "# divide\nx / 0")
    nbformat.write(good, tmp_path / "notebooks" / "01_good.ipynb")
    nbformat.write(bad, tmp_path / "notebooks" / "02_bad.ipynb")
    return tmp_path


# ------------------------------------------------------------------------------------- running


@pytest.mark.slow
def test_quick_run_injects_parameters_and_leaves_the_notebook_alone(small_course):
    path = small_course / "notebooks" / "01_good.ipynb"
    before, lines = path.read_bytes(), []
    jobs = run.quick_jobs([path], "synthetic")
    assert run.run_quick(jobs, lines.append) == []
    assert path.read_bytes() == before
    executed = files.read_notebook(small_course / "build" / "notebooks" / "01_good.ipynb")
    assert executed.cells[-1].outputs[0].text == f"{parameters.QUICK['EPOCHS']} synthetic\n"
    (line,) = lines
    assert line.startswith("01_good") and "no training" in line


@pytest.mark.slow
def test_failure_names_notebook_cell_and_error(small_course, monkeypatch, capsys):
    monkeypatch.setattr(run, "source_at_hand", lambda: "synthetic")
    path = small_course / "notebooks" / "02_bad.ipynb"
    assert command.main(["run", str(path)]) == 1
    error = capsys.readouterr().err
    for part in ("02_bad.ipynb", "cell 2 of 2, 'c1'", "# divide", "ZeroDivisionError"):
        assert part in error


def test_full_run_refuses_stand_ins(small_course, monkeypatch, capsys):
    monkeypatch.setattr(run, "source_at_hand", lambda: "synthetic")
    before = (small_course / "notebooks" / "01_good.ipynb").read_bytes()
    assert command.main(["run", "--full", str(small_course / "notebooks" / "01_good.ipynb")]) == 1
    assert "real data" in capsys.readouterr().err
    assert (small_course / "notebooks" / "01_good.ipynb").read_bytes() == before


def test_missing_notebook_is_named(capsys):
    assert command.main(["run", "no/such.ipynb"]) == 2
    assert str(Path("no/such.ipynb")) in capsys.readouterr().err


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_commands_in_the_documents_can_be_given(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    lines = re.findall(r"python -m d2lhelpers\b([^`#\n]*)", text)
    assert lines
    for line in lines:
        try:
            options = command._parser().parse_args(shlex.split(line))
        except SystemExit:
            pytest.fail(f"{document}: python -m d2lhelpers{line}")
        assert all((ROOT / path).exists() for path in getattr(options, "notebooks", [])), line


def test_messages_get_through_a_pipe_that_knows_no_chinese():
    """As on Windows, where its encoding is that of the country."""
    result = subprocess.run(
        [sys.executable, "-c", "from d2lhelpers.say import say; say('正在下载 …', '')"],
        capture_output=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [rb"\u6b63\u5728\u4e0b\u8f7d", b"\x85"]


@pytest.mark.slow
def test_quick_mode_of_every_notebook(quick_runs, quick_copies):
    """The main job, through its command: a line each, exit 0, and no process left behind."""
    assert quick_runs.returncode == 0, quick_runs.stdout + quick_runs.stderr
    lines = [line for line in quick_runs.stdout.splitlines() if " quick 0." in line]
    assert [line.split()[0] for line in lines] == [path.stem for path in files.notebooks()]
    stored = {
        kept.chapter_of(rows[0]): f"full run {mean_accuracy(rows):.4f}"
        for rows in kept.headlines()[::-1]
    }
    assert all(stored[line.split()[0]] in line for line in lines)
    for path in files.notebooks():
        executed = files.read_notebook(quick_copies / path.name)
        outputs = [o for c in executed.cells if c.cell_type == "code" for o in c.outputs]
        assert not [
            o for o in outputs if o.output_type == "error" or "Warning" in o.get("text", "")
        ]
    assert not _tensorboards()


@pytest.mark.slow
def test_stand_ins_under_another_processor_s_arithmetic(tmp_path, monkeypatch):
    """A sample of ``make test-wide``: the chapter that has diverged there."""
    monkeypatch.setenv("D2L_BUILD", str(tmp_path))
    chosen = [path for path in files.notebooks() if path.stem.startswith("04")]
    instructions = wide.INSTRUCTIONS[next(iter(wide.possible_instructions()))]
    jobs = run.quick_jobs(chosen, "synthetic", {"TRAIN_SIZE": 1200, "EPOCHS": 2})
    results = list(run.quick_runs(jobs, tmp_path, instructions | {"OMP_NUM_THREADS": "1"}))
    assert not [result for result in results if isinstance(result, files.NotebookFailure)]
    text = results[0].executed.read_text(encoding="utf-8")
    assert "synthetic stand-in for CIFAR-10" in text and "StandInWarning" not in text


def test_missing_data_is_said_once_in_both_languages(monkeypatch, capsys):
    found = {"MNIST": True, "CIFAR-10": False}
    monkeypatch.setattr(run, "fetch", lambda name: Found(name, found[name], source=name))
    assert run.source_at_hand() == "synthetic"
    said = capsys.readouterr().out
    assert "没有真实数据（CIFAR-10）" in said and "No real data (CIFAR-10)" in said
    found["CIFAR-10"] = True
    assert run.source_at_hand() == "real" and capsys.readouterr().out == ""


def _tensorboards():
    if not Path("/proc").exists():
        return []
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes())
        except OSError:
            continue
    return [c for c in commands if b"tensorboard" in c and str(folder("runs")).encode() in c]


# ------------------------------------------------------------------------------ stored outputs


@pytest.mark.slow
def test_full_run_stores_outputs_and_notices_changed_code(small_course):
    path = small_course / "notebooks" / "01_good.ipynb"
    (small_course / "README.md").write_text("<!-- results: start -->\n<!-- results: end -->\n")
    assert not files.outputs_are_current(files.read_notebook(path))
    full.run_full([path], report=lambda line: None)
    stored = files.read_notebook(path)
    assert [cell.id for cell in stored.cells] == ["c0", "c1"]
    assert stored.cells[1].outputs[0].text == "16 auto\n"
    assert "papermill" not in stored.metadata and "papermill" not in stored.cells[0].metadata
    assert files.outputs_are_current(stored)
    stored.cells[1].source = "print(EPOCHS)"
    assert not files.outputs_are_current(stored)
    nbformat.write(stored, path)
    before, executed = path.read_bytes(), small_course / "build" / "full" / path.name
    with pytest.raises(files.NotebookFailure, match=r"01_good\.ipynb: its code was edited"):
        files.save_outputs(executed, path)
    assert path.read_bytes() == before


@pytest.fixture
def trained(small_course, monkeypatch):
    """Runs of notebooks without a kernel: each is noted, has three results, and 02_bad fails.

    More of what a notebook trained can be put into ``trained.more``, and other seeds be chosen.
    """
    markers = "<!-- results: start -->\n<!-- results: end -->\n"
    (small_course / "README.md").write_text(markers, encoding="utf-8")
    monkeypatch.setattr(run, "source_at_hand", lambda: "real")
    noted = SimpleNamespace(ran=[], more=[], seeds=(0, 1, 2))

    def execute(path, parameters, executed):
        noted.ran.append((path.stem, parameters))
        if path.stem == "02_bad":
            raise files.NotebookFailure("02_bad.ipynb: cell 2 of 2 failed")
        executed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, executed)
        runs = [record(f"{path.stem}/Net/plain", seed) for seed in noted.seeds]
        return run.Outcome(path, 1.0, executed, runs + noted.more)

    monkeypatch.setattr(full, "run_notebook", execute)
    return noted


def test_a_full_run_stores_outputs_and_results(small_course, trained):
    path = small_course / "notebooks" / "01_good.ipynb"
    assert command.main(["run", "--full", str(path)]) == 0
    assert trained.ran == [(path.stem, NOTHING)]
    assert [row.seed for row in results.read_results()] == [0, 1, 2]
    assert "(3 seeds)" in (small_course / "README.md").read_text(encoding="utf-8")
    assert files.outputs_are_current(files.read_notebook(path))


def test_a_failed_run_changes_nothing_and_keeps_what_went_before(small_course, trained, capsys):
    paths = [small_course / "notebooks" / name for name in ("01_good.ipynb", "02_bad.ipynb")]
    before = paths[1].read_bytes()
    assert command.main(["run", "--full", *map(str, paths)]) == 1
    assert "02_bad.ipynb: cell 2 of 2 failed" in capsys.readouterr().err
    assert {row.name for row in results.read_results()} == {"01_good/Net/plain"}
    assert "01_good" in (small_course / "README.md").read_text(encoding="utf-8")
    assert paths[1].read_bytes() == before


def stored(course):
    """All that a full run may change."""
    files = [*course.glob("*/*.ipynb"), course / "README.md", results.results_file()]
    return {path: path.read_bytes() for path in files if path.exists()}


def test_only_a_chapter_s_own_runs_are_results(small_course, trained):
    trained.more = [record(name) for name in ("scratch", "02_bad/Net/plain", "01_good_2/Net/plain")]
    path = small_course / "notebooks" / "01_good.ipynb"
    assert command.main(["run", "--full", str(path)]) == 0
    assert {row.name for row in results.read_results()} == {"01_good/Net/plain"}


@pytest.mark.parametrize("name", ["01_good/Net/plain", "scratch"])
def test_what_was_trained_on_stand_ins_is_not_stored(small_course, trained, capsys, name):
    path = small_course / "notebooks" / "01_good.ipynb"
    assert command.main(["run", "--full", str(path)]) == 0
    trained.more, before = (
        [record(name, source="synthetic stand-in for MNIST")],
        stored(small_course),
    )
    assert command.main(["run", "--full", str(path)]) == 1
    error = capsys.readouterr().err
    assert "01_good.ipynb" in error and name in error and "SOURCE" in error
    assert stored(small_course) == before


def test_a_copy_of_a_notebook_changes_no_results(small_course, trained, capsys):
    path = small_course / "notebooks" / "01_good.ipynb"
    (small_course / "copies").mkdir()
    copies = [small_course / name for name in ("copies/01_good.ipynb", "notebooks/mine.ipynb")]
    for copy in copies:
        shutil.copy(path, copy)
    before = stored(small_course)
    assert command.main(["run", "--full", *map(str, copies)]) == 0
    assert {path for path, now in stored(small_course).items() if before[path] != now} == {*copies}
    said = capsys.readouterr().out
    assert all(f"{copy} is none" in said for copy in copies) and "results.csv" in said


@pytest.mark.parametrize("name", ["01_good-Copy1", "01_good-2", "01_good - Copy", "01_good (1)"])
def test_a_copy_beside_a_chapter_does_not_join_the_course(small_course, name):
    chapters = files.notebooks()
    shutil.copy(chapters[0], small_course / "notebooks" / f"{name}.ipynb")
    assert files.notebooks() == chapters and len(chapters) == 2


def test_a_chapter_that_trained_nothing_keeps_its_rows(small_course, trained, capsys):
    path = small_course / "notebooks" / "01_good.ipynb"
    trained.seeds = ()
    assert command.main(["run", "--full", str(path)]) == 0  # it had no rows
    trained.seeds = (0, 1, 2)
    assert command.main(["run", "--full", str(path)]) == 0
    trained.seeds, before = (), stored(small_course)
    assert command.main(["run", "--full", str(path)]) == 1
    assert "01_good.ipynb" in capsys.readouterr().err
    assert stored(small_course) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "after"), [("", ["print('never')"]), ("0", []), ("3", ["print('never')"])]
)
def test_a_notebook_that_leaves_early_is_a_failure(small_course, status, after):
    path = small_course / "notebooks" / "01_good.ipynb"
    leave = f"import sys\nsys.exit({status})"
    nbformat.write(notebook_of("EPOCHS = 1", leave, *after, tags=[(0, "parameters")]), path)
    with pytest.raises(files.NotebookFailure, match=r"(?s)01_good\.ipynb: cell 2 of .*SystemExit"):
        run.run_notebook(path, NOTHING, small_course / "build" / path.name)


@pytest.mark.slow
def test_only_what_the_notebook_trained_counts(small_course, monkeypatch):
    """Not another process's run of the same name at the same time, nor what is no record.

    Runs of other names count, as in a copy of a chapter under a name of its own.
    """
    path = small_course / "notebooks" / "01_good.ipynb"
    code = """
import os, pathlib
import torch, d2lhelpers as d2l
data = d2l.load_mnist(8, train_size=8, test_size=8, source="synthetic")
def train(name):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    d2l.train(net, data, epochs=1, lr=0.1, name=name)
for name in ("01_good/Net/plain", "scratch", "02_other/Net/plain"):
    train(name)
del os.environ["D2L_EXECUTION"]  # as in another process
train("01_good/Net/plain")
for i, text in enumerate(("", "[]", "{}", "{\\"execution\\": 1}", "\\ud800")):
    folder = pathlib.Path(os.environ["D2L_RUNS"], "01_good", str(i))
    folder.mkdir()
    (folder / "run.json").write_bytes(text.encode("utf-8", "surrogatepass"))
"""
    nbformat.write(notebook_of("EPOCHS = 1", code, tags=[(0, "parameters")]), path)
    monkeypatch.chdir(small_course)
    monkeypatch.setenv("D2L_RUNS", "mine")
    outcome = run.run_notebook(path, NOTHING, small_course / "build" / path.name)
    assert [run.name for run in outcome.runs] == [
        "01_good/Net/plain",
        "scratch",
        "02_other/Net/plain",
    ]
    assert (small_course / "mine" / "scratch").exists()  # relative to where the command was given


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on this system")
def test_a_dead_kernel_names_its_notebook(small_course):
    path = small_course / "notebooks" / "01_good.ipynb"
    kill = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    nbformat.write(notebook_of("EPOCHS = 1", kill, tags=[(0, "parameters")]), path)
    with pytest.raises(files.NotebookFailure, match=r"01_good\.ipynb: cell 2 of 2, 'c1', ended"):
        run.run_notebook(path, NOTHING, small_course / "build" / path.name)


@pytest.mark.slow
def test_a_cell_that_takes_too_long_is_named(small_course):
    path = small_course / "notebooks" / "01_good.ipynb"
    endless = """
while True:
    try:
        import time
        time.sleep(1)
    except BaseException:
        pass
"""
    nbformat.write(notebook_of("EPOCHS = 1", endless, tags=[(0, "parameters")]), path)
    with pytest.raises(files.NotebookFailure, match=r"cell 2 of 2, 'c1', took longer than 1 s"):
        run.run_notebook(path, NOTHING, small_course / "build" / path.name, seconds=1)


@pytest.mark.slow
def test_the_kernel_is_this_python_whatever_is_installed(small_course, monkeypatch):
    """A kernel of the same name that somebody installed, and a name from another machine."""
    specs = small_course / "jupyter" / "kernels" / "python3"
    specs.mkdir(parents=True)
    (specs / "kernel.json").write_text('{"argv": ["false"], "display_name": "", "language": ""}')
    monkeypatch.setenv("JUPYTER_PATH", str(small_course / "jupyter"))
    path = small_course / "notebooks" / "01_good.ipynb"
    notebook = notebook_of("EPOCHS = 1", "import sys\nprint(sys.executable)")
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"]["name"] = "my-env"
    nbformat.write(notebook, path)
    outcome = run.run_notebook(
        path, parameters.Values({"EPOCHS": 2}, {}), small_course / "build" / path.name
    )
    executed = files.read_notebook(outcome.executed)
    assert executed.cells[-1].outputs[0].text.strip() == sys.executable


@pytest.mark.slow
def test_notebooks_end_in_their_order_and_one_failure_stops_no_other(small_course):
    folder = small_course / "notebooks"
    slow = notebook_of("EPOCHS = 1", "import time\ntime.sleep(2)", tags=[(0, "parameters")])
    nbformat.write(slow, folder / "00_slow.ipynb")
    shutil.copy(folder / "01_good.ipynb", folder / "03_good.ipynb")
    names = ("00_slow", "02_bad", "03_good", "01_good")
    lines = []
    jobs = run.quick_jobs([folder / f"{name}.ipynb" for name in names], "real")
    (failure,) = run.run_quick(jobs, lines.append)
    assert [line.split()[0] for line in lines] == list(names)
    assert "02_bad" in str(failure) and "failed" in lines[1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise on this system")
@pytest.mark.parametrize("mode", [["-p", "SOURCE", "synthetic"], ["--full"]], ids=["quick", "full"])
def test_interrupt_ends_with_a_line_and_without_kernels(small_course, mode):
    """Nor is anything left that a kernel has started: the last process closes the pipe."""
    path = small_course / "notebooks" / "01_good.ipynb"
    pipe = small_course / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    wait = f"""
import subprocess, time
pipe = open({str(pipe)!r}, "w")
subprocess.Popen("echo began; sleep 99", shell=True, stdout=pipe, stderr=pipe)
time.sleep(99)
"""
    cells = "EPOCHS = 1\nSOURCE = 'auto'", wait
    nbformat.write(notebook_of(*cells, tags=[(0, "parameters")]), path)
    with_data = """
import sys
from d2lhelpers import __main__ as command
command.run.source_at_hand = lambda: "real"
sys.exit(command.main(sys.argv[1:]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", with_data, "run", *mode, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    text = b""
    while not text:
        assert process.poll() is None
        time.sleep(0.05)
        with contextlib.suppress(BlockingIOError):
            text = os.read(reader, 99)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in error and "Interrupted" in error
    assert select.select([reader], [], [], 9)[0] and os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise on this system")
@pytest.mark.parametrize("module", ["torch", "d2lhelpers.course"])
def test_interrupt_while_modules_are_imported_ends_with_a_line(tmp_path, module):
    """Whichever of them it is: here one that interrupts its own import."""
    interrupt = f"""
import os, signal, sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupt())
"""
    (tmp_path / "sitecustomize.py").write_text(interrupt)
    first = os.pathsep.join([str(tmp_path), str(ROOT)])
    result = subprocess.run(
        [sys.executable, "-m", "d2lhelpers", "-h"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": first, "PYTHONIOENCODING": "utf-8"},
        cwd=ROOT,
    )
    assert result.returncode == -signal.SIGINT and result.stdout == ""
    assert "Interrupted" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise on this system")
@pytest.mark.parametrize(
    ("arguments", "broken"),
    [(["data"], "stdout"), (["run", "no/such.ipynb"], "stderr")],
)
def test_a_pipe_that_nobody_reads_ends_a_command_quietly(tmp_path, arguments, broken):
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {broken: writer}
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    result = subprocess.run(
        [sys.executable, "-m", "d2lhelpers", *arguments],
        **streams,
        env=os.environ | nowhere | {"D2L_DATA": str(tmp_path), "PYTHONUNBUFFERED": ""},
        cwd=ROOT,
    )
    os.close(writer)
    assert result.returncode == 1
    assert not result.stdout and not result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EPOCH", "1"),
        ("SEEDS", "0"),
        ("EPOCHS", "True"),
        ("EPOCHS", "2.5"),
        ("TRAIN_SIZE", "many"),
        ("SOURCE", "1"),
        ("SOURCE", "internet"),
        ("EPOCHS", "0"),
        ("TRAIN_SIZE", "0"),
        ("SEEDS", "[-1]"),
        ("LR", "-1"),
        ("SEEDS", "['a']"),
        ("SEEDS", "()"),
        ("SEEDS", "{[1]}"),
        ("SEEDS", "[" * 999),
        ("LR", "+" * 99_999 + "x"),
    ],
)
def test_mistyped_parameters_are_refused_before_anything_runs(
    small_course, monkeypatch, capsys, name, value
):
    monkeypatch.setattr(run, "fetch", lambda _: pytest.fail("data were fetched"))
    path = small_course / "notebooks" / "01_good.ipynb"
    assert command.main(["run", "-p", name, value, str(path)]) == 2
    error = capsys.readouterr().err
    assert (name in error and "EPOCHS" in error) or value in error
    assert not (small_course / "build" / "notebooks").exists()


def damage_results(course):
    columns = ";".join(results.COLUMNS)
    (course / "notebooks" / "results.csv").write_text(f"{columns}\n1;2\n")
    (course / "README.md").write_text("<!-- results: start -->\n<!-- results: end -->\n")


def damage_parameters(course, source="EPOCHS = = 1"):
    notebook = notebook_of(source, tags=[(0, "parameters")])
    nbformat.write(notebook, course / "notebooks" / "01_good.ipynb")


def put_a_file_in_place_of_work(course):
    (course / "work").touch()


IN_THE_WAY = {
    "a folder as a notebook": (lambda course: None, ["run", "notebooks"], "notebooks"),
    "no syntax": (damage_parameters, ["run", "notebooks/01_good.ipynb"], "01_good.ipynb"),
    "an exit": (
        lambda course: damage_parameters(course, "raise SystemExit(3)"),
        ["run", "notebooks/01_good.ipynb"],
        "01_good.ipynb",
    ),
    "semicolons": (damage_results, ["run", "notebooks/01_good.ipynb"], "results.csv"),
    "results": (damage_results, ["results"], "results.csv"),
    "no place to export to": (
        put_a_file_in_place_of_work,
        ["export", "--lang", "en", "--to", "work"],
        "work",
    ),
    "no place for copies": (put_a_file_in_place_of_work, ["lab", "zh"], "work"),
}


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_what_is_in_the_way_is_a_line_that_names_it(small_course, monkeypatch, capsys, case):
    prepare, arguments, named = IN_THE_WAY[case]
    prepare(small_course)
    monkeypatch.chdir(small_course)
    monkeypatch.setattr(run, "source_at_hand", lambda: "synthetic")
    for path in (small_course / "notebooks").glob("02*"):
        path.unlink()
    language = os.environ.get("D2L_LANGUAGE")
    try:
        assert command.main(arguments) == 2
    finally:
        use_language(language)
    error = capsys.readouterr().err
    assert named in error and "Traceback" not in error


@pytest.mark.parametrize("mode", [[], ["--full"]], ids=["quick", "full"])
@pytest.mark.parametrize("second", ["b/same.ipynb", "b/Same.ipynb", "./a/same.ipynb"])
def test_notebooks_whose_copies_would_collide_are_named(
    small_course, trained, monkeypatch, capsys, mode, second
):
    monkeypatch.chdir(small_course)
    for path in map(Path, ("a/same.ipynb", second)):
        path.parent.mkdir(exist_ok=True)
        shutil.copy("notebooks/01_good.ipynb", path)
    assert command.main(["run", *mode, "a/same.ipynb", second]) == 2
    assert f"{Path('a/same.ipynb')} and {Path(second)}" in capsys.readouterr().err
    assert trained.ran == []


@pytest.mark.parametrize(
    ("build", "mode", "given"),
    [
        (".", [], "notebooks/01_good.ipynb"),
        (".", [], "mine/01_good.ipynb"),
        ("build", [], "build/notebooks/01_good.ipynb"),
        ("build", ["--full"], "build/full/01_good.ipynb"),
    ],
)
def test_no_executed_copy_is_written_over_a_notebook(
    small_course, trained, monkeypatch, capsys, build, mode, given
):
    monkeypatch.chdir(small_course)
    monkeypatch.setenv("D2L_BUILD", build)
    Path(given).parent.mkdir(parents=True, exist_ok=True)
    if not Path(given).exists():
        shutil.copy("notebooks/01_good.ipynb", given)
    assert command.main(["run", *mode, given]) == 2
    assert str(Path(given)) in capsys.readouterr().err
    assert trained.ran == []


def test_a_full_run_takes_no_parameters(small_course, capsys):
    path = small_course / "notebooks" / "01_good.ipynb"
    assert command.main(["run", "--full", "-p", "EPOCHS", "1", "--", str(path)]) == 2
    assert "-p" in capsys.readouterr().err


def test_a_notebook_s_own_quick_parameters():
    notebook = notebook_of("EPOCHS = 3\nLR = 0.5\nTRAIN_SIZE = None", tags=[(0, "parameters")])
    assert parameters.quick_parameters(notebook).parameters == {"EPOCHS": 2, "TRAIN_SIZE": 2000}
    notebook.metadata["d2lhelpers"] = {"quick": {"LR": 1, "TRAIN_SIZE": 500}}
    quick = {"EPOCHS": 2, "TRAIN_SIZE": 500, "LR": 1}
    assert parameters.quick_parameters(notebook).parameters == quick


def test_a_reader_s_edits_do_not_refuse_the_notebook_s_quick_parameters():
    notebook = notebook_of("LR = 1\nSEEDS = range(3)", "x = 1", tags=[(0, "parameters")])
    quick = {"LR": 0.2, "SEEDS": [0], "TEST_SIZE": 600}
    notebook.metadata["d2lhelpers"] = {"quick": quick, "quick_later": {"c1": {"TRAIN_SIZE": 8}}}
    assert parameters.quick_parameters(notebook) == ({"LR": 0.2, "SEEDS": [0]}, {"c1": {}})


@pytest.mark.parametrize(
    ("own", "given"),
    [
        ("LR = 1", {"LR": 0.2}),
        ("SEEDS = range(3)", {"SEEDS": [0, 5]}),
        ("TRAIN_SIZE = 5000", {"TRAIN_SIZE": None}),
        ("TEST_SIZE = 5000", {"TEST_SIZE": 10}),
        ("WEIGHT_DECAY = 0", {"WEIGHT_DECAY": 5e-4}),
        ("RATES = (1, 2)", {"RATES": (0.5,)}),
    ],
)
def test_an_edited_parameter_may_be_given_all_that_it_means(own, given):
    notebook = notebook_of(own, tags=[(0, "parameters")])
    assert parameters.quick_parameters(notebook, given=given).parameters == given


def test_a_refusal_names_its_notebook(small_course, capsys):
    path, other = (small_course / "notebooks" / name for name in ("01_good.ipynb", "03_mine.ipynb"))
    nbformat.write(notebook_of("EPOCHS = 1\nLR = 0.1", tags=[(0, "parameters")]), other)
    assert command.main(["run", "-p", "SEEDS", "[0]", str(path), str(other)]) == 2
    error = capsys.readouterr().err
    assert error.count(f"{other}") == 2 and str(path) not in error


@pytest.mark.slow
def test_a_quick_run_sets_parameters_anew_further_down(small_course):
    """Before the cell that the metadata names, where the command line does not say otherwise."""
    path = small_course / "notebooks" / "01_good.ipynb"
    notebook = notebook_of("EPOCHS = 3\nLR = 0.5", *["print(EPOCHS, LR)"] * 3)
    notebook.cells[0].metadata["tags"] = ["parameters"]
    later = {"c2": {"EPOCHS": 1, "LR": 0.1}}
    notebook.metadata["d2lhelpers"] = {"quick": {"EPOCHS": 4}, "quick_later": later}
    nbformat.write(notebook, path)
    before = path.read_bytes()
    for given, expected in (
        ({}, ["4 0.5", "1 0.1", "1 0.1"]),
        ({"EPOCHS": 7}, ["7 0.5", "7 0.1", "7 0.1"]),
    ):
        jobs = run.quick_jobs([path], "synthetic", given)
        (outcome,) = run.quick_runs(jobs, small_course / "build")
        printed = [
            cell.outputs[0].text
            for cell in files.read_notebook(outcome.executed).cells
            if cell.outputs
        ]
        assert [text.strip() for text in printed] == expected
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_parameter_arrives_as_the_value_that_was_given(small_course):
    path = small_course / "notebooks" / "01_good.ipynb"
    given = {"A": (3, 4), "B": ([0.5], [1]), "C": 7, "D": "it's\n", "E": True, "F": {1: (2,)}}
    own = "A = (2,)\nB = ([1.0],)\nC = 5\nD = 'x'\nE = False\nF = {}"
    notebook = notebook_of(own, "print([A, B, C, D, E, F])", tags=[(0, "parameters")])
    nbformat.write(notebook, path)
    outcome = run.run_notebook(path, parameters.Values(given, {}), small_course / "b" / path.name)
    assert (
        files.read_notebook(outcome.executed).cells[-1].outputs[0].text == f"{[*given.values()]}\n"
    )


@pytest.mark.parametrize("path", files.notebooks(), ids=lambda path: path.stem)
def test_each_chapter_s_quick_parameters_fit_it(path):
    assert "EPOCHS" in parameters.quick_parameters(files.read_notebook(path)).parameters


def test_an_installed_package_says_that_it_has_no_notebooks(tmp_path, move_project, capsys):
    move_project(tmp_path)
    for arguments in (["run"], ["export", "--lang", "en"], ["results"], ["stamp"]):
        assert command.main(arguments) == 2
        assert str(tmp_path / "notebooks") in capsys.readouterr().err


@pytest.mark.parametrize("variable", ["D2L_BUILD", "D2L_RUNS"])
def test_a_folder_that_cannot_be_written_to_is_named_with_the_way_out(
    small_course, monkeypatch, capsys, variable
):
    (small_course / "file").write_text("")
    monkeypatch.setenv(variable, str(small_course / "file" / "folder"))
    assert command.main(["run", str(small_course / "notebooks" / "01_good.ipynb")]) == 2
    assert variable in capsys.readouterr().err


@pytest.mark.parametrize("variable", ["D2L_BUILD", "D2L_RUNS", "D2L_DATA"])
def test_a_folder_of_an_unknown_user_is_named(small_course, monkeypatch, capsys, variable):
    monkeypatch.setenv(variable, "~nobody-of-this-name/there")
    assert command.main(["run", str(small_course / "notebooks" / "01_good.ipynb")]) == 2
    error = capsys.readouterr().err
    assert variable in error and "~nobody-of-this-name" in error and "Traceback" not in error


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_commands_get_through_a_pipe_that_knows_no_chinese(encoding):
    result = subprocess.run(
        [sys.executable, "-m", "d2lhelpers", "run", "no/such.ipynb"],
        capture_output=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )
    assert result.returncode == 2 and b"no such notebook" in result.stderr, result.stderr


def test_board_opens_the_reader_s_own_folder(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(command.subprocess, "call", lambda line: called.extend(line) or 0)
    monkeypatch.setenv("D2L_RUNS", str(tmp_path))
    assert command.main(["board"]) == 0
    assert str(tmp_path) in called


FORMATS = {
    "Colab": ({"nbformat_minor": 0}, [None, None]),
    "ids forgotten": ({}, [None, None]),
    "one id twice": ({}, ["a", "a"]),
    "a byte order mark": ({}, ["a", "b"]),
}


@pytest.fixture(params=FORMATS)
def foreign(request, small_course):
    """A notebook of two cells as other programs save them."""
    changes, ids = FORMATS[request.param]
    notebook = notebook_of("EPOCHS = 1", "print(EPOCHS)", tags=[(0, "parameters")]) | changes
    for cell, own in zip(notebook["cells"], ids, strict=True):
        cell |= {"id": own}
        if own is None:
            del cell["id"]
    path = small_course / "notebooks" / "01_good.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8-sig" if "mark" in request.param else None)
    return path


def test_each_cell_has_an_id_the_same_each_time(foreign):
    first, again = (files.read_notebook(foreign) for _ in range(2))
    assert first == again
    assert len({cell.id for cell in first.cells}) == 2
    nbformat.validate(first)


@pytest.mark.slow
def test_a_notebook_that_another_program_saved_keeps_its_outputs(foreign, small_course):
    outcome = run.run_notebook(foreign, NOTHING, small_course / "executed.ipynb")
    files.save_outputs(outcome.executed, foreign)
    assert files.read_notebook(foreign).cells[-1].outputs[0].text == "1\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'<<<<<<< HEAD\n{"cells": []}\n=======\n{}\n>>>>>>> theirs\n',
        b'{"cells": [], "metadata"',
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
    ],
)
def test_what_is_no_notebook_is_named_with_the_way_out(small_course, capsys, content):
    path = small_course / "notebooks" / "01_good.ipynb"
    path.write_bytes(content)
    for arguments in (["run"], ["export", "--lang", "en", "--to", str(small_course / "site")]):
        assert command.main(arguments) == 2
        error = capsys.readouterr().err
        assert f"{path} is no whole notebook" in error and f"git restore {path}" in error


def test_parameters_and_tags():
    notebook = notebook_of("EPOCHS = 3\nSEED = 1", "EPOCHS", tags=[(0, "parameters")])
    assert files.parameters_of(notebook) == {"EPOCHS": 3, "SEED": 1}
    with pytest.raises(ValueError, match="found 0"):
        files.cell_with_tag(notebook, "model")


def test_a_parameters_cell_is_executed_as_in_a_kernel():
    """Comprehensions and functions see its names, and magics are no syntax error."""
    source = """%matplotlib inline
%%capture
!pip list
LR = 0.5
LRS = [LR * 2**k for k in range(2)]
if LR:
    %load_ext autoreload
RATE = (lambda: LR)()
"""
    own = files.parameters_of(notebook_of(source, tags=[(0, "parameters")]))
    assert own.pop("RATE") == own["LR"] and own == {"LR": 0.5, "LRS": [0.5, 1.0]}


# ----------------------------------------------------------------------------------------- nbval


@pytest.mark.slow
@pytest.mark.parametrize("altered", [False, True])
def test_nbval_fails_when_a_checked_output_changes(tmp_path, altered):
    """The beginning of chapter 1, once as it is and once with one stored shape altered.

    All else may differ: no data, a pipe that knows no Chinese, a line on stderr, another machine's
    name for the kernel. A relative folder is the same to the kernel, which works elsewhere.
    """
    notebook = files.read_notebook(files.notebooks()[0])
    end = [cell.id for cell in notebook.cells].index("conv") + 1
    notebook.cells = [cell for cell in notebook.cells[:end] if cell.cell_type == "code"]
    output = notebook.cells[-1].outputs[0]
    assert "28" in output.text
    if altered:
        output.text = output.text.replace("28", "27")
    notebook.cells[-1].source += "\nprint('by the way', file=sys.stderr)"
    check = "import os\nassert os.path.isabs(os.environ['D2L_DATA'])"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(check))
    notebook.metadata["kernelspec"]["name"] = "my-env"
    folder = files.build_folder() / f"nbval-{altered}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "01.ipynb")
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    no_data = os.path.relpath(tmp_path, ROOT)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", folder],
        capture_output=True,
        text=True,
        encoding="ascii",
        env=os.environ | nowhere | {"D2L_DATA": no_data, "PYTHONIOENCODING": "ascii"},
        cwd=ROOT,
    )
    assert result.returncode == int(altered), result.stdout + result.stderr
    assert ("27" in result.stdout) is altered
    assert "No real data" in result.stdout
