.PHONY: setup demo test check bench docs format lint types
SHELL := /bin/bash
PY := .venv/bin/python
STAMP := .venv/.ready

setup: $(STAMP)

# torch first and pinned: whatever asks for a newer one would pull gigabytes of CUDA onto a CPU machine.
$(STAMP): pyproject.toml constraints.txt
	test -x $(PY) || python3 -m venv .venv
	$(PY) -m pip install -q --upgrade pip
	$(PY) -m pip install -q -c constraints.txt torch
	$(PY) -m pip install -q -c constraints.txt -e ".[dev]"
	$(PY) -m pip install -q -c constraints.txt --no-deps robosuite
	touch $@

demo: setup
	$(PY) -m cli demo --out runs/demo

format: setup
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

lint: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/lint-imports

types: setup
	.venv/bin/mypy

check: lint types
	.venv/bin/pytest -m "not slow" -n 2 --dist loadfile

test: setup
	.venv/bin/pytest -n 2 --dist loadfile

bench: setup
	@set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; $(PY) $$script; done

docs: setup
	$(PY) -m cli docs --out docs/reference
