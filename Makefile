# Two commands matter: `make dev` shows it working, `make test` proves it.
# The first Python that is new enough.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
  $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help setup setup-k8s dev browser check test pythons screenshots chart lint lock dist bench chaos clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What the service and its demo run on. `make setup` adds what tests and linters need.
REFERENCE := docs/reference/dist/scalar.js.gz
RUNS := $(VENV)/.runs node_modules/.runs $(REFERENCE)
setup: ## .venv and node_modules, as tests and linters need them
setup: $(VENV)/.installed node_modules/.installed $(REFERENCE)

$(VENV)/.runs: pyproject.toml requirements-run.txt k8s/requirements-build.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and there is none here: install it, or say" \
	  "where it is (make PYTHON=/path/to/python)."; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) \
	  || { echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: python3-venv)."; exit 1; }
	@echo "Installing the Python packages ..."
	@$(PIP) install --require-hashes --requirement requirements-run.txt --requirement k8s/requirements-build.txt
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.installed: $(VENV)/.runs requirements-dev.txt client-demo/python/pyproject.toml
	@echo "Installing the Python packages of the tests ..."
	@$(PIP) install --require-hashes --requirement requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable client-demo/python
	@touch $@

define WITH_NODE
@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null \
  || { echo "Node.js 20 or newer and npm are needed: the demo and the tests run on the stock client."; exit 1; }
@echo "Installing the Node packages ..."
@npm ci --silent --no-audit --no-fund
endef

node_modules/.runs: package.json package-lock.json
	$(WITH_NODE) --omit=dev
	@touch $@

# npm begins anew each time: what this has installed is enough for `make dev`, too.
node_modules/.installed: package.json package-lock.json
	$(WITH_NODE)
	@touch node_modules/.runs $@

$(REFERENCE): docs/reference/package.json docs/reference/fetch.mjs
	@echo "Fetching what shows the API reference ..."
	@node docs/reference/fetch.mjs

dev: ## an embedded Valkey, two nodes, the demo page, and a curl line to post with
dev: $(RUNS)
	$(BIN)/notify dev

browser: ## the browser that pages are tested in, which neither pip nor npm carries
browser:
	@sh tests/demo/browser.sh

# Helm, checkov and the like clash with the service's own packages: .venv-k8s is theirs. The tests make it themselves
# when it is missing.
setup-k8s: ## the tools that the tests of the chart use
setup-k8s: setup
	@$(BIN)/python -m tests.k8s.toolbox

check: ## lint, types, imports and the tests that need neither Node nor a browser: under two minutes
check: lint
	$(BIN)/python -m pytest -q --numprocesses 2 --dist worksteal -m "not node and not browser and not k8s and not slow"

test: ## all tests
test: setup browser
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

pythons: ## the tests on each supported Python; make pythons PYTHONS=3.13 for one of them
pythons: setup
	$(BIN)/python -m tests.pythons $(PYTHONS)

chart: ## what of the chart is generated: its README, the settings in its schema
chart: setup
	$(BIN)/python -m tests.k8s.generate

lint: ## ruff, mypy, import-linter
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy client-demo/example/app.py
	$(BIN)/lint-imports

screenshots: ## the pictures in docs/screenshots, anew
screenshots: setup browser
	DEMO_SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest tests/demo/test_screenshots.py

UV := $(VENV)-lock/bin/uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  $(if $(UPGRADE),--upgrade)
lock: ## pins anew what pyproject.toml asks for; UPGRADE=1 takes the newest there is
lock: $(UV)
	$(COMPILE) pyproject.toml --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra embedded --constraint requirements.txt --output-file requirements-run.txt
	$(COMPILE) pyproject.toml --extra dev --constraint requirements-run.txt --output-file requirements-dev.txt
	echo 'setuptools' | $(COMPILE) - --constraint requirements-dev.txt --output-file k8s/requirements-build.txt
	$(COMPILE) tests/k8s/requirements.in --output-file tests/k8s/requirements.txt
	$(COMPILE) tests/generators/requirements.in --output-file tests/generators/requirements.txt

$(UV):
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip --quiet --disable-pip-version-check install 'uv>=0.9'

# Everything that is published, in dist/. HOME_URL is where the repository is to be read, IMAGE where the image is to be
# had, without its tag: the chart names both.
DIST := dist
HOME_URL :=
IMAGE :=
dist: ## everything that is published
dist: setup
	rm -f $(DIST)/notify*
	$(BIN)/python -m build --no-isolation --outdir $(DIST) .
	$(BIN)/python -m build --no-isolation --outdir $(DIST) client-demo/python
	npm pack --silent --pack-destination $(DIST) ./client-demo/inbox
	$(BIN)/python -m tests.k8s.package $(DIST) --home-url='$(HOME_URL)' --image='$(IMAGE)'

BENCH_PEER := tests/bench/peers/node

$(BENCH_PEER)/node_modules/.installed: $(BENCH_PEER)/package.json $(BENCH_PEER)/package-lock.json
	cd $(BENCH_PEER) && npm ci --silent --no-audit --no-fund
	touch $@

bench: ## measures beside the peers: make bench BENCH="--short --only P1,P3 --peers node,notify"
bench: setup $(BENCH_PEER)/node_modules/.installed
	$(BIN)/python -m tests.bench $(BENCH)

chaos: ## breaks things and counts what is lost: make chaos CHAOS="--short --only R1,R3 --seed 7"
chaos: setup
	$(BIN)/python -m tests.chaos $(CHAOS)

clean: ## takes away what the targets above installed
clean:
	rm -rf $(VENV) $(VENV)-* node_modules docs/reference/dist dist build
