"""What an installation brings: enough for notebooks by itself, with the extra enough to maintain."""

import shutil
import sys

import environments
import pytest
from environments import PROJECT

pytestmark = pytest.mark.slow

HEAVY = ("matplotlib", "nbconvert", "nbformat", "pandas", "papermill", "scipy", "tensorboard")
LEARN = """
import sys
import d2lhelpers as d2l
assert "site-packages" in d2l.__file__, "found in the checkout, not installed"
import torch
from torch import nn
data = d2l.load_mnist(batch_size=16, train_size=64, test_size=32, source="synthetic")
net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
history = d2l.train(net, data, lr=0.1, epochs=1, name="chapter/net/first")
d2l.use_style()
import matplotlib
matplotlib.use("Agg")
d2l.plot_history(history)
d2l.show_worst(net, data.test)
import tqdm.auto, ipywidgets
assert "nbformat" not in sys.modules
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    python = environments.create(
        tmp_path_factory.mktemp("plain"), environments.requirements()
    )
    environments.install(python)
    return python


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    lines = [*environments.requirements("course"), "setuptools"]
    python = environments.create(tmp_path_factory.mktemp("course"), lines)
    environments.install(python, "course")
    return python


@pytest.fixture
def checkout(tmp_path):
    """The notebooks alone, for an installed package to work on."""
    (tmp_path / "notebooks").mkdir()
    for name in ("notebooks/01_lenet_mnist.ipynb", "notebooks/results.csv", "README.md"):
        shutil.copy(PROJECT / name, tmp_path / name)
    return tmp_path


def test_importing_loads_nothing_heavy():
    show = f"import sys, d2lhelpers; print(sorted({set(HEAVY)} & set(sys.modules)))"
    assert environments.run(sys.executable, "-c", show, folder=PROJECT).stdout.strip() == "[]"


def test_a_plain_install_is_enough_to_learn(plain, tmp_path):
    environments.run(plain, "-c", LEARN, folder=tmp_path)


def test_a_plain_install_has_nothing_for_maintainers(plain):
    names = environments.requirements("course")[len(environments.requirements()) :]
    listed = environments.run(plain, "-m", "pip", "list", "--format=freeze").stdout
    installed = {line.split("==")[0].lower() for line in listed.splitlines()}
    assert "matplotlib" in installed
    assert not {"nbformat", "papermill", "nbconvert", "latex2mathml"} & installed, names


@pytest.mark.parametrize("arguments", ["run", "results", "stamp", "export --lang en"])
def test_maintenance_after_a_plain_install_names_the_extra(plain, checkout, arguments):
    done = environments.attempt(plain, "-m", "d2lhelpers", *arguments.split(), folder=checkout)
    if arguments == "results":
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 2, done.stdout + done.stderr
    assert "[course]" in done.stderr and "Traceback" not in done.stderr
    assert "附加包" in done.stderr and "extra" in done.stderr


def test_the_extra_is_enough_to_maintain(course, checkout):
    environments.run(
        course, "-m", "d2lhelpers", "export", "--lang", "en", "--to", "site", folder=checkout
    )
    assert (checkout / "site" / "en" / "index.html").exists()
    kernel = "from jupyter_client.kernelspec import get_kernel_spec; get_kernel_spec('python3')"
    environments.run(course, "-c", f"import papermill; {kernel}")
