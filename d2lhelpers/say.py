"""The two languages of the course, and whether a person is watching.

All that a learner can meet is in Chinese and in English: what is printed, shown, warned of or
raised. A ``Text`` holds both, and ``use_language`` leaves one of them out.
"""

from __future__ import annotations

import html
import os
import sys
from typing import NamedTuple

__all__ = [
    "LANGUAGES",
    "Spoken",
    "Text",
    "chosen_languages",
    "describe_image",
    "is_at_prompt",
    "is_interactive",
    "say",
    "use_language",
]

LANGUAGES = {"zh": "中文", "en": "English"}
"""Code and own name of each language, in the order in which both are shown."""


class Text(NamedTuple):
    """One thought in Chinese and in English; as a string, in the chosen language or in both.

    It can be raised as it is, ``raise ValueError(Text(zh=..., en=...))``.

    >>> print(Text(zh="准确率", en="accuracy"))
    准确率
    accuracy
    """

    zh: str
    en: str

    def __str__(self) -> str:
        return "\n".join(getattr(self, language) for language in chosen_languages())


class Spoken(str):
    """A ``Text`` as a string; at the end of a cell each language is an output of its own."""

    text: Text

    def __new__(cls, text: Text) -> Spoken:
        spoken = super().__new__(cls, text)
        spoken.text = text
        return spoken

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for language in chosen_languages():
            line = getattr(self.text, language)
            display({"text/plain": line}, raw=True, metadata={"lang": language})


def use_language(language: str | None) -> None:
    """Let the course speak one language, or both again.

    Everything printed, shown, warned of or raised for a learner obeys it, in this process and in
    those that it starts (through the environment variable ``D2L_LANGUAGE``). Labels in
    figures and tables are English in either language: technical terms, explained at first use.

    Args:
        language: "zh", "en", or None for both.

    Raises:
        ValueError: there is no such language.

    >>> use_language("en")
    >>> say(zh="一", en="One")
    One
    >>> use_language(None)
    """
    if language is None:
        os.environ.pop("D2L_LANGUAGE", None)
        return
    if language not in LANGUAGES:
        known = ", ".join(map(repr, LANGUAGES))
        raise ValueError(
            Text(
                zh=f"没有语言 {language!r}；可以用 {known}，或用 None 表示两种都要。",
                en=f"there is no language {language!r}; expected {known}, or None for both.",
            )
        )
    os.environ["D2L_LANGUAGE"] = language


def chosen_languages() -> tuple[str, ...]:
    """The codes of the languages in use, Chinese first."""
    chosen = os.environ.get("D2L_LANGUAGE")
    return (chosen,) if chosen in LANGUAGES else tuple(LANGUAGES)


def say(zh: str, en: str) -> None:
    """Print a computed sentence in the chosen language, or in both, Chinese first.

    In a notebook each language is an output of its own, marked in its metadata with its ``lang``,
    so that an edition in one language can leave the other out. Elsewhere an output that cannot
    encode a character gets its escape instead.

    >>> say(zh="测试准确率 0.98。", en="Test accuracy 0.98.")
    测试准确率 0.98。
    Test accuracy 0.98.
    """
    if "ipykernel.kernelapp" not in sys.modules:
        text = str(Text(zh, en))
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
        return
    from IPython.display import display

    text = Text(zh, en)
    for language in chosen_languages():
        line = getattr(text, language)
        # As Markdown a long sentence is wrapped like the prose around it.
        display({"text/plain": line, "text/markdown": line}, raw=True, metadata={"lang": language})


def describe_image(text: Text) -> None:
    """In a notebook, say what the image just displayed shows, for those who do not see it.

    JupyterLab and code hosts draw an image without the alternative text in its metadata; only
    nbconvert's pages have it. What reaches a screen reader in all of them is a paragraph of its
    own after the image, in each language, marked in its metadata with ``lang`` and with
    ``describes``; it takes no room on the page.
    """
    from IPython.display import display

    for language in chosen_languages():
        line = getattr(text, language)
        paragraph = f'<p lang="{language}" style="{_UNSEEN}">{html.escape(line)}</p>'
        display(
            {"text/plain": line, "text/html": paragraph},
            raw=True,
            metadata={"lang": language, "describes": "image"},
        )


_UNSEEN = "position:absolute;width:1px;height:1px;overflow:hidden;clip:rect(0,0,0,0)"


def is_interactive() -> bool:
    """Whether a person is watching, so that a progress bar makes sense.

    True in a notebook of JupyterLab, Google Colab or VS Code, and in a terminal. False under
    papermill, nbconvert and pytest, into a pipe or a file, and wherever the environment
    variable ``D2L_BATCH`` is set to anything.

    A kernel cannot ask who displays its output. But Jupyter Server (2 and later) sets
    ``JPY_SESSION_NAME`` for the kernels of its notebooks, and VS Code passes on its
    ``VSCODE_PID``; a kernel that papermill or nbconvert starts has neither.
    """
    if os.environ.get("D2L_BATCH") or "PYTEST_VERSION" in os.environ:
        return False
    if "google.colab" in sys.modules:
        return True
    if "ipykernel.kernelapp" in sys.modules:
        front_ends = ("JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD")
        in_vs_code = hasattr(sys.modules.get("__main__"), "__vsc_ipynb_file__")
        return in_vs_code or any(name in os.environ for name in front_ends)
    return sys.stderr is not None and sys.stderr.isatty()


def is_at_prompt() -> bool:
    """Whether a person can go on after the stop button, as no script can."""
    return is_interactive() and hasattr(sys, "ps1")
