# `make demo`, `make test` and `make check` need a Python 3.11 or newer with its venv module, and nothing else.
PYTHON ?= python3
TINYLLM_CONSTRAINTS ?= constraints.txt

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check

.PHONY: demo test check clean

demo: $(VENV)/installed
	$(BIN)/tinyllm demo

test: $(VENV)/installed-for-tests
	$(BIN)/python -m pytest

check: $(VENV)/installed-for-tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The stamps make a second run quick; a changed pyproject.toml installs again.
$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e .
	touch $@

$(VENV)/installed-for-tests: pyproject.toml $(TINYLLM_CONSTRAINTS) | $(VENV)/bin/python
	$(PIP) -c $(TINYLLM_CONSTRAINTS) -e '.[lab,test,check]'
	touch $@ $(VENV)/installed
