"""Prints pip constraints that hold every dependency at the lowest version that is promised.

    python tests/lowest.py > lowest.txt
    pip install -c lowest.txt ".[course]"
"""

import re
import tomllib
from pathlib import Path


def constraints() -> list[str]:
    """``name==version`` of each lower bound in ``pyproject.toml``."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    wanted = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    return [re.fullmatch(r"([\w-]+)>=([\w.]+)", line).expand(r"\1==\2") for line in wanted]


if __name__ == "__main__":
    print("\n".join(constraints()))
