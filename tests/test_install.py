"""What an installation brings: enough for notebooks, and with the extra to maintain them."""

import shutil
import sys

import environments
import pytest
from environments import PROJECT

pytestmark = pytest.mark.slow

EXTRA = ("latex2mathml", "nbconvert", "nbformat", "papermill")
HEAVY = (*EXTRA, "matplotlib", "pandas", "scipy", "tensorboard")
LEARN = f"""
import importlib.util, sys
import d2lhelpers as d2l
assert not set({HEAVY}) & set(sys.modules), "importing the helpers is slow"
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
import tqdm.auto, ipywidgets
for name in {EXTRA}:
    assert importlib.util.find_spec(name) is None, name
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package, built as ``pip install .`` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = environments.copy_source(folder / "source")
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    environments.run(sys.executable, "-m", "pip", "wheel", *options, source)
    return next(folder.glob("*.whl"))


def install(wheel, folder, *extras):
    """An environment with what the extras need and no more, and the package; no index is asked."""
    python = environments.create(folder, environments.requirements(*extras))
    wanted = f"{wheel}[{','.join(extras)}]" if extras else wheel
    environments.run(python, "-m", "pip", "install", "--no-index", wanted)
    return python


@pytest.fixture(scope="module")
def plain(wheel, tmp_path_factory):
    return install(wheel, tmp_path_factory.mktemp("plain"))


@pytest.fixture
def checkout(tmp_path):
    """The notebooks alone, for an installed package to work on."""
    (tmp_path / "notebooks").mkdir()
    for name in (
        "notebooks/01_lenet_mnist.ipynb",
        "notebooks/results.csv",
        "README.md",
        "pyproject.toml",
    ):
        shutil.copy(PROJECT / name, tmp_path / name)
    return tmp_path


def test_a_plain_install_is_enough_to_learn(plain, tmp_path):
    environments.run(plain, "-c", LEARN, folder=tmp_path)


def test_maintenance_after_a_plain_install_names_the_extra(plain, checkout):
    command = """
import sys
from d2lhelpers.__main__ import main
for words in sys.argv[1:]:
    print(words, main(words.split()), file=sys.stderr)
"""
    notebook = checkout / "notebooks" / "01_lenet_mnist.ipynb"
    commands = [f"run {notebook}", "stamp", "export --lang en"]
    errors = environments.run(plain, "-c", command, *commands, folder=checkout).stderr
    for words in commands:
        assert f"{words} 2\n" in errors
    assert errors.count("附加包 [course]") == errors.count("the extra [course]") == len(commands)


def test_the_extra_is_enough_to_maintain(wheel, tmp_path, checkout):
    course = install(wheel, tmp_path, "course")
    environments.run(
        course, "-m", "d2lhelpers", "export", "--lang", "en", "--to", "site", folder=checkout
    )
    assert (checkout / "site" / "en" / "index.html").exists()
    kernel = "from jupyter_client.kernelspec import get_kernel_spec; get_kernel_spec('python3')"
    environments.run(course, "-c", f"import papermill; {kernel}")
