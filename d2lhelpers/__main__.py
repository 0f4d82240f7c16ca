"""Commands of the course, as in ``python -m d2lhelpers run``."""

import argparse
import sys
from pathlib import Path

from .course import run, stamp
from .course.editions import open_lab
from .course.export import export
from .course.notebooks import NotebookFailure, build_folder, notebooks
from .course.results import update_readme
from .say import LANGUAGES
from .sources import fetch


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m d2lhelpers")
    commands = parser.add_subparsers(required=True)

    runner = commands.add_parser(
        "run", help="execute notebooks, quickly, or fully to store outputs"
    )
    runner.add_argument("notebooks", nargs="*", type=Path, help="default: all, in reading order")
    runner.add_argument("--full", action="store_true", help="full data; store outputs and results")
    runner.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[],
        help="full data, the chapters' headlines only, for results; with --full: before it",
    )
    runner.set_defaults(command=_run)

    data = commands.add_parser("data", help="find or download the data sets and say where they are")
    data.set_defaults(command=_data)

    table = commands.add_parser("results", help="write the README's table from results.csv")
    table.set_defaults(command=lambda _: update_readme())

    edition = commands.add_parser("export", help="write one language's notebooks and static site")
    edition.add_argument("--lang", choices=LANGUAGES, required=True, help="the language")
    edition.add_argument("--to", type=Path, default=build_folder() / "site", help="folder")
    edition.set_defaults(command=_export)

    lab = commands.add_parser("lab", help="open JupyterLab on the notebooks")
    lab.add_argument("edition", nargs="?", choices=LANGUAGES, help="one language only, in work/")
    lab.set_defaults(command=lambda options: open_lab(options.edition))

    publish = commands.add_parser("stamp", help="put the published address into notebooks, README")
    publish.set_defaults(command=_stamp)

    for stream in (sys.stdout, sys.stderr):  # a pipe on Windows may not know Chinese
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = parser.parse_args(arguments)
    return options.command(options) or 0


def _run(options) -> int:
    missing = [path for path in options.notebooks if not path.exists()]
    if missing:
        print(f"no such notebook: {', '.join(map(str, missing))}", file=sys.stderr)
        return 2
    paths = options.notebooks or notebooks()
    source = run.source_at_hand(_say)
    if (options.full or options.seeds) and source != "real":
        print("a full run stores results, and those need the real data", file=sys.stderr)
        return 1
    try:
        if options.full:
            run.run_full(paths, options.seeds, report=_say)
        elif options.seeds:
            run.run_seeds(paths, options.seeds, report=_say)
        else:
            run.run_quick(paths, {"SOURCE": source}, report=_say)
    except NotebookFailure as failure:
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


def _export(options) -> None:
    paths = export(options.lang, options.to)
    _say(f"{len(paths)} files; begin with {options.to / options.lang / 'index.html'}")


def _stamp(_) -> int:
    try:
        address = stamp.repository()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    changed = stamp.stamp(address)
    _say(f"{len(changed)} files now say {address or 'that the course is not published yet'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
