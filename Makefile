# Two commands matter: `make dev` shows it working, `make test` proves it.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup dev test lint bench chaos clean

setup: $(VENV)/.installed node_modules/.installed

$(VENV)/.installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed (make PYTHON=python3.12 ...)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

node_modules/.installed: package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	touch $@

dev: setup
	$(BIN)/notify dev

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

BENCH_PEER := tests/bench/peers/node

$(BENCH_PEER)/node_modules/.installed: $(BENCH_PEER)/package.json $(BENCH_PEER)/package-lock.json
	cd $(BENCH_PEER) && npm ci --silent --no-audit --no-fund
	touch $@

# make bench BENCH="--short --only P1,P3 --peers node,notify"
bench: setup $(BENCH_PEER)/node_modules/.installed
	$(BIN)/python -m tests.bench $(BENCH)

chaos: setup
	$(BIN)/python -m tests.chaos

clean:
	rm -rf $(VENV) node_modules
