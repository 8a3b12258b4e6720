# Two commands matter: `make dev` shows it working, `make test` proves it.
# The first Python that is new enough.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
  $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: setup setup-k8s dev browser test screenshots lint lock bench chaos clean

setup: $(VENV)/.installed node_modules/.installed

$(VENV)/.installed: pyproject.toml requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and there is none here: install it, or say" \
	  "where it is (make PYTHON=/path/to/python)."; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) \
	  || { echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: python3-venv)."; exit 1; }
	@echo "Installing the Python packages ..."
	@$(PIP) install --require-hashes --requirement requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

node_modules/.installed: package.json package-lock.json
	@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null \
	  || { echo "Node.js 20 or newer and npm are needed: the demo and the tests run on the stock client."; exit 1; }
	@echo "Installing the Node packages ..."
	@npm ci --silent --no-audit --no-fund
	@touch $@

dev: setup
	$(BIN)/notify dev

# What pip and npm do not carry: the browser that the demo page is tested in.
browser:
	@sh tests/demo/browser.sh

# Helm, checkov and the like clash with the service's own packages: .venv-k8s is theirs. The tests make it themselves
# when it is missing.
setup-k8s: setup
	@$(BIN)/python -m tests.k8s.toolbox

test: setup browser
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

screenshots: setup browser
	DEMO_SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest tests/demo/test_screenshots.py

# Pins anew what pyproject.toml asks for. UPGRADE=1 takes the newest there is.
UV := $(VENV)-lock/bin/uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  $(if $(UPGRADE),--upgrade)
lock: $(UV)
	$(COMPILE) pyproject.toml --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	echo 'setuptools' | $(COMPILE) - --constraint requirements-dev.txt --output-file k8s/requirements-build.txt
	$(COMPILE) tests/k8s/requirements.in --output-file tests/k8s/requirements.txt

$(UV):
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip --quiet --disable-pip-version-check install 'uv>=0.9'

BENCH_PEER := tests/bench/peers/node

$(BENCH_PEER)/node_modules/.installed: $(BENCH_PEER)/package.json $(BENCH_PEER)/package-lock.json
	cd $(BENCH_PEER) && npm ci --silent --no-audit --no-fund
	touch $@

# make bench BENCH="--short --only P1,P3 --peers node,notify"
bench: setup $(BENCH_PEER)/node_modules/.installed
	$(BIN)/python -m tests.bench $(BENCH)

# make chaos CHAOS="--short --only R1,R3 --seed 7"
chaos: setup
	$(BIN)/python -m tests.chaos $(CHAOS)

clean:
	rm -rf $(VENV) $(VENV)-lock $(VENV)-k8s node_modules
