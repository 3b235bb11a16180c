# `make demo` and `make test` set up what they need on a machine with Python 3.11+, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: demo test quality style clean

demo: $(VENV)/.core
	$(BIN)/hf-hybrid run scripts/configs/demo.yaml --output_dir runs/demo

test: $(VENV)/.all
	$(BIN)/python -m pytest -n 2 --dist loadfile

quality: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

style: $(VENV)/.all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A stamp is written last, so an installation that broke off is repeated, and a finished one costs nothing.
$(VENV)/.core: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("expected Python 3.11 or newer, found %d.%d: set PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(VENV)/.all: $(VENV)/.core
	$(INSTALL) '.[test,quality]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info runs/demo
