.PHONY: help setup demo test test-long check check-lerobot sim-libero sim-simpler bench docs docs-site format lint types
.DEFAULT_GOAL := help
SHELL := /bin/bash
# Bytecode is written, whatever the shell says: without it every process of a test compiles all that it imports, and every
# run rewrites the assertions of all tests, which takes a tenth of the time.
export PYTHONDONTWRITEBYTECODE :=
PY := .venv/bin/python
STAMP := .venv/.ready
# A file is one worker's, for it builds things once; files come in the order of tests/conftest.py.
PYTEST := .venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder
LEROBOT ?= .venv/lerobot
LIBERO ?= .venv-libero
SIMPLER ?= .venv-simpler

help: ## list what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(STAMP) ## install the tested versions of everything into .venv

# torch first and pinned: whatever asks for a newer one would pull that. For Linux pip's own index has it with CUDA, gigabytes that a CPU machine
# can do without: docs/getting-started.md tells how.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(PY) || { python=$$(.ci/python) && $$python -m venv .venv; }
	@.ci/gl
	@echo "installing into .venv: minutes, some gigabytes"
	$(PY) -m pip install -q --upgrade pip
	$(PY) -m pip install -q -c constraints.txt torch
	$(PY) -m pip install -q -c constraints.txt -e ".[dev]"
	$(PY) -m pip install -q -c constraints.txt --no-deps robosuite openpi-client
	touch $@

demo: setup ## the whole path from raw recordings to a played policy: a quarter of an hour
	$(PY) -m cli demo --out runs/demo

format: setup ## write the code as the formatter has it
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

lint: setup ## format, lint and import rules
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/lint-imports

types: setup ## strict types
	.venv/bin/mypy

check: lint types ## lint, types and the fast tests
	$(PYTEST) -m "not slow"

test: setup ## all tests but the few that take many minutes
	$(PYTEST) -m "not long"

test-long: setup ## those: what is killed fifty times, in each of its acts, or runs for ten thousand batches
	.venv/bin/pytest -m long

# lerobot pins older numpy and pandas than ours, and a torch that pulls CUDA: it gets an environment of its own.
$(LEROBOT)/.ready:
	python3 -m venv $(LEROBOT)
	$(LEROBOT)/bin/pip install -q -c constraints.txt torch
	$(LEROBOT)/bin/pip install -q --no-deps lerobot==0.4.4 accelerate
	$(LEROBOT)/bin/pip install -q --no-deps --target $(LEROBOT)/lerobot-0.3.3 lerobot==0.3.3
	$(LEROBOT)/bin/pip install -q "numpy<2.3" "pandas<3" pyarrow "datasets>=4.0,<4.2" "av>=15,<16" \
		"huggingface-hub>=0.34.2,<0.36" jsonlines einops draccus==0.10.0 deepdiff termcolor imageio \
		opencv-python-headless psutil safetensors
	touch $@

check-lerobot: setup $(LEROBOT)/.ready ## read our exports with the lerobot package itself
	VILLA_LEROBOT_PYTHON=$(abspath $(LEROBOT))/bin/python VILLA_LEROBOT_0_3_SITE=$(abspath $(LEROBOT))/lerobot-0.3.3 \
		$(PY) -m pytest tests/pipelines/export/lerobot/test_package.py

# LIBERO is written for an older robosuite than ours, whose declared pins contradict one another: all versions are in the file.
sim-libero: $(LIBERO)/.ready ## install the simulator LIBERO into .venv-libero, for `villa eval libero`

$(LIBERO)/.ready: .ci/sim-libero.txt
	@test -x $(LIBERO)/bin/python || { python=$$(.ci/python) && $$python -m venv $(LIBERO); }
	@.ci/gl
	@echo "installing into $(LIBERO): a minute or two, 2 GB"
	$(LIBERO)/bin/python -m pip install -q --no-deps -r .ci/sim-libero.txt
	$(LIBERO)/bin/python pipelines/evaluation/clients/libero versions
	touch $@

# ManiSkill pins an older numpy. Its assets come from their publisher and cannot be packed here: without them, or without
# network, the command that plays says which are missing.
sim-simpler: $(SIMPLER)/.ready ## install the simulator SIMPLER into .venv-simpler, for `villa eval simpler`

$(SIMPLER)/.ready: .ci/sim-simpler.txt .ci/vulkan
	@test -x $(SIMPLER)/bin/python || { python=$$(.ci/python) && $$python -m venv $(SIMPLER); }
	@echo "installing into $(SIMPLER): some minutes, 2 GB"
	$(SIMPLER)/bin/python -m pip install -q $$(grep '^torch==' .ci/sim-simpler.txt)
	$(SIMPLER)/bin/python -m pip install -q --no-deps -r .ci/sim-simpler.txt
	.ci/vulkan $(SIMPLER)
	@for asset in widowx250s bridge_v2_real2sim; do \
	  echo "fetching $$asset; $(SIMPLER)/$$asset.log has what comes of it"; \
	  $(SIMPLER)/bin/python -m mani_skill.utils.download_asset $$asset -y >$(SIMPLER)/$$asset.log 2>&1 \
	    || echo "not fetched: $$(grep -oE '^[A-Za-z_.]+Error: .*' $(SIMPLER)/$$asset.log | tail -n 1); \`villa eval simpler\` says what is missing, and how to get it"; done
	touch $@

bench: setup ## all benchmarks
	@set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; $(PY) $$script; done

docs: setup ## write the reference pages anew
	$(PY) -m cli docs --out docs/reference

docs-site: setup ## make a site of docs/ in build/docs, with a search; a broken link fails
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build
