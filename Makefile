# Every target sets itself up: a virtual environment, the pinned packages, then the work.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A sofa of the test set, rendered from its first camera.
DEMO_PHOTO := demo/shapes/ShapeNetRendering/04256520/9000007/rendering/00.png

.PHONY: help demo test browser lint check bench docs package fuzz clean

help:
	@echo "make demo   photos to shapes with the bundled model, then a short training (2 minutes)"
	@echo "make test   run the tests"
	@echo "make browser  try the demo page in a headless Chromium (Debian: installed if missing)"
	@echo "make lint   formatting, lint, types, who imports whom"
	@echo "make check  lint and test"
	@echo "make bench  time the memory against plain FAISS and a bare log (2 minutes)"
	@echo "make docs   the documentation as a site, in site/; nothing is fetched but the builder"
	@echo "make package  sdist and wheel; memstore alone and mem3d are tried in environments of their own"
	@echo "make fuzz   spoiled files into every reader, for an hour (SECONDS=3600)"

$(STAMP): pyproject.toml constraints.txt $(wildcard memstore/kernels/*.[ch])
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(STAMP)
	$(BIN)/mem3d-cli reconstruct mem3d/pretrained/examples --out demo/first
	@echo "shapes by the bundled model, with what it recalled: demo/first/*.png; now a short training"
	$(BIN)/mem3d-cli data synth demo/shapes --models 24 --views 12 --seed 9
	$(BIN)/mem3d-cli train demo/run --data demo/shapes --preset demo
	$(BIN)/mem3d-cli evaluate demo/run --picture demo/test.png
	$(BIN)/mem3d-cli reconstruct demo/run $(DEMO_PHOTO) --out demo/reconstructions
	$(BIN)/memstore inspect demo/run/memory --picture demo/memory.png
	@echo "look at demo/first/, demo/run/curves.png, demo/memory.png, demo/test.png, demo/reconstructions/"

# Two processes of one thread each; a file's tests stay together, as they share what they trained.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

browser: $(STAMP)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[browser]"
	command -v chromium || (apt-get update && apt-get install -y chromium)
	$(BIN)/pytest tests/cli/test_demo_browser.py tests/mem3d/demo/test_handlers.py

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy memstore mem3d cli
	$(BIN)/lint-imports

check: lint test

bench: $(STAMP)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.ratios

# Pages of the commands and the libraries are made from the code; a warning, as of a broken link, is an error.
docs: $(STAMP)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[docs]"
	$(BIN)/python -m docs.generate
	$(BIN)/zensical build --clean --strict
	@echo "open site/index.html, or, with search: $(BIN)/python -m http.server -b 127.0.0.1 -d site"

# The wheel alone is memstore; with its extra it is mem3d too.
package: $(STAMP)
	rm -rf dist build
	$(BIN)/pip install --quiet -c constraints.txt build
	$(BIN)/python -m build --outdir dist .
	python3 -m venv build/memstore
	build/memstore/bin/pip install --quiet -c constraints.txt dist/*.whl
	packaging/smoke.sh build/memstore/bin memstore
	python3 -m venv build/mem3d
	build/mem3d/bin/pip install --quiet -c constraints.txt "$$(echo dist/*.whl)[mem3d]"
	packaging/smoke.sh build/mem3d/bin mem3d

SECONDS ?= 3600
fuzz: $(STAMP)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[fuzz]"
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

clean:
	rm -rf $(VENV) demo site build dist *.egg-info memstore/kernels/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
