"""Makes `pytest --nbval notebooks/` a quick run; `--full` turns that off. Slow tests run last."""

import os

import matplotlib
import pytest

from d2lhelpers import course

matplotlib.use("Agg")


def pytest_addoption(parser):
    parser.addoption(
        "--full", action="store_true", help="with --nbval: run notebooks on full data, for hours"
    )


def pytest_configure(config):
    # No bars, no TensorBoard server, and no test's runs among the reader's.
    os.environ.update(course.BATCH)
    os.environ["D2L_RUNS"] = str(course.build_folder() / "test-runs")


def pytest_report_header(config):
    lines = []
    config.stash[SOURCE] = course.source_at_hand(report=lines.append)
    return "\n".join(lines).splitlines() or "data: real MNIST and CIFAR-10 at hand"


SOURCE = pytest.StashKey[str]()


def pytest_collection_modifyitems(config, items):
    for item in items:
        cell = getattr(item, "cell", None)
        if cell is None:
            continue
        item.add_marker("slow")
        if "parameters" in cell.metadata.get("tags", []) and not config.getoption("full"):
            quick = course.QUICK | {"SOURCE": config.stash[SOURCE]}
            cell.source += "\n" + "\n".join(f"{name} = {value!r}" for name, value in quick.items())
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
