"""TensorBoard is opened for a person, and for nobody else."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from d2lhelpers import show_board
from d2lhelpers._paths import folder


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for the server in /proc")
@pytest.mark.parametrize("person", [True, False])
def test_board_opens_for_a_person_only(runs_folder, tmp_path, monkeypatch, person):
    """In a kernel as Jupyter starts it for a person: no activated environment, a session's name."""
    import nbformat
    from nbclient import NotebookClient

    for name in ("D2L_BATCH", "PYTEST_VERSION", "VIRTUAL_ENV", "TENSORBOARD_BINARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where TensorBoard notes which servers run
    if person:
        monkeypatch.setenv("JPY_SESSION_NAME", "01.ipynb")
    else:
        monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    code = "import d2lhelpers as d2l\nd2l.show_board()"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    try:
        NotebookClient(notebook, kernel_name="python3", timeout=100).execute()
        shown = str(notebook.cells[0].outputs)
    finally:
        left_behind = servers_on(runs_folder)
        for process in left_behind:
            os.kill(process, signal.SIGTERM)
    assert left_behind == []  # the server ends with its kernel
    # TensorBoard shows its frame only once its server answers.
    assert ("<iframe" in shown) is person and ("make board" in shown) is not person


def test_the_line_says_where_the_logs_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("D2L_RUNS", str(tmp_path / "of mine"))
    show_board()
    assert capsys.readouterr().out.count(f"--logdir '{tmp_path / 'of mine'}'") == 2
    monkeypatch.delenv("D2L_RUNS")
    default = str(folder("runs"))
    for given in ("", default):  # a full run's outputs name no folder of its machine
        monkeypatch.setenv("D2L_RUNS", given)
        show_board()
        assert capsys.readouterr().out.count("--logdir runs") == 2


def servers_on(logs):
    """Process numbers of TensorBoard servers on this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = path.read_bytes()
            if b"tensorboard" in command and str(logs).encode() in command:
                found.append(int(path.parent.name))
    return found
