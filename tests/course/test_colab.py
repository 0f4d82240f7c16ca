"""A notebook alone, where there is a torch but no d2lhelpers: its set-up cell makes it runnable."""

import ast
import subprocess
import zipfile

import environments
import pytest

from d2lhelpers.course import notebooks as files
from d2lhelpers.course import stamp

pytestmark = pytest.mark.slow

MISSING, NEWER = "tqdm", "ipywidgets"
"""What the machine lacks, and what an index would have a newer version of."""


def stub(folder, name, version):
    """Writes a wheel of an almost empty package."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No package index but a folder; it offers what is missing, and news of what is not."""
    for name in (MISSING, NEWER):
        stub(tmp_path / "wheels", name, "99.0")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # sic: this switches it off


@pytest.fixture
def machine(tmp_path, offline):
    """Makes an environment with a torch and this ipywidgets: ``machine(version)``."""

    def make(version):
        names = (MISSING, NEWER)
        lines = [line for line in environments.requirements() if not line.startswith(names)]
        python = environments.create(tmp_path / "machine", lines)
        wheel = stub(tmp_path / "own", NEWER, version)
        environments.run(python, "-m", "pip", "install", "--no-deps", wheel)
        return python

    return make


@pytest.fixture
def repository(tmp_path):
    """Where the course is published: an address for pip."""
    folder = environments.copy_source(tmp_path / "repository")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    commit = [*identity, "-c", "commit.gpgsign=false", "commit", "-qm", "test"]
    for command in (["init", "-q"], ["add", "-A"], commit):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return f"git+{folder.as_uri()}"


@pytest.fixture
def set_up(tmp_path):
    """Runs the set-up cell in a folder of its own: ``set_up(python, address)``."""
    folder = tmp_path / "lesson"
    (folder / "d2lhelpers").mkdir(parents=True)  # empty, and no reason not to install

    def run(python, address):
        path = files.notebooks()[0]
        notebook = stamp.stamped_notebook(files.read_notebook(path), path.name, "")
        cell = files.cell_with_tag(notebook, "imports").source
        cell = cell.replace('COURSE_URL = ""', f'COURSE_URL = "{address}"')
        return environments.attempt(python, "-c", f"{cell}\nprint(d2l.__file__)", folder=folder)

    return run


def installed(python):
    """Name and version of all that pip would find."""
    command = (
        "import importlib.metadata as m; print([(d.name, d.version) for d in m.distributions()])"
    )
    return dict(ast.literal_eval(environments.run(python, "-c", command).stdout))


def test_setup_installs_what_is_missing_and_replaces_nothing(machine, repository, set_up):
    python = machine("7.7.1")  # as on Colab
    before = installed(python)
    done = set_up(python, repository)
    assert done.returncode == 0, done.stderr
    assert "site-packages" in done.stdout  # installed, not found in the checkout
    after = installed(python)
    assert after.keys() - before.keys() == {"d2lhelpers", MISSING}
    assert before.items() <= after.items()


def test_setup_replaces_not_even_what_is_too_old(machine, repository, set_up):
    python = machine("7.0")
    before = installed(python)
    done = set_up(python, repository)
    assert done.returncode != 0 and f"{NEWER}==7.0" in done.stdout + done.stderr
    assert installed(python) == before


@pytest.mark.parametrize("published", [False, True])
def test_setup_says_what_to_do(tmp_path, set_up, published):
    """Before the course is published, and where there is no torch: most likely a wrong kernel."""
    python = environments.create(tmp_path / "bare", [] if published else ["torch"])
    done = set_up(python, "git+file:///nowhere" if published else "")
    assert done.returncode != 0
    message = done.stderr.split("ModuleNotFoundError: ")[1]
    assert message.count("pip install -r requirements.txt") == 2  # in either language
    assert message.count("COURSE_URL") == 2
