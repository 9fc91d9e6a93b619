# Everything a newcomer needs: `make demo` shows the loop, `make test` proves it. Both set themselves up.

PYTHON ?= python3
BIN := .venv/bin
# Tests wait for servers half of their time, and share one stack.
PROCESSES ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 4 ] && echo $$n || echo 4)
UV := $(BIN)/uv pip
WARM_UP := $(BIN)/python -c 'from streams.drift.warming import warm_up; warm_up()'

# Compiled once and kept, whatever the shell says: a test run starts hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-nightly lint bench pins clean

help:  ## show what can be made
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: .venv/.ready-all  ## close the loop on a real stack, and tell what happens (FAST=1 ends by itself)
	@test -e .venv/.warm || { $(WARM_UP) && touch .venv/.warm; } >/dev/null 2>&1 &
	@$(BIN)/driftline demo $(if $(FAST),--fast)

test: .venv/.compiled  ## run the tests against real servers (ARGS= goes to pytest)
	$(BIN)/pytest -m "not nightly" --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

test-nightly: .venv/.compiled  ## run the tests that take minutes: chaos, soak, long histories
	$(BIN)/pytest -m nightly --timeout 1800 $(ARGS)

lint: .venv/.ready-dev  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.ready-dev .venv-rivals/.ready  ## measure; each benchmark prints a table of its own (ONLY=name for one)
	@set -e; for script in benchmarks/$(or $(ONLY),[a-z]*).py; do $(BIN)/python -m "$$(echo $${script%.py} | tr / .)"; done

pins: .venv/.tools  ## renew the pinned dependencies
	requirements/renew

clean:  ## stop the stack, and remove what was made here
	-@test ! -x $(BIN)/driftline || $(BIN)/driftline down
	rm -rf .venv .venv-rivals .venv-mlflow .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The second set of packages holds the first, so that the demo never waits for the linters.
.venv/.ready-%: requirements/%.txt pyproject.toml .venv/.tools
	@echo "installing requirements/$*.txt"
	@$(UV) install --quiet --require-hashes --requirement requirements/$*.txt
	@$(UV) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Otherwise each of the processes that test would compile the same loops, and the same Python.
.venv/.compiled: .venv/.ready-dev $(wildcard streams/drift/kernels/*.py streams/backtest/*weighing.py)
	@echo "compiling loops and tests"
	@$(BIN)/pytest --collect-only --quiet >/dev/null & $(BIN)/python tests/compile_loops.py && wait
	@touch $@

.venv-%/.ready: requirements/%.txt .venv/.tools
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-$*
	@$(UV) install --quiet --python .venv-$* --require-hashes --requirement requirements/$*.txt
	@touch $@

.venv/.tools: requirements/tools.txt
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "error: Driftline needs Python 3.11 to 3.13; hint: make PYTHON=python3.11 …" >&2; exit 1; }
	@$(PYTHON) -m venv .venv \
		|| { echo "error: no virtual environment could be made; hint: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/tools.txt
	@touch $@
