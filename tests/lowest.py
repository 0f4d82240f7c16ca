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
    wanted = [project["dependencies"], *project["optional-dependencies"].values()]
    bound = re.compile(r"([\w-]+)>=([\w.]+)")
    return [bound.fullmatch(line).expand(r"\1==\2") for lines in wanted for line in lines]


if __name__ == "__main__":
    print("\n".join(constraints()))
