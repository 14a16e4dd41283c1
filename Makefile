# Needs git, make and python3 (3.11 or newer, with venv). `make demo` shows riskbot at work, `make test` checks all of it.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench lock clean

demo: .venv/ready  ## play a crash on this machine: no key, no network
	@$(BIN)/riskbot demo

test: check  ## everything: format, lint, types, layers, tests, coverage

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy plugins tests/typing
	$(BIN)/lint-imports
	$(BIN)/coverage erase
	$(BIN)/python -m tests

bench: .venv/ready  ## measure: ratios in one run, and what dominates
	$(BIN)/python -m tests.bench

lock:  ## renew requirements.lock (needs uv); hashes, no URL, no host
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra dev pyproject.toml -o requirements.lock

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("riskbot needs Python 3.11 or newer; try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "Setting up .venv, once: about half a minute …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:  ## remove what was made
	rm -rf .venv build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find riskbot tests -name __pycache__ -prune -exec rm -rf {} +
