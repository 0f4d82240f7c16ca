"""Where the project's folders are, whatever the current directory."""

import os
from pathlib import Path

from .say import Text


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
