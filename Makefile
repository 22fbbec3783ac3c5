# make demo   a drop of handwritten digits becomes a registered model, on this machine
# make test   the tests, in a few minutes
# make up     the whole system in the foreground, until Ctrl-C
# make help   the rest

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Without bytecode on the disk, each of the stack's processes compiles every library anew.
unexport PYTHONDONTWRITEBYTECODE

# Python 3.13, wherever it is: on the path, or where pyenv keeps it. Else uv fetches it.
PYTHON := $(shell for p in python3.13 $(wildcard $(PYENV_ROOT)/versions/3.13*/bin/python3.13) \
	$(wildcard $(HOME)/.pyenv/versions/3.13*/bin/python3.13); do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null && { command -v $$p; break; }; done)
BOOTSTRAP := $(or $(PYTHON),python3)
PYTHON := $(or $(PYTHON),3.13)

UV := .venv-tools/bin/uv
BIN := .venv/bin
TRAINING := training_job/environment
WEB := function_app/http/web/vendor
OPTIONS ?=
ARGS ?=
SEED ?=
COUNT ?= 1000

COMPILE = $(UV) pip compile --quiet --no-emit-index-url --no-emit-find-links --generate-hashes \
	--python-version 3.13 --custom-compile-command 'make lock'

.PHONY: help
help: ## What can be made
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*##/\t/' | expand -t 18

# --- set-up: each step runs again only when its lock file has changed

.venv-tools/.ready: requirements-tools.txt
	@echo "set-up: uv, which installs the rest (downloads 20 MB)"
	@$(BOOTSTRAP) -m venv --clear .venv-tools
	@.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv/.ready: requirements-dev.txt .venv-tools/.ready
	@echo "set-up: Python environment of the service and its tests (.venv; downloads up to 310 MB)"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --python .venv --require-hashes $<
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	@touch $@

.venv-training/.ready: $(TRAINING)/requirements-cpu.txt $(TRAINING)/build-constraints.txt .venv-tools/.ready
	@echo "set-up: Python environment that jobs train in (.venv-training; downloads up to 245 MB)"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv-training
	@$(UV) pip sync --quiet --python .venv-training --require-hashes \
		--build-constraints $(TRAINING)/build-constraints.txt $<
	@touch $@

.venv-infra/.ready: requirements-infra.txt .venv-tools/.ready
	@echo "set-up: checkov, which looks over the Bicep (.venv-infra)"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv-infra
	@$(UV) pip sync --quiet --python .venv-infra --require-hashes $<
	@touch $@

.venv-docs/.ready: requirements-docs.txt .venv-tools/.ready
	@echo "set-up: MkDocs, which builds the documentation as a site (.venv-docs)"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv-docs
	@$(UV) pip sync --quiet --python .venv-docs --require-hashes $<
	@touch $@

node_modules/.ready: package-lock.json
	@echo "set-up: Azurite, the storage emulator, and the page's libraries (node_modules; downloads up to 85 MB)"
	@command -v npm > /dev/null || { echo "npm is not installed: install Node.js 20 or newer, then try again."; exit 1; }
	@npm ci --silent
	@touch $@

.PHONY: setup
setup: .venv/.ready .venv-training/.ready node_modules/.ready ## Install everything into this folder

# --- run

.PHONY: up
up: setup ## Run the whole system in the foreground (OPTIONS='--help' shows its options)
	@exec $(BIN)/python -m local_azure.stack.supervisor $(OPTIONS)

.PHONY: demo
demo: setup ## Drop handwritten digits and a Chainer script; end with a registered model
	@exec $(BIN)/python -m local_azure.stack.demo $(OPTIONS)

# --- check

PROSE := $(wildcard *.md *.toml *.yml *.yaml) Makefile .ci .devcontainer .github .pre-commit-config.yaml docs
CODE := app.py function_app kedja_cli local_azure training_job infra tests benchmarks examples
.PHONY: lint
lint: .venv/.ready ## Style (ruff), spelling (codespell), and who may import whom (import-linter)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/codespell $(PROSE) $(CODE)
	@$(BIN)/lint-imports --no-logo

.PHONY: hooks
hooks: .venv/.ready ## Have git run `make lint`'s checks on what is committed
	@$(BIN)/pre-commit install

.PHONY: types
types: .venv/.ready ## Types (mypy, strict)
	@$(BIN)/mypy --strict app.py function_app kedja_cli local_azure training_job infra/hooks tests benchmarks

.PHONY: browser
browser:
	@command -v chromium > /dev/null || { [ -n "$${CI:-}" ] && [ "$$(id -u)" = 0 ] && echo "set-up: Chromium" && \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium \
		> /dev/null; } || echo "The tests of the web page are left out: they need Chromium (apt-get install chromium)."

.PHONY: test
test: setup .venv-infra/.ready browser ## The tests, in a few minutes
	@$(BIN)/python -m tests.suites fast

.PHONY: test-all
test-all: setup .venv-infra/.ready browser ## The tests, with those that `make test` leaves out
	@$(BIN)/python -m tests.suites all

.PHONY: ci
ci: setup .venv-infra/.ready .venv-docs/.ready browser ## Style, types, documentation and every test, as .ci/run does
	@$(BIN)/python -m tests.suites ci

# One suite: all of it, or what ARGS names, such as ARGS='-k gate' or ARGS=tests/unit/models/test_gate.py.
whole = $(if $(filter tests/%,$(ARGS)),,$(1)) $(if $(ARGS),$(ARGS),-n auto --dist loadgroup)

.PHONY: test-unit
test-unit: .venv/.ready ## Unit tests of the service, the command and the local stack (ARGS='-k gate')
	@$(BIN)/python -m pytest -q --ignore tests/unit/training_job $(call whole,tests/unit)

