"""A notebook alone, where there is a torch but no d2lhelpers: its set-up cell makes it runnable."""

import os
import shutil
import subprocess
import sysconfig
import venv

import pytest

from d2lhelpers.course import notebooks as files
from d2lhelpers.course import stamp

pytestmark = pytest.mark.slow

RUN = """
import sys, types
sys.modules["google.colab"] = types.ModuleType("google.colab")
import importlib.metadata
import torch
before = importlib.metadata.version("torch"), torch.__file__
{setup}
assert (importlib.metadata.version("torch"), torch.__file__) == before, "torch was replaced"
print(d2l.__file__)
"""


@pytest.fixture
def machine(tmp_path):
    """A venv that sees this environment's packages except d2lhelpers, and an empty folder."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    command = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", command], check=True, capture_output=True, text=True)
    # A folder named in a .pth file does not have its own .pth files read, and it is by one of
    # those that the checkout is installed.
    with open(os.path.join(own.stdout.strip(), "system.pth"), "w") as file:
        file.write(sysconfig.get_path("purelib") + "\n")
    (tmp_path / "empty").mkdir()
    return python, tmp_path / "empty"


def run_script(machine, script):
    python, folder = machine
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [python, "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def setup_cell(address):
    path = files.notebooks()[0]
    notebook = stamp.stamped_notebook(files.read_notebook(path), path.name, "")
    source = files.cell_with_tag(notebook, "imports").source
    return source.replace('COURSE_URL = ""', f'COURSE_URL = "{address}"')


def test_setup_installs_the_package_and_leaves_torch_alone(machine, tmp_path):
    python, _ = machine
    download = ["-m", "pip", "download", "-q", "--no-deps", "-d", tmp_path / "wheels", "setuptools"]
    if subprocess.run([python, *download], capture_output=True).returncode:
        pytest.skip("no package index here, and pip needs setuptools to build the package")
    project, repository = stamp.project_folder(), tmp_path / "repository"
    cache = shutil.ignore_patterns("__pycache__")
    shutil.copytree(project / "d2lhelpers", repository / "d2lhelpers", ignore=cache)
    shutil.copy(project / "pyproject.toml", repository)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    commit = [*identity, "-c", "commit.gpgsign=false", "commit", "-qm", "test"]
    for command in (["init", "-q"], ["add", "-A"], commit):
        subprocess.run(["git", *command], cwd=repository, check=True)
    result = run_script(machine, RUN.format(setup=setup_cell(f"git+{repository.as_uri()}")))
    assert result.returncode == 0, result.stderr
    assert str(tmp_path / "venv") in result.stdout  # installed there, not found in the checkout


def test_setup_says_what_to_do_before_the_course_is_published(machine):
    result = run_script(machine, RUN.format(setup=setup_cell("")))
    assert result.returncode != 0
    message = result.stderr.split("ModuleNotFoundError: ")[1]
    assert "set COURSE_URL above to git+" in message and "把上面的 COURSE_URL 改成" in message
    assert "pip install -r requirements.txt" in message
