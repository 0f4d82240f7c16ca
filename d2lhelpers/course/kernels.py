"""Executing one notebook through papermill, in a kernel of this very Python."""

import asyncio
import contextlib
import functools
import os
import signal
import weakref
from collections.abc import Mapping
from pathlib import Path

from .._paths import folders_as_environment
from ..say import Text
from .notebooks import NotebookFailure, read_notebook
from .parameters import Values, assignments

BATCH = {"D2L_BATCH": "1", "GOMP_SPINCOUNT": "10000"}
"""Environment of kernels that no person watches. The second value lets OpenMP's threads, which wait
for each other busily, give up a core that another process needs; else a step can take 30 times as
long beside a second process on two cores."""

_managers: weakref.WeakSet = weakref.WeakSet()


def execute(
    path: Path,
    values: Values,
    executed: Path,
    variables: Mapping[str, str],
    seconds: int,
) -> None:
    """Execute a notebook. Several may be executed at once, in threads.

    Args:
        path: the notebook; left as it is.
        values: injected after its cell tagged ``parameters``, and before others.
        executed: where the executed copy goes, also when it fails.
        variables: environment of its kernel, beside this process's own.
        seconds: how long one cell may take.

    Raises:
        NotebookFailure: a cell raised an error, left the notebook or took too long, or the kernel
            died.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    _write_with(values, path, executed)
    try:
        papermill.execute_notebook(
            executed.absolute(),
            executed.absolute(),
            engine_name=_engine(),
            copy=executed.absolute(),
            request_save_on_cell_execute=False,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            start_timeout=300,
            execution_timeout=seconds,
            # Not papermill's cwd, which would move this process and with it the other threads.
            resources={"metadata": {"path": str(path.absolute().parent)}},
            kernel_manager_class=_kernel_manager(
                BATCH | folders_as_environment() | dict(variables)
            ),
            # ipykernel 7 warns in every run where this is off.
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
        )
    except PapermillExecutionError as error:
        what, detail = Text(zh="出错了", en="failed"), f"{error.ename}: {error.evalue}"
    except CellTimeoutError as error:
        what = Text(
            zh=f"超过 {seconds} 秒还没有结束，已停止", en=f"took longer than {seconds} s: stopped"
        )
        detail = type(error).__name__
    except RuntimeError as error:  # a DeadKernelError, or at its start a plain one
        what = Text(
            zh="内核中途结束，多半是内存不够：关掉别的程序，或把 BATCH_SIZE 改小",
            en="ended with its kernel, most likely for want of memory: close other programs, or "
            "lower BATCH_SIZE",
        )
        detail = str(error)
    else:
        if _was_whole(executed):
            return
        what = Text(
            zh="提前退出，不算完整执行；请去掉 sys.exit 这样的调用",
            en="left the notebook, which is no whole execution; take out that call of sys.exit",
        )
        detail = "SystemExit"
    raise NotebookFailure(_describe(path, executed, what, detail))


def _was_whole(executed: Path) -> bool:
    """Whether all cells have ended well; to papermill ``sys.exit(0)`` is no failure."""
    cells = read_notebook(executed).cells
    return all(cell.metadata.papermill.status == "completed" for cell in cells)


def _write_with(values: Values, path: Path, copy: Path) -> None:
    """Copy a notebook, with cells that set parameters where ``values`` says.

    papermill's own injection knows no tuples and passes them as text.
    """
    import nbformat

    def setting(parameters: Mapping) -> nbformat.NotebookNode:
        return nbformat.v4.new_code_cell("# Quick run\n" + assignments(parameters))

    notebook, cells = read_notebook(path), []
    for cell in notebook.cells:
        if values.later.get(cell.id):
            cells.append(setting(values.later[cell.id]))
        cells.append(cell)
        if values.parameters and "parameters" in cell.metadata.get("tags", []):
            cells.append(setting(values.parameters))
    notebook.cells = cells
    copy.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, copy)


@functools.cache
def _engine() -> str:
    """The name of papermill's engine, but one that saves the copy when a failure ends it.

    papermill's own saves it at each cell, which takes longer than most cells of a quick run do.
    """
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.iorw import write_ipynb

    class SavingAtTheEnd(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, *, copy, **settings):
            try:
                super().execute_managed_notebook(nb_man, kernel_name, **settings)
            except BaseException:
                write_ipynb(nb_man.nb, str(copy))
                raise

    papermill_engines.register("d2lhelpers", SavingAtTheEnd)
    return "d2lhelpers"


def stop_kernels() -> None:
    """End all kernels that run, and the processes that they started; their notebooks fail."""
    for manager in list(_managers):
        process = getattr(manager.provisioner, "process", None)
        if process is None or process.poll() is not None:
            continue
        if hasattr(os, "killpg"):  # a kernel leads a process group of its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
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

        async def shutdown_kernel(self, *args, **options):
            # It begins with an interrupt, which a kernel reports on stderr before it is idle.
            await asyncio.sleep(0.5)
            await super().shutdown_kernel(*args, **options)

        @property
        def kernel_spec(self):
            return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict(), env=literal)

    return ThisPython


def _describe(path: Path, executed: Path, what: Text, detail: str) -> str:
    """Notebook, cell and what came to pass; then the reason, the cell's first line, the copy.

    The cell at fault is the last one that papermill began. papermill adds cells of its own, so its
    place is that of its id.
    """
    began = [
        cell
        for cell in read_notebook(executed).cells
        if cell.metadata.get("papermill", {}).get("start_time")
    ]
    zh, en, first = "还没有开始", "before its first cell", ""
    if began:
        cell = began[-1]
        ids = [cell.id for cell in read_notebook(path).cells]
        place = ids.index(cell.id) + 1 if cell.id in ids else "+"
        zh = f"第 {place} 个单元格（共 {len(ids)} 个），{cell.id!r}"
        en = f"cell {place} of {len(ids)}, {cell.id!r}"
        first = cell.source.strip().partition("\n")[0]
    said = Text(zh=f"{path.name}：{zh}，{what.zh}。", en=f"{path.name}: {en}, {what.en}.")
    return f"{said}\n  {detail}\n  {first}\n  {executed}"
