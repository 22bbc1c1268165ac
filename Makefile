PYTHON ?= python3
BIN := .venv/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
PARALLEL := --numprocesses=logical --maxprocesses=8
PYTEST := $(BIN)/python -m pytest $(PARALLEL)
# pyenv's shims run what PYENV_VERSION names; to others it says nothing.
PYTHON_LOWEST ?= env PYENV_VERSION=3.10 python3.10
PYTHON_HIGHEST ?= env PYENV_VERSION=3.12 python3.12

.PHONY: demo test test-lowest test-highest python-lowest python-highest test-slow
.PHONY: test-browser test-runtimes fuzz benchmark audit docs lint format clean

demo: .venv/installed  ## Train on mnist_5k, evaluate, export: three minutes.
	$(BIN)/python train.py --preset=mnist_5k --workdir=runs/demo --overwrite
	$(BIN)/python evaluate.py --workdir=runs/demo

test: .venv/installed  ## The default tests: ten minutes.
	$(PYTEST)

TESTS := $(addprefix tests/test_,$(addsuffix .py,errors evidence exports \
	hierarchy likelihoods model objective run serving several_levels sources \
	store workdir))

test-lowest test-highest: test-%: .venv-%/installed  ## In the oldest, the newest versions: four minutes each; TESTS=tests for all.
	.venv-$*/bin/python -m pytest $(PARALLEL) $(TESTS)

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

audit: .venv/installed  ## Known vulnerabilities of what pyproject.toml allows.
	$(BIN)/python tests/audit.py

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
	rm -rf .venv .venv-runtimes .venv-lowest .venv-highest runs site

/usr/bin/chromedriver:
	$(SUDO) apt-get update
	$(SUDO) apt-get install --yes --no-install-recommends chromium chromium-driver

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	@# Of every editable installation setuptools warns.
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

%-lowest %-lowest/installed: INTERPRETER = $(PYTHON_LOWEST)
%-highest %-highest/installed: INTERPRETER = $(PYTHON_HIGHEST)
.venv-lowest/installed: RESOLUTION = lowest-direct
.venv-highest/installed: RESOLUTION = highest

.venv-lowest/installed .venv-highest/installed: .venv-%/installed: pyproject.toml .venv/installed | python-%
	$(INTERPRETER) -m venv --clear .venv-$*
	$(BIN)/uv pip install --quiet --python=.venv-$* --resolution=$(RESOLUTION) --editable '.[test]'
	touch $@

python-lowest python-highest: python-%:
	@$(INTERPRETER) --version || { echo "No Python for make test-$*:" \
		"'$(INTERPRETER)' does not run. Name one: PYTHON_$(shell echo $* | tr a-z A-Z)=..."; exit 1; }

.venv-runtimes/installed: tests_runtimes/requirements.txt
	$(PYTHON) -m venv .venv-runtimes
	.venv-runtimes/bin/python -m pip install --quiet --requirement $<
	touch $@
