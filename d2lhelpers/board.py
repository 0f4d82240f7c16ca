"""TensorBoard: how to open it on the runs' logs."""

import os
import shutil
import sys
from pathlib import Path

from ._paths import folder
from .say import is_interactive, say


def show_board() -> None:
    """Open TensorBoard on ``runs/`` inside the notebook; where no person looks, say how to.

    papermill, nbconvert and nbval therefore start no server that would outlive them.
    """
    logs = folder("runs")
    if not is_interactive():
        say(
            zh="打开 TensorBoard：make board，或 python -m tensorboard.main --logdir runs。",
            en="To open TensorBoard: make board, or python -m tensorboard.main --logdir runs.",
        )
        return
    from tensorboard import notebook

    # A kernel's PATH need not hold the folder of its own Python.
    program = shutil.which("tensorboard", path=Path(sys.executable).parent)
    if program is not None:
        os.environ.setdefault("TENSORBOARD_BINARY", program)
    notebook.start(f'--logdir "{logs.as_posix()}"')
