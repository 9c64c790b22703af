# Nine verbs, one runner. `make demo` is all that a fresh machine needs: Python 3.11 or 3.12, make and pip.
#   make demo [ONESHOT=1] [DATA=path [MAPPING=file.yaml]]

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV_VERSION := 0.13.9
export DATA MAPPING

# the index that pip was told to use is also uv's
UV = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$($(BIN)/pip config get global.index-url 2>/dev/null)}"; \
	if [ -n "$$UV_DEFAULT_INDEX" ]; then export UV_DEFAULT_INDEX; else unset UV_DEFAULT_INDEX; fi; \
	SSL_CERT_FILE="$${SSL_CERT_FILE:-$$PIP_CERT}"; if [ -n "$$SSL_CERT_FILE" ]; then export SSL_CERT_FILE; else unset SSL_CERT_FILE; fi; \
	$(BIN)/uv --quiet --no-progress pip

.PHONY: setup amqp demo up check fix test test-services bench migrate lock
.DEFAULT_GOAL := setup

setup: $(STAMP)

# `touch` comes last: an interrupted installation is begun again
$(STAMP): requirements.lock pyproject.toml
	@python=; for candidate in $(PYTHON) python3.11 python3.12 python3 python; do \
		if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -x $(BIN)/python ] && ! $(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'; then \
		echo "$(VENV) was made with another Python; remove it and run make again" >&2; exit 1; fi; \
	if [ ! -x $(BIN)/python ] && [ -z "$$python" ]; then \
		echo "Python 3.11 or 3.12 was not found; install one, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	if [ ! -x $(BIN)/pip ] && ! "$$python" -m venv --clear $(VENV); then \
		rm -rf $(VENV); echo "$$python cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; fi
	@echo "installing what requirements.lock names into $(VENV)"
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(UV) install --python $(BIN)/python --require-hashes --requirement requirements.lock
	@$(UV) install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

# the library of AMQP 1.0, for which there are no wheels: needs a C compiler, pkg-config and the headers of Python and OpenSSL
amqp: setup
	@$(UV) install --python $(BIN)/python --require-hashes --requirement requirements-amqp.lock --no-binary python-qpid-proton --only-binary setuptools,cffi,pycparser \
		--no-deps --no-build-isolation-package python-qpid-proton

demo: setup
	@$(BIN)/water demo $(if $(filter-out 0 no false,$(ONESHOT)),--oneshot) $${DATA:+--data "$$DATA"} $${MAPPING:+--mapping "$$MAPPING"}

up: setup
	@$(BIN)/water up

migrate: setup
	@$(BIN)/water migrate

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint dbt_project
	$(BIN)/pytest -q water_pipelines/domain water_pipelines/parsers water_pipelines_tests/domain water_pipelines_tests/parsers

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix dbt_project

test: setup
	$(BIN)/pytest

# the same suite against servers of your own; credentials of the S3 API in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
test-services: setup
	@test -n "$$WATER_TEST_DATABASE_URL$$WATER_TEST_S3_URL" || { \
		echo "set WATER_TEST_DATABASE_URL (a PostgreSQL >= 15), WATER_TEST_S3_URL (an S3 API such as MinIO), or both" >&2; exit 2; }
	$(BIN)/pytest

# one race: make bench RACE=benchmarks/name.py
bench: setup
	@set -e; for race in $(or $(RACE),$(wildcard benchmarks/[a-z]*.py)); do echo "== $$race"; $(BIN)/python "$$race"; done

# for maintainers: resolve again what pyproject.toml asks for, moving as few versions as possible
lock:
	@$(UV) compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev --group bench --extra sentry --extra live \
		--output-file requirements.lock pyproject.toml
	@printf 'python-qpid-proton>=0.40\nsetuptools\n' | { $(UV) compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --constraint requirements.lock --output-file requirements-amqp.lock -; }
