# What people type while they develop. It needs make and a python3 with venv, and makes all else itself.
# Stamp files inside the environments say what is installed, so that nothing is installed twice.

PYTHON ?= python3
VENV ?= .venv
# Prefect versions for `prefect` and `test`; empty means the two of tests/real/prefect_env.py.
VERSIONS ?=
# More words for pytest: make test ARGS="-k window"
ARGS ?=
# Processes that run tests; most tests wait for something, so there are more than cores. 0: in this process.
JOBS ?= 4
# Modules for `mutants`; the tests of rawlogs/A/B.py are tests/test_B.py, or those of TESTS_B.
MODULES ?= delivery/ledger delivery/merge delivery/reader delivery/audit retrying/retry \
    wire/frames wire/handshake config/settings host serve/access
TESTS_access := serve_access serve_guard
TESTS_settings := settings settings_texts

EXTRAS := web,django,redis,metrics,otlp
MATRIX_PYTHONS := 3.10 3.11 3.12 3.13
MATRIX_VERSIONS := 3.9.1 3.8.8 3.7.8 3.6.29 3.5.0 3.4.7 3.4.0
# Without a socket for logs: its test names it.
POLLED := 3.4.0
MATRIX_WEBSOCKETS := 15.0.1 16.1.1 17.4
WIRE_TESTS := $(addprefix tests/test_,websockets_contract.py connection.py fast.py tap.py tls.py proxies.py handshake.py)
SYSTEM_PACKAGES := chromium redis-server zsh fish mandoc
MATRIX_PACKAGES := $(SYSTEM_PACKAGES) postgresql nginx haproxy microsocks openssl prometheus rsyslog debootstrap buildah logrotate

PIP := -m pip --disable-pip-version-check --no-input install --quiet
PREFECT_ENV := tests/real/prefect_env.py
INSTALLED := $(VENV)/.rawlogs-installed
TOOLS := $(VENV)/.rawlogs-tools

.PHONY: help man demo test test-matrix coverage mutants dist prefect lint fixtures example-django bench system system-matrix clean
.PRECIOUS: .venvs/%/.rawlogs-tools

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' Makefile

man: $(INSTALLED) ## write docs/rawlogs.1, the manual page, which the wheel installs
	$(VENV)/bin/rawlogs man > docs/rawlogs.1

demo: $(INSTALLED) ## see it work: streams from a fake server that is built in, and ends by itself
	$(VENV)/bin/rawlogs demo

test: lint prefect system ## lint, types and every test, with real Prefect servers (VERSIONS=…, ARGS=…)
	RAWLOGS_PREFECT_VERSIONS="$(VERSIONS)" $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

# actionlint runs in .github/workflows/tests.yml: its package for pip has to download the program from GitHub while it
# is installed, and this is to work with PyPI alone. check-jsonschema and zizmor find most of the same here.
lint: $(TOOLS) ## ruff, mypy, and what reads .github, the Containerfile and the manifests
	$(VENV)/bin/ruff check --extend-exclude .prefect,.venvs,.roots .
	$(VENV)/bin/ruff format --check --extend-exclude .prefect,.venvs,.roots .
	$(VENV)/bin/mypy
	@$(VENV)/bin/zizmor --offline --quiet .github
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms \
	    $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(VENV)/bin/hadolint Containerfile
	@$(VENV)/bin/kubernetes-validate --quiet --strict \
	    $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))

prefect: $(INSTALLED) ## install Prefect for the tests, each version in its own environment (VERSIONS=…)
	@$(VENV)/bin/python $(PREFECT_ENV) install $(VERSIONS)

