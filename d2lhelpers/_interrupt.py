"""Ctrl-C while a command is still importing, torch above all: a line instead of a traceback."""

import sys

from .say import Text

INTERRUPTED = Text(zh="已中断。", en="Interrupted.")


def _say_interrupted(kind, error, traceback) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print(INTERRUPTED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


if sys.argv[0] == "-m" and "d2lhelpers" in sys.orig_argv:  # python -m d2lhelpers, at its start
    sys.excepthook = _say_interrupted
