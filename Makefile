PYTHON ?= python3
BIN := .venv/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
PYTEST := $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=8

.PHONY: demo test test-slow test-browser test-runtimes fuzz benchmark docs lint
.PHONY: format clean

demo: .venv/installed  ## Train on mnist_5k, evaluate, export: three minutes.
	$(BIN)/python train.py --preset=mnist_5k --workdir=runs/demo --overwrite
	$(BIN)/python evaluate.py --workdir=runs/demo

test: .venv/installed  ## The default tests: nine minutes.
	$(PYTEST)

test-slow: .venv/installed  ## The tests that take longer.
	$(PYTEST) -m slow

test-browser: .venv/installed /usr/bin/chromedriver  ## In Chromium: five minutes.
	$(BIN)/python -m pytest -m browser tests/test_browser.py

test-runtimes: .venv/installed .venv-runtimes/installed  ## What others run of an export: four minutes.
	$(BIN)/python tests_runtimes/export.py runs/runtimes
	EXPORTED=runs/runtimes .venv-runtimes/bin/python -m pytest -o addopts=-q tests_runtimes

fuzz: .venv/installed  ## Damaged files, hostile requests: twelve minutes.
	$(BIN)/python tests/fuzz.py
	$(BIN)/python tests/hostile.py

benchmark: .venv/installed  ## All ratios of speed; TORCH=a Python with PyTorch.
	$(BIN)/python benchmarks/step.py $(if $(TORCH),--torch=$(TORCH))
	$(BIN)/python benchmarks/stalls.py
	$(BIN)/python benchmarks/chunks.py
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/index_memory.py

docs: .venv/installed  ## The site, in site/: a broken link fails.
	$(BIN)/mkdocs build
	$(BIN)/python tests/links.py site

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-runtimes runs site

/usr/bin/chromedriver:
	$(SUDO) apt-get update
	$(SUDO) apt-get install --yes --no-install-recommends chromium chromium-driver

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

.venv-runtimes/installed: tests_runtimes/requirements.txt
	$(PYTHON) -m venv .venv-runtimes
	.venv-runtimes/bin/python -m pip install --quiet --requirement $<
	touch $@