# The fast tests in every environment; the real servers, all of them, in the newest with the highest dependencies, and
# the default two in the oldest with the lowest; the wire with each websockets.
test-matrix: $(TOOLS) system-matrix ## each Python found, lowest and highest dependencies, all Prefect versions (an hour)
	@$(VENV)/bin/python $(PREFECT_ENV) install $(MATRIX_VERSIONS)
	@set -e; for minor in $(MATRIX_PYTHONS); do \
	    if $(VENV)/bin/python $(PREFECT_ENV) find $$minor > /dev/null; then \
	        oldest=$${oldest:-$$minor}; newest=$$minor; \
	        $(MAKE) --no-print-directory matrix-$$minor-lowest matrix-$$minor-highest; \
	    fi; \
	done; \
	$(MAKE) --no-print-directory websockets-$$newest; \
	echo "== $$oldest-lowest with real servers"; \
	.venvs/$$oldest-lowest/bin/python -m pytest -m real $(ARGS); \
	echo "== $$newest-highest with Prefect $(MATRIX_VERSIONS)"; \
	RAWLOGS_PREFECT_VERSIONS="$(filter-out $(POLLED),$(MATRIX_VERSIONS))" \
	    .venvs/$$newest-highest/bin/python -m pytest -m "real or matrix" $(ARGS)

matrix-%: .venvs/%/.rawlogs-tools
	@echo "== $*"
	@.venvs/$*/bin/python -m pytest -m "not real" -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

# Beside the others in PYTHONPATH, where it comes before the one that is installed.
websockets-%: .venvs/%-highest/.rawlogs-tools
	@set -e; for version in $(MATRIX_WEBSOCKETS); do \
	    echo "== $* with websockets $$version"; \
	    .venvs/$*-highest/bin/python $(PIP) --no-deps --upgrade --target .venvs/websockets-$$version websockets==$$version; \
	    PYTHONPATH=.venvs/websockets-$$version .venvs/$*-highest/bin/python -m pytest $(WIRE_TESTS) $(ARGS); \
	done

coverage: $(TOOLS) ## which lines and branches the fast tests run
	@$(VENV)/bin/coverage erase
	$(VENV)/bin/coverage run -m pytest -m "not real" -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)
	@$(VENV)/bin/coverage combine --quiet
	$(VENV)/bin/coverage report

