# Two commands do everything on a new machine: `make dev` and `make test`.
PYTHON ?= python3
VENV := .venv
PORT ?= 8787
KV ?= .local/kv.sqlite3

.PHONY: help dev test check setup clean

help:
	@echo "make dev    serve a local edge on http://127.0.0.1:$(PORT) (PORT=, KV=)"
	@echo "make test   everything that CI checks"
	@echo "make clean  take away what the two have made, the local KV included"

# Set up once; again only when what is to be installed has changed.
$(VENV)/ready: pyproject.toml constraints.txt
	@echo "setting up $(VENV) …"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

setup: $(VENV)/ready

dev: setup
	@PORT=$(PORT) KV=$(KV) $(VENV)/bin/python -m worker.local serve

test: setup
	@command -v node > /dev/null || { echo "make test wants Node 20 or newer on the PATH: the expressions are held against it"; exit 1; }
	@echo "ruff …" && $(VENV)/bin/ruff check --quiet . && $(VENV)/bin/ruff format --quiet --check .
	@echo "mypy …" && $(VENV)/bin/mypy --no-error-summary
	@echo "pytest …" && $(VENV)/bin/pytest --numprocesses auto

clean:
	rm -rf $(VENV) .local .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
