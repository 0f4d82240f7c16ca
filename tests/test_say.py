"""Both languages or one of them; and whether a person is watching."""

import io
import sys
import types

import pytest

import d2lhelpers as d2l
from d2lhelpers.say import Spoken, Text, is_interactive, say


@pytest.fixture
def bare(monkeypatch):
    """A plain Python process whose stderr is a pipe."""
    for name in ("D2L_BATCH", "PYTEST_VERSION", "JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD"):
        monkeypatch.delenv(name, raising=False)
    for name in ("google.colab", "ipykernel.kernelapp"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    return monkeypatch


def as_kernel(patch):
    patch.setitem(sys.modules, "ipykernel.kernelapp", types.ModuleType("kernelapp"))


def as_terminal(patch):
    patch.setattr(sys, "stderr", types.SimpleNamespace(isatty=lambda: True))


def test_a_pipe_is_not_interactive(bare):
    assert is_interactive() is False


def test_no_stderr_at_all(bare):
    bare.setattr(sys, "stderr", None)
    assert is_interactive() is False


def test_a_terminal_is(bare):
    as_terminal(bare)
    assert is_interactive() is True


def test_a_kernel_of_papermill_or_nbconvert_is_not(bare):
    as_kernel(bare)
    assert is_interactive() is False


@pytest.mark.parametrize("name", ["JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD"])
def test_a_kernel_of_a_front_end_is(bare, name):
    bare.setenv(name, "1")
    assert is_interactive() is False  # a script that a notebook started, into a pipe
    as_kernel(bare)
    assert is_interactive() is True


def test_a_kernel_of_vs_code_is(bare):
    as_kernel(bare)
    bare.setattr(sys.modules["__main__"], "__vsc_ipynb_file__", "a.ipynb", raising=False)
    assert is_interactive() is True


def test_colab_is(bare):
    bare.setitem(sys.modules, "google.colab", types.ModuleType("colab"))
    assert is_interactive() is True


@pytest.mark.parametrize("name", ["D2L_BATCH", "PYTEST_VERSION"])
def test_batch_and_pytest_overrule_everything(bare, name):
    as_kernel(bare)
    as_terminal(bare)
    bare.setenv("JPY_SESSION_NAME", "a.ipynb")
    bare.setitem(sys.modules, "google.colab", types.ModuleType("colab"))
    assert is_interactive() is True
    bare.setenv(name, "1")
    assert is_interactive() is False


# --- languages --------------------------------------------------------------------------------


@pytest.fixture
def speak():
    yield d2l.use_language
    d2l.use_language(None)


def test_sentences_in_both_languages(capsys):
    say(zh="中文。", en="English.")
    assert capsys.readouterr().out == "中文。\nEnglish.\n"


def test_one_language_leaves_the_other_out(speak, capsys):
    for language, line in {"zh": "中文。", "en": "English."}.items():
        speak(language)
        say(zh="中文。", en="English.")
        assert capsys.readouterr().out == f"{line}\n"
        assert str(ValueError(Text("中文。", "English."))) == line
    speak(None)
    assert str(ValueError(Text("中文。", "English."))) == "中文。\nEnglish."


def test_other_languages_are_refused(speak):
    with pytest.raises(ValueError, match="there is no language 'fr'"):
        speak("fr")


def test_a_report_shows_each_language_as_an_output_of_its_own(speak, monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(
        IPython.display,
        "display",
        lambda data, raw, metadata: shown.append((metadata["lang"], data["text/plain"])),
    )
    report = Spoken(Text("设备", "Device"))
    assert report == "设备\nDevice"
    report._ipython_display_()
    assert shown == [("zh", "设备"), ("en", "Device")]
    speak("en")
    report._ipython_display_()
    assert shown[2:] == [("en", "Device")]
