"""Makes `pytest --nbval notebooks/` a quick run; `--full` turns that off. Slow tests run last.

Where the test of the quick runs is among those chosen, as in `make test`, the notebooks are
executed once, beside the other tests, and nbval compares what that execution gave. Only then may
the tests run in several processes, `pytest -n 2 --dist worksteal`: a kernel of nbval's own needs
all cells of its notebook.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import matplotlib
import pytest
import torch

from d2lhelpers._paths import folder, write_atomically
from d2lhelpers.course import kernels, run
from d2lhelpers.course.notebooks import build_folder, notebooks, read_notebook
from d2lhelpers.course.parameters import assignments, quick_parameters

matplotlib.use("Agg")


def pytest_addoption(parser):
    parser.addoption(
        "--full", action="store_true", help="with --nbval: run notebooks on full data, for hours"
    )


def pytest_configure(config):
    # No bars, no TensorBoard server, and nothing of the tests among what is the reader's.
    if not _is_worker(config):  # workers inherit the environment
        os.environ.update(kernels.BATCH)
        os.environ["D2L_BUILD"] = str(build_folder() / "test")
        os.environ["D2L_RUNS"] = str(build_folder() / "runs")
        if "D2L_DATA" in os.environ:  # nbval's kernels work in the notebooks' folder
            os.environ["D2L_DATA"] = str(folder("data"))
        # Of this session alone, known to its workers: another session may run beside it.
        os.environ["D2L_MAIN_JOB"] = str(build_folder() / f"main-job-{uuid.uuid4().hex[:8]}")
    # nbval's own kernels: of this Python, whatever name a notebook was saved with.
    config.option.nbval_current_env = not getattr(config.option, "nbval_kernel_name", None)
    if config.getoption("full") and config.getoption("nbval"):
        config.option.nbval_cell_timeout = run.FULL_SECONDS
    if not config.option.nbval_sanitize_with:
        config.option.nbval_sanitize_with = str(config.rootpath / "tests" / "nbval.cfg")


def _is_worker(config):
    """Whether this is one of the processes among which pytest-xdist divides the tests."""
    return hasattr(config, "workerinput")


def pytest_collection_modifyitems(config, items):
    cells = [item for item in items if hasattr(item, "cell")]
    for cell in cells:
        cell.add_marker("slow")
    for file in {cell.parent for cell in cells}:
        # A warning of another version's is no failure, nor is a point of a chart elsewhere; what
        # a picture shows is compared as the text beside it.
        file.skip_compare += ("stderr", "image/svg+xml")
    if cells and not config.getoption("full"):
        _make_quick(config, cells)
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def _make_quick(config, cells):
    """Let the cells set the parameters of a quick run as well."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        source = run.source_at_hand()
    for file in {cell.parent for cell in cells}:
        try:
            run.own_parameters(file.path, file.nb)
            quick = quick_parameters(file.nb, source)
        except ValueError as error:
            raise pytest.UsageError(f"{file.path.name}: {error}") from None
        for cell in file.nb.cells:
            if "parameters" in cell.metadata.get("tags", []):
                cell.source += "\n" + assignments(quick.parameters)
            elif cell.get("id") in quick.later:  # Colab saves none
                cell.source = assignments(quick.later[cell.id]) + "\n" + cell.source


# ------------------------------------------------------- one execution for papermill and nbval


def pytest_collection_finish(session):
    config = session.config
    chosen = any("quick_runs" in getattr(item, "fixturenames", ()) for item in session.items)
    if chosen and not config.option.collectonly:
        torch.set_num_threads(1)  # or threads of all processes wait for each other's cores
        MAIN_JOB.wanted = True
        if not _is_worker(config) or config.workerinput["workerid"] == "gw0":
            MAIN_JOB.start(config.rootpath)