# Built twice, to be the same bytes; then what a user gets: the wheel in an empty environment of each Python.
dist: .venvs/release/.rawlogs-tools ## the sdist and the wheel, checked and tried out
	@rm -rf dist build && mkdir -p build
	@set -e; export SOURCE_DATE_EPOCH="$$(git log -1 --format=%ct 2> /dev/null || echo 1577836800)"; \
	for folder in dist build/again; do \
	    .venvs/release/bin/python -m build --no-isolation --outdir $$folder > build/log || { cat build/log >&2; exit 1; }; \
	done; \
	diff -r dist build/again; \
	.venvs/release/bin/twine check --strict dist/*; \
	.venvs/release/bin/check-wheel-contents dist/*.whl; \
	for minor in $(MATRIX_PYTHONS); do \
	    python="$$(.venvs/release/bin/python $(PREFECT_ENV) find $$minor)" || continue; \
	    rm -rf build/empty; "$$python" -m venv build/empty; \
	    build/empty/bin/python $(PIP) dist/*.whl; \
	    echo "Python $$minor, lines that each command printed:"; \
	    for words in --version help man "completion bash" demo; do \
	        (cd build && empty/bin/rawlogs $$words > out 2>&1 || { cat out; exit 1; }); \
	        echo "    rawlogs $$words: $$(wc -l < build/out)"; \
	    done; \
	done
	@ls -l dist

# In a copy, which mutmut fills with changed files. CONTRIBUTING says what may survive.
mutants: .venvs/mutants/.rawlogs-tools ## small changes that the tests do not notice (MODULES="delivery/ledger host", a quarter of an hour each)
	@$(foreach module,$(MODULES),$(call mutate,$(module),$(or $(TESTS_$(notdir $(module))),$(notdir $(module))));)

# $(1): a module, $(2): the names of its files of tests
define mutate
	rm -rf .mutants; mkdir .mutants; cp -r rawlogs tests fixtures pyproject.toml .mutants; \
	printf '%s\n' '' '[tool.mutmut]' 'source_paths = ["rawlogs"]' 'also_copy = ["tests", "fixtures"]' \
	    'only_mutate = ["rawlogs/$(1).py"]' 'pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist", "-x"]' \
	    'pytest_add_cli_args_test_selection = [$(foreach name,$(2),"tests/test_$(name).py", )]' >> .mutants/pyproject.toml; \
	(cd .mutants; ../.venvs/mutants/bin/mutmut run; echo "$(1):"; ../.venvs/mutants/bin/mutmut results)
endef

fixtures: $(TOOLS) prefect ## record fixtures/ anew from real servers (VERSIONS="3.4.7 3.6.29 3.7.8 3.8.8 3.9.1")
	$(VENV)/bin/python -m tests.real.record_fixtures $(VERSIONS)

example-django: $(INSTALLED) ## a Django page with live logs, against PREFECT_API_URL or an embedded server
	@$(VENV)/bin/python $(PIP) -e '.[django,web]' -c constraints/highest.txt
	cd examples/django && ../../$(VENV)/bin/python run.py

bench: $(INSTALLED) ## measure
	@$(VENV)/bin/python $(PIP) -e '.[web]' -c constraints/highest.txt
	$(VENV)/bin/python -m benchmarks

system: ## install what only some tests need: Chromium, Redis, zsh, fish and mandoc (as root, with apt-get)
	@$(call install_missing,$(SYSTEM_PACKAGES))

system-matrix: ## the same for test-matrix: Postgres, proxies, Prometheus, syslog, a bare Debian, too
	@$(call install_missing,$(MATRIX_PACKAGES))
	@$(PYTHON) tests/real/debian.py install

# Each package brings a program of its name; that of postgresql is psql, that of rsyslog rsyslogd.
define install_missing
	missing=; for package in $(1); do \
	    case $$package in postgresql) program=psql;; rsyslog) program=rsyslogd;; *) program=$$package;; esac; \
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
	rm -rf $(VENV) .venvs dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .fuzz .mutants
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

$(TOOLS): $(INSTALLED) constraints/test.txt constraints/lint.txt
	@echo "Installing the test tools into $(VENV)"
	@$(VENV)/bin/python $(PIP) -e '.[$(EXTRAS)]' -r constraints/test.txt -r constraints/lint.txt \
	    -c constraints/highest.txt
	@touch $@

# The name is the Python and the dependencies: .venvs/3.10-lowest
.venvs/%/.rawlogs-tools: $(wildcard constraints/*est.txt) pyproject.toml
	@echo "Making .venvs/$*"
	@"$$($(VENV)/bin/python $(PREFECT_ENV) find $(firstword $(subst -, ,$*)))" -m venv --clear .venvs/$*
	@.venvs/$*/bin/python $(PIP) -e '.[$(EXTRAS)]' -r constraints/test.txt -c constraints/$(lastword $(subst -, ,$*)).txt
	@touch $@

.venvs/mutants/.rawlogs-tools: $(VENV)/.rawlogs-made constraints/test.txt constraints/mutants.txt
	@echo "Making .venvs/mutants"
	@$(VENV)/bin/python -m venv --clear .venvs/mutants
	@.venvs/mutants/bin/python $(PIP) -e '.[$(EXTRAS)]' mutmut -r constraints/test.txt -c constraints/mutants.txt -c constraints/highest.txt
	@touch $@

.venvs/release/.rawlogs-tools: $(VENV)/.rawlogs-made constraints/release.txt
	@echo "Making .venvs/release"
	@$(VENV)/bin/python -m venv --clear .venvs/release
	@.venvs/release/bin/python $(PIP) build twine check-wheel-contents hatchling hatch-fancy-pypi-readme -c constraints/release.txt
	@touch $@
