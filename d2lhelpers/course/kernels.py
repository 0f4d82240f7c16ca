"""Executing one notebook through papermill, in a kernel of this very Python."""

import weakref
from collections.abc import Mapping
from pathlib import Path

from .._paths import folder
from .notebooks import NotebookFailure, read_notebook

BATCH = {"D2L_BATCH": "1", "GOMP_SPINCOUNT": "10000"}
"""Environment of kernels that no person watches. The second value lets OpenMP's threads, which wait
for each other busily, give up a core that another process needs; else a step can take 30 times as
long beside a second process on two cores."""

_managers: weakref.WeakSet = weakref.WeakSet()


def execute(
    path: Path,
    parameters: dict,
    executed: Path,
    variables: Mapping[str, str],
    seconds: int,
) -> None:
    """Execute a notebook. Several may be executed at once, in threads.

    Args:
        path: the notebook; left as it is.
        parameters: values injected after its cell tagged ``parameters``.
        executed: where the executed copy goes, also when it fails.
        variables: environment of its kernel, beside this process's own.
        seconds: how long one cell may take.

    Raises:
        NotebookFailure: a cell raised an error or took too long, or the kernel died.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    executed.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            path.absolute(),
            executed.absolute(),
            parameters,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            start_timeout=300,
            execution_timeout=seconds,
            # Not papermill's cwd, which would move this process and with it the other threads.
            resources={"metadata": {"path": str(path.absolute().parent)}},
            kernel_manager_class=_kernel_manager(BATCH | _folders() | dict(variables)),
            # ipykernel 7 warns in every run where this is off.
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
        )
    except PapermillExecutionError as error:
        reason = f"failed: {error.ename}: {error.evalue}"
    except CellTimeoutError:
        reason = f"took longer than {seconds} s and was stopped"
    except RuntimeError as error:  # a DeadKernelError, or at its start a plain one
        reason = (
            f"ended with its kernel, most likely for want of memory ({error}); close other "
            "programs or lower BATCH_SIZE"
        )
    else:
        return
    raise NotebookFailure(_describe(path, executed, reason))


def stop_kernels() -> None:
    """End all kernels that run; what is executed in them fails."""
    for manager in list(_managers):
        process = getattr(manager.provisioner, "process", None)
        if process is not None and process.poll() is None:
            process.kill()


def _kernel_manager(variables: Mapping[str, str]) -> type:
    """A manager of kernels of this Python, whatever kernel specs are installed on this machine."""
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    literal = {name: value.replace("$", "$$") for name, value in variables.items()}

    class ThisPython(AsyncKernelManager):
        def __init__(self, *args, **settings):
            super().__init__(*args, **settings)
            _managers.add(self)

        @property
        def kernel_spec(self):
            return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict(), env=literal)

    return ThisPython


def _folders() -> dict[str, str]:
    """The reader's own folders, absolute: a kernel works in the notebook's folder."""
    return {f"D2L_{name.upper()}": str(folder(name)) for name in ("data", "runs")}


def _describe(path: Path, executed: Path, reason: str) -> str:
    """Notebook, cell and reason; papermill adds cells of its own, so the cell is found by its id.

    The cell at fault is the last one that papermill began.
    """
    began = [
        cell
        for cell in read_notebook(executed).cells
        if cell.metadata.get("papermill", {}).get("start_time")
    ]
    if not began:
        return f"{path.name}: did not begin: {reason}"
    cell = began[-1]
    ids = [cell.id for cell in read_notebook(path).cells]
    number = f"{ids.index(cell.id) + 1} of {len(ids)}" if cell.id in ids else "(injected)"
    source = cell.source.strip()
    return (
        f"{path.name}: cell {number}, {cell.id!r}, {reason}\n"
        f"  the cell begins: {source.splitlines()[0] if source else '(empty)'}\n"
        f"  executed copy: {executed}"
    )
