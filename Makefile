# Every target sets up what it needs; an empty machine with Python 3.11+ and make will do.

PYTHON ?= python3
PIP = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
TEST = .venv-test/bin/python
LINT = .venv-lint/bin/python
DEMO = .venv-demo/bin/python
BENCH = .venv-bench/bin/python
JOBS ?= 2
# The files that take longest come first; else one process is left with them.
PYTEST = -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: demo demo-train test test-all mutants lint bench clean

demo:
	$(PYTHON) -m venv --clear .venv-demo
	$(DEMO) $(PIP) ".[fast]"
	$(DEMO) scripts/demo.py

demo-train:
	$(PYTHON) -m venv --clear .venv-demo
	$(DEMO) $(PIP) --editable ".[train,plot]" xllamacpp
	$(DEMO) -m scripts.demo_train

test: .venv-test
	$(TEST) -m tests.judges.assets
	$(TEST) $(PYTEST) -m "not slow"

test-all: .venv-test
	$(TEST) -m tests.judges.assets
	$(TEST) $(PYTEST) --hypothesis-profile=search

mutants: .venv-test
	$(TEST) -m scripts.mutants

lint:
	$(PYTHON) -m venv --clear .venv-lint
	$(LINT) $(PIP) --editable ".[lint,test]"
	$(LINT) -m ruff check .
	$(LINT) -m ruff format --check .
	$(LINT) -m mypy
	$(LINT) -m aprhub contracts lint --strict --strict-test-binding --collect

bench:
	$(PYTHON) -m venv --clear .venv-bench
	$(BENCH) $(PIP) --editable ".[test]"
	-$(BENCH) $(PIP) llama-cpp-python==0.3.36  # compiled; its rows are left out without
	-$(BENCH) $(PIP) mergekit==0.1.5  # so are its rows
	$(BENCH) -m scripts.bench

.PHONY: .venv-test
.venv-test:
	$(PYTHON) -m venv --clear .venv-test
	$(TEST) $(PIP) --editable ".[test]"

clean:
	rm -rf .venv-* dist build .mypy_cache .pytest_cache .ruff_cache