.PHONY: test-contract
test-contract: setup ## Contract tests: storage, training services, calls of Azure (ARGS=...)
	@$(BIN)/python -m pytest -q $(call whole,tests/contract)

.PHONY: test-training
test-training: .venv-training/.ready ## Tests of what runs in a job (ARGS=...)
	@.venv-training/bin/python -m pytest -q --confcutdir=tests/unit/training_job $(call whole,tests/unit/training_job)

.PHONY: test-infra
test-infra: .venv/.ready .venv-infra/.ready ## Tests of the Bicep and of the deployment hooks (ARGS=...)
	@$(BIN)/python -m pytest -q $(call whole,tests/infra)

.PHONY: test-end-to-end
test-end-to-end: setup browser ## Tests over whole local stacks (ARGS='-k registered')
	@$(BIN)/python -m pytest -q $(if $(filter tests/%,$(ARGS)),,tests/end_to_end) $(or $(ARGS),-n 4 --dist loadgroup)

.PHONY: test-gpu
test-gpu: .venv-training/.ready ## Tests that need a GPU (ARGS=...)
	@.venv-training/bin/python -m pytest -q --confcutdir=tests/gpu $(call whole,tests/gpu)

.PHONY: faults
faults: setup ## Seeded schedules of faults (COUNT=100, SEED=123, OPTIONS='--planted', '--recovery' or '--minutes 30')
	@$(BIN)/python -m tests.end_to_end.faults $(if $(SEED),--seed $(SEED),--count $(COUNT)) $(OPTIONS)

.PHONY: fuzz
fuzz: setup ## Hostile inputs, for ten minutes (KEDJA_FUZZ_SECONDS=...)
	@KEDJA_FUZZ_SECONDS=$${KEDJA_FUZZ_SECONDS:-600} $(BIN)/python -m pytest tests/fuzz -q -n auto

.PHONY: audit
audit: .venv/.ready ## Known weaknesses in everything pinned (exit 3: the advisories cannot be reached)
	@$(BIN)/python -m tests.audit

.PHONY: screenshots
screenshots: setup browser ## Look at every page in a browser, and keep what it shows in docs/images
	@KEDJA_SCREENSHOTS=1 $(BIN)/python -m pytest tests/end_to_end/test_page.py -q

.PHONY: benchmarks
benchmarks: setup ## Figures, as ratios against a peer or a floor in the same run
	@for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark; done

.PHONY: chainer-suite
chainer-suite: .venv/.ready ## Chainer's own tests, with and without Kedja's layer (CHAINER_SOURCE=a checkout)
	@$(BIN)/python -m tests.chainer_suite.run --uv $(UV) $(if $(CHAINER_SOURCE),--source $(CHAINER_SOURCE)) \
		--report benchmarks/results/chainer-suite.md $(OPTIONS)

.PHONY: compat-matrix
compat-matrix: .venv/.ready ## Kedja's tests of the Chainer layer, on each Python and NumPy that docs/chainer.md names
	@$(BIN)/python -m tests.chainer_suite.matrix --uv $(UV) --report benchmarks/results/compat-matrix.md $(OPTIONS)

# --- document

# Links, so that `make docs-serve` notices what is written.
SITE := .site/source
.PHONY: site-source
site-source: .venv-docs/.ready node_modules/.ready
	@rm -rf $(SITE) && mkdir -p $(SITE)/assets $(SITE)/benchmarks
	@ln -s ../../docs ../../examples $(addprefix ../../,LICENSE $(wildcard *.md)) $(SITE)
	@ln -s ../../../benchmarks/results $(SITE)/benchmarks/results
	@ln -s ../../../node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js ../../../$(dir $(WEB))icon.svg $(SITE)/assets

.PHONY: docs
docs: site-source ## The documentation as a site, in .site/html; fails if a link leads nowhere
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --clean

.PHONY: docs-serve
docs-serve: site-source ## The site on http://127.0.0.1:8000/, built anew whenever a document is saved
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs serve --livereload

# --- maintain

.PHONY: lock
lock: .venv-tools/.ready ## Compile the pinned requirements from pyproject.toml, and package-lock.json
	@$(COMPILE) pyproject.toml -o requirements.txt
	@$(COMPILE) -c requirements.txt pyproject.toml --group dev -o requirements-dev.txt
	@$(COMPILE) --group tools -o requirements-tools.txt
	@$(COMPILE) --build-constraints $(TRAINING)/build-constraints.txt --group training-cpu -o $(TRAINING)/requirements-cpu.txt
	@$(COMPILE) --build-constraints $(TRAINING)/build-constraints.txt --group training-gpu -o $(TRAINING)/requirements.txt
	@$(COMPILE) --group infra -o requirements-infra.txt
	@$(COMPILE) --group docs -o requirements-docs.txt
	@npm install --package-lock-only --silent

.PHONY: vendor
vendor: node_modules/.ready ## Copy the libraries of the web page from their npm packages
	@cp node_modules/preact/dist/preact.mjs $(WEB)/preact.js
	@sed 's|from"preact"|from"./preact.js"|' node_modules/preact/hooks/dist/hooks.mjs > $(WEB)/hooks.js
	@cp node_modules/htm/dist/htm.module.js $(WEB)/htm.js
	@cp node_modules/uplot/dist/uPlot.esm.js $(WEB)/uplot.js
	@cp node_modules/uplot/dist/uPlot.min.css $(WEB)/uplot.css
	@sed -i '/^\/\/# sourceMappingURL=/d' $(WEB)/preact.js $(WEB)/hooks.js
	@for package in preact htm uplot; do cp node_modules/$$package/LICENSE $(WEB)/$$package.LICENSE; done

.PHONY: clean
clean: ## Remove the local stack's state (.kedja)
	@rm -rf .kedja
