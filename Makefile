# What people type while they develop. It needs make and a python3 with venv, and makes all else itself.
# Stamp files inside the environments say what is installed, so that nothing is installed twice.

PYTHON ?= python3
VENV ?= .venv
# Prefect versions for `prefect` and `test`; empty means the two of tests/real/prefect_env.py.
VERSIONS ?=
# More words for pytest: make test ARGS="-k window"
ARGS ?=
# Files of tests at the same time; most of them wait for something. 0: one after the other, in this process.
JOBS ?= 2

MATRIX_PYTHONS := 3.10 3.11 3.12 3.13
MATRIX_VERSIONS := 3.9.1 3.8.8 3.7.8 3.6.29 3.5.0 3.4.7
SYSTEM_PACKAGES := chromium redis-server
MATRIX_PACKAGES := $(SYSTEM_PACKAGES) postgresql nginx haproxy openssl

PIP := -m pip --disable-pip-version-check --no-input install --quiet
PREFECT_ENV := tests/real/prefect_env.py
INSTALLED := $(VENV)/.rawlogs-installed
TOOLS := $(VENV)/.rawlogs-tools

.PHONY: help demo test test-matrix prefect lint fixtures example-django bench system system-matrix clean
.PRECIOUS: .venvs/%/.rawlogs-tools

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' Makefile

demo: $(INSTALLED) ## see it work: streams from a fake server that is built in, and ends by itself
	$(VENV)/bin/rawlogs demo

test: lint prefect system ## lint, types and every test, with real Prefect servers (VERSIONS=…, ARGS=…)
	RAWLOGS_PREFECT_VERSIONS="$(VERSIONS)" $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: $(TOOLS) ## ruff and mypy
	$(VENV)/bin/ruff check --extend-exclude .prefect,.venvs .
	$(VENV)/bin/ruff format --check --extend-exclude .prefect,.venvs .
	$(VENV)/bin/mypy

prefect: $(INSTALLED) ## install Prefect for the tests, each version in its own environment (VERSIONS=…)
	@$(VENV)/bin/python $(PREFECT_ENV) install $(VERSIONS)

# The fast tests in every environment; the real servers, all of them, in the two at the ends.
test-matrix: $(TOOLS) ## each Python found, lowest and highest dependencies, all Prefect versions
	@$(VENV)/bin/python $(PREFECT_ENV) install $(MATRIX_VERSIONS)
	@set -e; for minor in $(MATRIX_PYTHONS); do \
	    if $(VENV)/bin/python $(PREFECT_ENV) find $$minor > /dev/null; then \
	        oldest=$${oldest:-$$minor}; newest=$$minor; \
	        $(MAKE) --no-print-directory matrix-$$minor-lowest matrix-$$minor-highest; \
	    fi; \
	done; \
	for env in $$oldest-lowest $$newest-highest; do \
	    echo "== $$env with Prefect $(MATRIX_VERSIONS)"; \
	    RAWLOGS_PREFECT_VERSIONS="$(MATRIX_VERSIONS)" .venvs/$$env/bin/python -m pytest -m real $(ARGS); \
	done

matrix-%: .venvs/%/.rawlogs-tools
	@echo "== $*"
	@.venvs/$*/bin/python -m pytest -m "not real" $(ARGS)

fixtures: $(TOOLS) prefect ## record fixtures/ anew from real servers (VERSIONS="3.4.7 3.6.29 3.7.8 3.8.8 3.9.1")
	$(VENV)/bin/python -m tests.real.record_fixtures $(VERSIONS)

example-django: $(INSTALLED) ## a Django page with live logs, against PREFECT_API_URL or an embedded server
	@$(VENV)/bin/python $(PIP) -e '.[django,web]' -c constraints/highest.txt -c constraints/test.txt
	cd examples/django && ../../$(VENV)/bin/python run.py

bench: $(INSTALLED) ## measure
	@$(VENV)/bin/python $(PIP) -e '.[web]' -c constraints/highest.txt -c constraints/test.txt
	$(VENV)/bin/python -m benchmarks

system: ## install what only some tests need: Chromium and Redis (as root, with apt-get)
	@$(call install_missing,$(SYSTEM_PACKAGES))

system-matrix: ## the same for test-matrix: Postgres, nginx and haproxy, too
	@$(call install_missing,$(MATRIX_PACKAGES))

# Each package brings a program of its name; that of postgresql is psql.
define install_missing
	missing=; for package in $(1); do \
	    program=$${package%postgresql}; program=$${program:-psql}; \
	    PATH=$$PATH:/usr/sbin command -v $$program > /dev/null || missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ]; then \
	    echo "$(1): installed"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    apt-get update -q; \
	    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	else \
	    echo "Some tests need these programs, which are not here:$$missing" >&2; \
	    echo "Install them with your package manager, or run 'make $@' as root on Debian." >&2; \
	    exit 1; \
	fi
endef

clean: ## remove what was made here, except for the Prefect environments in .prefect
	rm -rf $(VENV) .venvs dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .fuzz
	find rawlogs tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.rawlogs-made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2> /dev/null || { \
	    echo "rawlogs needs Python 3.10 or newer; '$(PYTHON)' is none ($$($(PYTHON) --version 2>&1))." >&2; \
	    echo "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(VENV)/bin/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@touch $@

$(INSTALLED): $(VENV)/.rawlogs-made pyproject.toml constraints/highest.txt
	@echo "Installing rawlogs into $(VENV)"
	@$(VENV)/bin/python $(PIP) -e . -c constraints/highest.txt
	@touch $@

$(TOOLS): $(INSTALLED) constraints/test.txt
	@echo "Installing the test tools into $(VENV)"
	@$(VENV)/bin/python $(PIP) -r constraints/test.txt -c constraints/highest.txt
	@touch $@

# The name is the Python and the dependencies: .venvs/3.10-lowest
.venvs/%/.rawlogs-tools: $(wildcard constraints/*est.txt) pyproject.toml
	@echo "Making .venvs/$*"
	@"$$($(VENV)/bin/python $(PREFECT_ENV) find $(firstword $(subst -, ,$*)))" -m venv --clear .venvs/$*
	@.venvs/$*/bin/python $(PIP) -e . -r constraints/test.txt -c constraints/$(lastword $(subst -, ,$*)).txt
	@touch $@
