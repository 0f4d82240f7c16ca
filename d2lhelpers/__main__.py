"""Commands of the course: ``python -m d2lhelpers run``, ``data``, ``results``."""

import argparse
import sys
from pathlib import Path

from . import course, results
from .sources import fetch


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m d2lhelpers")
    commands = parser.add_subparsers(required=True)

    run = commands.add_parser("run", help="execute notebooks: quickly, or fully to store outputs")
    run.add_argument("notebooks", nargs="*", type=Path, help="default: all, in reading order")
    run.add_argument("--full", action="store_true", help="full data; store outputs and results")
    run.add_argument("--seeds", nargs="+", type=int, default=[], help="with --full: further seeds")
    run.set_defaults(command=_run)

    data = commands.add_parser("data", help="find or download the data sets and say where they are")
    data.set_defaults(command=_data)

    table = commands.add_parser("results", help="write the README's table from results.csv")
    table.set_defaults(command=lambda _: results.update_readme())

    options = parser.parse_args(arguments)
    return options.command(options) or 0


def _run(options) -> int:
    missing = [path for path in options.notebooks if not path.exists()]
    if missing:
        print(f"no such notebook: {', '.join(map(str, missing))}", file=sys.stderr)
        return 2
    paths = options.notebooks or course.notebooks()
    source = course.source_at_hand(_say)
    if options.full and source != "real":
        print("a full run stores results, and those need the real data", file=sys.stderr)
        return 1
    try:
        if options.full:
            course.run_full(paths, options.seeds, report=_say)
        else:
            course.run_quick(paths, {"SOURCE": source}, report=_say)
    except course.NotebookFailure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _data(_) -> int:
    found = [fetch(name) for name in ("MNIST", "CIFAR-10")]
    for each in found:
        _say(str(each))
    return 0 if all(each.is_real for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
