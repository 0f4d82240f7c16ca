"""TensorBoard: how to open it on the runs' logs."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from ._paths import folder, project_folder
from .say import is_interactive, say


def show_board() -> None:
    """Open TensorBoard on ``runs/`` inside the notebook; where no person looks, say how to.

    papermill, nbconvert and nbval therefore start no server that would outlive them.
    """
    logs = folder("runs")
    if not is_interactive():
        shown = "runs" if logs == project_folder() / "runs" else shlex.quote(str(logs))
        command = f"python -m tensorboard.main --logdir {shown}"
        say(
            zh=f"打开 TensorBoard：make board，或 {command}。",
            en=f"To open TensorBoard: make board, or {command}.",
        )
        return
    from tensorboard import notebook

    # A kernel's PATH need not hold the folder of its own Python.
    program = shutil.which("tensorboard", path=Path(sys.executable).parent)
    if program is not None:
        os.environ.setdefault("TENSORBOARD_BINARY", program)
    notebook.start(f'--logdir "{logs.as_posix()}"')
