"""Where the project's folders are, whatever the current directory."""

import os
from pathlib import Path


def project_folder() -> Path:
    """The checkout that holds this package; the current directory where there is none."""
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()


def folder(name: str) -> Path:
    """The reader's ``data``, ``runs`` or ``build``: as ``D2L_DATA`` etc. says, else in the project.

    Absolute, so that it is the same for a kernel that works in another folder.
    """
    given = os.environ.get(f"D2L_{name.upper()}")
    return Path(given or project_folder() / name).expanduser().absolute()


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
