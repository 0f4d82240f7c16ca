# Every target works on a fresh clone: the first one builds .venv from requirements.txt.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help course lab test test-lowest test-wide full board bench site

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

course: $(VENV)/ready  ## execute every notebook in quick mode (minutes, any CPU)
	$(RUN) -m d2lhelpers run

lab: $(VENV)/ready  ## open JupyterLab on the notebooks; in one language: make lab EDITION=en
	$(RUN) -m d2lhelpers lab $(EDITION)

test: $(VENV)/ready  ## run every check: style, unit, model and notebook tests, papermill, nbval
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m pytest --nbval -n 2 --dist worksteal

test-lowest:  ## unit tests on the lowest versions of all that the package depends on
	$(PYTHON) -m venv build/lowest
	$(PYTHON) tests/lowest.py > build/lowest/constraints.txt
	build/lowest/bin/python -m pip install --quiet -c build/lowest/constraints.txt -e ".[course]" pytest nbval hypothesis packaging
	build/lowest/bin/python -m pytest -m "not slow" --ignore=tests/course/test_browser.py

test-wide: $(VENV)/ready  ## quick runs under other processors' arithmetic, three seeds (hours)
	$(RUN) tests/wide.py

full: $(VENV)/ready  ## redo the stored outputs and results.csv on full data (hours)
	$(RUN) -m d2lhelpers run --full

board: $(VENV)/ready  ## open TensorBoard on runs/, or on the folder D2L_RUNS
	$(RUN) -m d2lhelpers board

site: $(VENV)/ready  ## write both one-language editions as a static site, build/site/
	$(RUN) -m d2lhelpers export --lang zh
	$(RUN) -m d2lhelpers export --lang en

bench: $(VENV)/ready  ## measure speed as ratios, printed as a table
	$(RUN) tests/bench.py

$(VENV)/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11+ is needed, $$($(PYTHON) --version) found; try: make PYTHON=python3.12"; exit 1; }
	@test -w . || \
	  { echo "This folder may not be written to, and installing needs that: copy the course elsewhere."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@
