"""Where the project's folders are, whatever the current directory, and how to write to them.

A file gets its name in one step, and one process at a time downloads to a folder.
"""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .say import Text, say

# The system: another process holds the lock. Any other error: the file system has none.
IS_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class LockedError(Exception):
    """Another process holds a lock for too long; the message is a ``Text``."""


def project_folder() -> Path:
    """The checkout that holds this package; the current directory where there is none."""
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()


def folder(name: str) -> Path:
    """The reader's ``data``, ``runs`` or ``build``: as ``D2L_DATA`` etc. says, else in the project.

    Absolute, so that it is the same for a kernel that works in another folder.

    Raises:
        ValueError: it begins with ``~`` and a name that no user has.
    """
    variable = _variable(name)
    given = os.environ.get(variable)
    try:
        return Path(given or project_folder() / name).expanduser().absolute()
    except RuntimeError:
        raise ValueError(
            Text(
                zh=f"环境变量 {variable} 是 {given!r}，但是没有这个用户的主目录：请写完整的路径，"
                "或者 ~/ 开头的路径。",
                en=f"the environment variable {variable} is {given!r}, but there is no home of "
                "such a user: give the whole path, or one that begins with ~/.",
            )
        ) from None


def folders_as_environment() -> dict[str, str]:
    """What gives a process that works elsewhere, such as a kernel, this one's folders."""
    return {_variable(name): str(folder(name)) for name in ("data", "runs", "build")}


def _variable(name: str) -> str:
    return f"D2L_{name.upper()}"


def write_atomically(path: Path, write) -> None:
    """Call ``write(partial)`` on a file beside ``path``, then give it its name in one step.

    A process killed on the way leaves ``path`` as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def free_name(path: Path) -> Path:
    """For a file that has to make room: its name with ".kept", and a number where that is taken."""
    number, free = 1, path.with_name(f"{path.name}.kept")
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}.kept{number}")
    return free


@contextlib.contextmanager
def alone(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock on a file, which the system releases when a process dies.

    Where a file system has no locks, do without: then two processes may download the same, and
    either result is good.

    Raises:
        LockedError: another process holds it for so many seconds.
    """
    deadline, has_waited = time.monotonic() + seconds, False
    with path.open("a") as file:
        while not _lock(file):
            if not has_waited:
                say(
                    zh=f"另一个进程正在下载到 {path.parent}，等它结束（最多 {seconds:.0f} 秒）……",
                    en=f"Another process is downloading to {path.parent}; "
                    f"waiting for it (at most {seconds:.0f} s) …",
                )
                has_waited = True
            if time.monotonic() > deadline:
                held = Text(
                    zh=f"另一个进程占用 {path} 已有 {seconds:.0f} 秒",
                    en=f"another process has held {path} for {seconds:.0f} s",
                )
                raise LockedError(held)
            time.sleep(0.1)
        yield


def _lock(file: IO) -> bool:
    """Lock an open file until it is closed; False if another process holds it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            return error.errno not in IS_HELD
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in IS_HELD
    return True
