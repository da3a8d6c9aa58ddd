.PHONY: setup demo test check check-lerobot bench docs format lint types
SHELL := /bin/bash
PY := .venv/bin/python
STAMP := .venv/.ready
LEROBOT ?= .venv/lerobot

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

check-lerobot: setup $(LEROBOT)/.ready
	VILLA_LEROBOT_PYTHON=$(abspath $(LEROBOT))/bin/python VILLA_LEROBOT_0_3_SITE=$(abspath $(LEROBOT))/lerobot-0.3.3 \
		$(PY) -m pytest tests/test_export_lerobot.py -k real_lerobot

bench: setup
	@set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; $(PY) $$script; done

docs: setup
	$(PY) -m cli docs --out docs/reference
