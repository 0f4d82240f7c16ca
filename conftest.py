"""Makes `pytest --nbval notebooks/` a quick run; `--full` turns that off. Slow tests run last."""

import os

import matplotlib

from d2lhelpers.course import run
from d2lhelpers.course.notebooks import build_folder

matplotlib.use("Agg")


def pytest_addoption(parser):
    parser.addoption(
        "--full", action="store_true", help="with --nbval: run notebooks on full data, for hours"
    )


def pytest_configure(config):
    # No bars, no TensorBoard server, and no test's runs among the reader's.
    os.environ.update(run.BATCH)
    os.environ["D2L_RUNS"] = str(build_folder() / "test-runs")
    if not config.option.nbval_sanitize_with:
        config.option.nbval_sanitize_with = str(config.rootpath / "tests" / "nbval.cfg")


def pytest_collection_modifyitems(config, items):
    cells = [item for item in items if hasattr(item, "cell")]
    parameters = [c for c in cells if "parameters" in c.cell.metadata.get("tags", [])]
    if parameters and not config.getoption("full"):
        quick = run.QUICK | {"SOURCE": run.source_at_hand(report=_say(config))}
        for item in parameters:
            item.cell.source += "".join(f"\n{name} = {value!r}" for name, value in quick.items())
    for item in cells:
        item.add_marker("slow")
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def _say(config):
    """Prints whatever pytest captures otherwise, even where it is told to be quiet."""
    capture = config.pluginmanager.getplugin("capturemanager")

    def say(text):
        with capture.global_and_fixture_disabled():
            print(f"\n{text}")

    return say
