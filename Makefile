# Every target sets itself up: a virtual environment, the pinned packages, then the work.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test lint check bench clean

help:
	@echo "make demo   make shapes, train a small model, evaluate it, reconstruct (about 8 minutes)"
	@echo "make test   run the tests"
	@echo "make lint   formatting, lint, types, who imports whom"
	@echo "make check  lint and test"
	@echo "make bench  time the memory against plain FAISS"

$(STAMP): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

test: $(STAMP)
	$(BIN)/pytest

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy memstore mem3d cli
	$(BIN)/lint-imports

check: lint test

bench: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest benchmarks --benchmark-enable --benchmark-only

clean:
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
