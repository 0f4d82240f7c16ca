"""Commands of the course, as in ``python -m d2lhelpers run``."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from ._interrupt import INTERRUPTED
from ._paths import folder, project_folder
from .course import full, run, stamp
from .course.editions import open_lab
from .course.export import export
from .course.notebooks import NotebookFailure, build_folder, notebooks
from .course.parameters import parse_value
from .course.results import update_readme
from .results import read_results, results_file
from .say import LANGUAGES, Text, say
from .sources import fetch


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the process's exit status.

    130 where a person broke it off, 2 for what cannot be done as it was asked, else 1 for what
    failed and 0.
    """
    for stream in (sys.stdout, sys.stderr):  # a pipe on Windows may not know Chinese
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _status(arguments)
        finally:
            sys.stdout.flush()  # now, while it can be caught that nobody reads on
    except BrokenPipeError:  # as in: python -m d2lhelpers data | head -1
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return 1


def _status(arguments: list[str] | None) -> int:
    try:
        options = _parser().parse_args(arguments)
        return options.command(options) or 0
    except _CannotError as problem:
        print(problem, file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(_in_words(error), file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(_extra_missing(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return 130


def _in_words(error: OSError | ValueError) -> Text:
    """A refusal as it was said, or which file failed and why; any other error is a bug."""
    said = error.args[0] if error.args else None
    if isinstance(said, Text):
        return said
    if not isinstance(error, OSError) or error.filename is None:
        raise error
    return Text(
        zh=f"{error.filename} 用不了（{error.strerror}）：看看它是不是在那里、能不能读写。",
        en=f"cannot use {error.filename} ({error.strerror}): see that it is there, and that you "
        "may read it and write to it.",
    )


def _extra_missing(error: ModuleNotFoundError) -> Text:
    """What to do after a plain install, which holds only what readers need."""
    return Text(
        zh=f"没有 {error.name}：这条命令需要附加包 [course]。在课程目录里运行 "
        'pip install ".[course]"。',
        en=f"{error.name} is missing: this command needs the extra [course]. Run "
        'pip install ".[course]" in the course\'s folder.',
    )


class _CannotError(Exception):
    """What was asked cannot be done here; the message says what to do."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m d2lhelpers")
    commands = parser.add_subparsers(required=True)

    runner = commands.add_parser(
        "run",
        help="execute notebooks, quickly, or fully to store outputs",
        epilog="Executed copies go to build/notebooks, of full runs to build/full, logs to runs; "
        "D2L_BUILD and D2L_RUNS name other folders, D2L_DATA that of the data.",
    )
    runner.add_argument("notebooks", nargs="*", type=Path, help="default: all, in reading order")
    runner.add_argument(
        "-p",
        dest="parameters",
        action="append",
        nargs=2,
        metavar=("NAME", "VALUE"),
        default=[],
        help="in a quick run: another value for a parameter, as -p EPOCHS 1",
    )
    runner.add_argument("--full", action="store_true", help="full data; store outputs and results")
    runner.set_defaults(command=_run)

    data = commands.add_parser("data", help="find or download the data sets and say where they are")
    data.set_defaults(command=_data)

    board = commands.add_parser("board", help="open TensorBoard on runs, or D2L_RUNS where set")
    board.set_defaults(command=_board)

    table = commands.add_parser("results", help="write the README's table from results.csv")
    table.set_defaults(command=_results)

    edition = commands.add_parser("export", help="write one language's notebooks and static site")
    edition.add_argument("--lang", choices=LANGUAGES, required=True, help="the language")
    edition.add_argument("--to", type=Path, default=build_folder() / "site", help="folder")
    edition.set_defaults(command=_export)

    lab = commands.add_parser("lab", help="open JupyterLab on the notebooks")
    lab.add_argument("edition", nargs="?", choices=LANGUAGES, help="one language only, in work/")
    lab.set_defaults(command=_lab)

    publish = commands.add_parser("stamp", help="put the published address into notebooks, README")
    publish.set_defaults(command=_stamp)
    return parser


def _run(options) -> int:
    import papermill  # noqa: F401  where it is missing, say so before data are fetched

    missing = [path for path in options.notebooks if not path.is_file()]
    if missing:
        names = ", ".join(map(str, missing))
        raise _CannotError(Text(zh=f"没有这个笔记本：{names}", en=f"no such notebook: {names}"))
    paths = options.notebooks or _course()
    if options.full and options.parameters:
        raise _CannotError(
            Text(
                zh="-p 只用于快速运行：完整运行保存的是笔记本自己的参数的结果。",
                en="-p is for quick runs: a full run stores results of the notebook's own values.",
            )
        )
    run.check_copies(paths, build_folder() / (full.FULL if options.full else run.QUICK))
    read_results()  # a damaged file is said now, not after hours
    _check_writable(*([*paths, results_file()] if options.full else []))
    return _run_full(paths) if options.full else _run_quick(paths, options)


def _run_quick(paths: list[Path], options) -> int:
    given = {name: parse_value(text) for name, text in options.parameters}
    try:
        run.quick_jobs(paths, "auto", given)  # refuses what is mistyped before data are fetched
        jobs = run.quick_jobs(paths, given.get("SOURCE") or run.source_at_hand(), given)
    except ValueError as error:
        raise _CannotError(error) from None
    copies, logs = _seen_from_here(build_folder() / run.QUICK), _seen_from_here(folder("runs"))
    say(
        zh="快速运行：quick 后面是这次的测试准确率，图像少，训练短；full run 后面是保存的完整运行的"
        f"平均值，那才是结果。执行后的副本在 {copies}，日志在 {logs}。",
        en='Quick runs: after "quick" stands this run\'s test accuracy, on few images and after '
        'short training; after "full run" the mean of the stored full runs, which is the result. '
        f"Executed copies are in {copies}, logs in {logs}.",
    )
    failures = run.run_quick(jobs, _say)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _run_full(paths: list[Path]) -> int:
    if run.source_at_hand() != "real":
        print(
            Text(
                zh="完整运行要保存结果，所以需要真实数据。",
                en="a full run stores results, and those need the real data",
            ),
            file=sys.stderr,
        )
        return 1
    try:
        full.run_full(paths, report=_say)
    except (NotebookFailure, ValueError) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _course() -> list[Path]:
    """The course's notebooks; an installed package has none."""
    if paths := notebooks():
        return paths
    where = project_folder() / "notebooks"
    raise _CannotError(
        Text(
            zh=f"{where} 里没有课程的笔记本。安装的 d2lhelpers 不带笔记本：请在课程目录（克隆的"
            "仓库）里运行这个命令，或者给出笔记本的路径。",
            en=f"no notebooks of the course in {where}. An installed d2lhelpers has none: run this "
            "in the course's folder, a clone of its repository, or name the notebooks.",
        )
    )


def _check_writable(*paths: Path) -> None:
    """Refuse now what would fail at the end: the folders for what is made, and ``paths``."""
    for name in ("build", "runs"):
        try:
            folder(name).mkdir(parents=True, exist_ok=True)
            writable = os.access(folder(name), os.W_OK)
        except OSError:
            writable = False
        if not writable:
            variable = f"D2L_{name.upper()}"
            raise _CannotError(
                Text(
                    zh=f"不能写入 {folder(name)}：请把环境变量 {variable} 设成一个可以写入的目录。",
                    en=f"cannot write to {folder(name)}: set the environment variable {variable} "
                    "to a folder that you may write to.",
                )
            )
    for path in paths:
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise _CannotError(
                Text(
                    zh=f"不能写入 {path}，而完整运行的结果要存在这里：请用一份可以写入的课程副本。",
                    en=f"cannot write to {path}, where a full run's results are stored: use a copy "
                    "of the course that you may write to.",
                )
            )


def _seen_from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _say(line: str) -> None:
    print(line, flush=True)


def _data(_) -> int:
    found = [fetch(name) for name in ("MNIST", "CIFAR-10")]
    for each in found:
        _say(str(each))
    return 0 if all(each.is_real for each in found) else 1


def _board(_) -> int:
    return subprocess.call(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder("runs"))]
    )


def _results(_) -> None:
    _course()
    update_readme()


def _lab(options) -> None:
    _course()
    open_lab(options.edition)


def _export(options) -> None:
    _course()
    (options.to / options.lang).mkdir(parents=True, exist_ok=True)  # fail before the work
    paths = export(options.lang, options.to)
    _say(f"{len(paths)} files; begin with {options.to / options.lang / 'index.html'}")


def _stamp(_) -> None:
    _course()
    address = stamp.repository()
    changed = stamp.stamp(address)
    _say(f"{len(changed)} files now say {address or 'that the course is not published yet'}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: leave no kernel behind
    sys.exit(main())