def pytest_sessionfinish(session, exitstatus):
    others_wait = _is_worker(session.config) and exitstatus != pytest.ExitCode.INTERRUPTED
    MAIN_JOB.finish(stop=not others_wait)
    if not _is_worker(session.config) and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(MAIN_JOB.folder, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    shared = MAIN_JOB.wanted and not item.config.getoption("full")
    if hasattr(item, "cell") and shared and item.path in notebooks():
        item.parent.setup = item.parent.setup_sanitize_files  # and starts no kernel
        item.parent.kernel = Recorded(executed_outputs(item.path)[item.cell.id])


@pytest.fixture(scope="session")
def quick_runs():
    """The main job, every notebook in quick mode by its command, as a completed process."""
    return MAIN_JOB.result


@pytest.fixture(scope="session")
def quick_copies():
    """The folder of the executed copies that the main job leaves."""
    return MAIN_JOB.copies


class MainJob:
    """``python -m d2lhelpers run``, beside the tests; what needs its result waits for it.

    One process of the tests starts it, and all read from a file how it ended.
    """

    wanted = False
    process = None

    @property
    def folder(self):
        return Path(os.environ["D2L_MAIN_JOB"])

    @property
    def file(self):
        return self.folder / "ended.json"

    @property
    def copies(self):
        return self.folder / run.QUICK

    def start(self, project):
        for old in self.folder.parent.glob("main-job-*"):  # kept to look at, after a failure
            if time.time() - old.stat().st_mtime > 24 * 3600:
                shutil.rmtree(old, ignore_errors=True)
        # The tests go first: they wait for each other, the notebooks fill the time in between.
        nice = ["nice"] if shutil.which("nice") else []
        # That all of it runs is tested here, not how well it learns: that takes longer.
        short = ["-p", "TRAIN_SIZE", "960"]
        self.process = subprocess.Popen(
            [*nice, sys.executable, "-m", "d2lhelpers", "run", *short],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=os.environ | {"D2L_BUILD": str(self.folder), "PYTHONIOENCODING": "utf-8"},
            cwd=project,
        )
        self.thread = threading.Thread(target=self._keep_result)
        self.thread.start()

    def _keep_result(self):
        stdout, stderr = self.process.communicate()
        ended = {"args": self.process.args, "returncode": self.process.returncode}
        text = json.dumps(ended | {"stdout": stdout, "stderr": stderr})
        write_atomically(self.file, lambda path: path.write_text(text, encoding="utf-8"))

    @functools.cached_property
    def result(self):
        deadline = time.monotonic() + run.QUICK_SECONDS  # the process that runs it may be killed
        while not self.file.exists():
            if time.monotonic() > deadline:
                pytest.fail(
                    f"the quick runs have not ended in {run.QUICK_SECONDS} s", pytrace=False
                )
            time.sleep(0.1)
        return subprocess.CompletedProcess(**json.loads(self.file.read_text(encoding="utf-8")))

    def finish(self, stop):
        if self.process:
            if stop and self.process.poll() is None:
                self.process.terminate()
            self.thread.join()


MAIN_JOB = MainJob()


@functools.cache
def executed_outputs(path):
    """What the main job's execution of a notebook gave, by the cells' ids."""
    _ = MAIN_JOB.result  # it has ended
    executed = read_notebook(MAIN_JOB.copies / path.name)
    return {cell.id: cell.get("outputs", []) for cell in executed.cells}


class Recorded:
    """Stands for nbval's kernel: executing a cell gives the outputs that it had before."""

    def __init__(self, outputs):
        self.outputs = outputs

    def execute_cell_input(self, source, allow_stdin=None):
        ended = {"output_type": "status", "execution_state": "idle"}
        self.messages = [
            {"msg_type": out["output_type"], "content": out, "parent_header": {"msg_id": "0"}}
            for out in [*self.outputs, ended]
        ]
        return "0"

    def get_message(self, stream, timeout=None):
        return self.messages.pop(0)

    def await_reply(self, msg_id, timeout=None):
        """It has ended already."""

    def await_idle(self, parent_id, timeout):
        self.messages.clear()

    def is_alive(self):
        return True

    def stop(self):
        """Nothing runs."""
