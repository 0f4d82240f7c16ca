"""Fixtures that several test modules share."""

import socket
import sys

import fixtures_http as tiny_data
import pytest
from hypothesis import settings

from d2lhelpers import sources
from d2lhelpers.__main__ import main
from d2lhelpers.say import LANGUAGES

# A busy machine is not a failure; on CI hypothesis has a profile of its own, kept as parent.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Folder of the site in both languages, as `make site` writes it."""
    folder = tmp_path_factory.mktemp("site")
    for language in LANGUAGES:
        assert main(["export", "--lang", language, "--to", str(folder)]) == 0
    return folder


@pytest.fixture
def no_figure_is_left():
    """Closes a test's figures, and sees that it left matplotlib's settings alone."""
    import matplotlib.pyplot as plt

    settings_before = dict(plt.rcParams)
    yield
    plt.close("all")
    assert dict(plt.rcParams) == settings_before


@pytest.fixture
def move_project(monkeypatch):
    """Lets another folder be the checkout: ``move_project(folder)``."""
    import d2lhelpers.course.export
    import d2lhelpers.course.run
    import d2lhelpers.course.stamp  # noqa: F401

    def move(folder):
        for name, module in list(sys.modules.items()):
            if (
                name.startswith("d2lhelpers.")
                and name != "d2lhelpers._paths"
                and hasattr(module, "project_folder")
            ):
                monkeypatch.setattr(module, "project_folder", lambda: folder)

    return move


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The tiny data sets stand for the genuine ones; nothing on disk, nobody on the network."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(variable, "127.0.0.1")
    monkeypatch.setattr(sources, "_warned", set())
    tiny_data.patch_data(monkeypatch.setattr)
    tiny_data.patch_mirrors(monkeypatch.setattr, url)
    return tmp_path / "root"


@pytest.fixture
def runs_folder(tmp_path, monkeypatch):
    """Runs are kept in a folder of the test's own."""
    monkeypatch.setenv("D2L_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"
