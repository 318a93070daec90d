# Two commands do everything on a new machine: `make dev` and `make test`.
PYTHON ?= python3
VENV := .venv
PORT ?=
KV ?=

.PHONY: help dev edge conductor package bundle quick test coverage bench setup staged node clean

help:
	@echo "make dev    serve a local edge on http://127.0.0.1:8787 (PORT=, KV= a file)"
	@echo "make edge   serve the staged Worker in workerd, Cloudflare's own runtime, on port 8788 (PORT=, KV= a folder)"
	@echo "make conductor  serve a Conductor project that asks 'make dev', on port 8790 (PORT=, PROJECT= a folder, RESOLVER= a URL)"
	@echo "make package  the drop-in for Conductor as build/conductor-resolver-….tgz"
	@echo "make bundle what would be deployed, its size held against a budget"
	@echo "make quick  for each change: resolver/, worker/ and the rules, a quarter of the examples, without tests marked slow and $(notdir $(SLOW))"
	@echo "make test   everything that CI checks"
	@echo "make coverage  which lines and branches of resolver/, worker/ and edgit/ the tests reach, all but tests/edge (slower than the tests alone)"
	@echo "make bench  the benchmarks, written to benchmarks/results.md (some minutes, best on an idle machine)"
	@echo "make clean  take away what the two have made, the local KV included"

# Set up once; again only when what is to be installed has changed.
$(VENV)/ready: pyproject.toml constraints.txt
	@echo "setting up $(VENV) …"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

setup: $(VENV)/ready

dev: setup
	@PORT=$(or $(PORT),8787) KV=$(or $(KV),.local/kv.sqlite3) $(VENV)/bin/python -m worker.local serve

# The real runtime: workerd, Pyodide's parts and Miniflare's KV, from npm.
tests/edge/node_modules/ready: tests/edge/package.json tests/edge/package-lock.json
	@echo "setting up tests/edge/node_modules …"
	@cd tests/edge && npm ci --silent --no-audit --no-fund
	@touch $@

staged: setup tests/edge/node_modules/ready
	@$(VENV)/bin/python deploy/stage.py
	@$(VENV)/bin/python -m worker.local.seed > build/seed.json

edge: staged
	@PORT=$(or $(PORT),8788) KV=$(or $(KV),.local/edge) $(VENV)/bin/python -m tests.edge.workerd.serve

conductor: setup tests/edge/node_modules/ready
	@PORT=$(or $(PORT),8790) PROJECT=$(PROJECT) RESOLVER=$(RESOLVER) $(VENV)/bin/python -m tests.conductor.serve

package: tests/edge/node_modules/ready
	@mkdir -p build
	@cd conductor && PATH="$(CURDIR)/tests/edge/node_modules/.bin:$$PATH" npm pack --silent --pack-destination ../build

deploy/node_modules/ready: deploy/package.json deploy/package-lock.json
	@echo "setting up deploy/node_modules (wrangler and its Node, some 400 MB) …"
	@cd deploy && npm ci --silent --no-audit --no-fund
	@touch $@

bundle: setup deploy/node_modules/ready
	@$(VENV)/bin/python deploy/bundle.py

benchmarks/.venv/ready: pyproject.toml constraints.txt benchmarks/requirements.txt
	@echo "setting up benchmarks/.venv …"
	@test -x benchmarks/.venv/bin/python || $(PYTHON) -m venv benchmarks/.venv
	@benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement benchmarks/requirements.txt --editable '.[test]'
	@touch $@

bench: staged benchmarks/.venv/ready
	@benchmarks/.venv/bin/python -m benchmarks.run

# What `make quick` leaves out, besides tests that are marked `slow`: what asks Node for each example, and the local edge
# as a process of its own.
SLOW := tests/resolver/test_expression_node.py tests/worker/test_local.py

quick: setup node
	@echo "ruff …" && $(VENV)/bin/ruff check --quiet . && $(VENV)/bin/ruff format --quiet --check .
	@echo "pytest …" && $(VENV)/bin/pytest --numprocesses auto -m 'not slow' --hypothesis-profile quick \
		$(addprefix --ignore=,$(SLOW)) tests/resolver tests/worker $(filter-out $(SLOW),$(wildcard tests/test_*.py))

# The staged Worker in workerd is left out: nothing is counted there.
coverage: setup node
	@$(VENV)/bin/pytest --numprocesses auto --cov --cov-report=term --cov-report=html:build/coverage --ignore=tests/edge --ignore=tests/conductor
	@echo "line by line: build/coverage/index.html"

test: setup node staged
	@echo "ruff …" && $(VENV)/bin/ruff check --quiet . && $(VENV)/bin/ruff format --quiet --check .
	@echo "mypy …" && $(VENV)/bin/mypy --no-error-summary
	@echo "pytest …" && $(VENV)/bin/pytest --numprocesses auto

node:
	@command -v node > /dev/null || { echo "Node 20 or newer is wanted on the PATH: expressions are held against it, and it hosts the Worker"; exit 1; }

clean:
	rm -rf $(VENV) benchmarks/.venv .local build python_modules tests/edge/node_modules deploy/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* *.egg-info
