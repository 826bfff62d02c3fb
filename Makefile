# Every target makes .venv from constraints.txt if it is not there. PYTHON names the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

ARGS ?=

FRONT := aiinfn_labext/frontend
BUILT := aiinfn_labext/labextension/package.json

.PHONY: frontend demo test test-browser test-faults controlplane test-cluster lint docs bench screenshots clean

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "aiinfn needs Python 3.11 or newer; set PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (about two minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# JupyterLab's side, with the machine's npm. Without one everything works, and notices are in the panel only.
frontend: $(STAMP) $(BUILT)

$(BUILT): $(wildcard $(FRONT)/src/*.ts $(FRONT)/style/*.css $(FRONT)/*.json) | $(STAMP)
	@if ! command -v npm >/dev/null; then \
	  echo "No npm on this machine: JupyterLab will show no notices (the panel does)." >&2; test -z "$$CI"; exit $$?; fi; \
	cd $(FRONT) && npm ci --silent --ignore-scripts && npm run --silent build && npm test --silent >/dev/null && \
	node node_modules/@jupyterlab/builder/lib/build-labextension.js . --core-path \
	  "$$(../../$(BIN)/python -c 'import jupyterlab, pathlib; print(pathlib.Path(jupyterlab.__file__).parent / "staging")')" \
	  >/dev/null && mkdir -p ../../.venv/share/jupyter/labextensions && \
	ln -sfn "$$(cd ../labextension && pwd)" ../../.venv/share/jupyter/labextensions/aiinfn-labext

demo: frontend
	@$(BIN)/aiinfn demo $(ARGS)

# Files in the order of the folders: xdist would take those with few tests last, which are the long ones, one by one.
test: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m 'not browser and not cluster and not faults' $(ARGS)

test-browser: frontend
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m browser $(ARGS)

# Two hundred jobs while runners, service and platform are killed and frozen; AIINFN_FAULT_SEED repeats a run.
test-faults: $(STAMP)
	$(BIN)/python -m pytest -q -s -m faults $(ARGS)

# The real kube-apiserver, scheduler, controller-manager and Kueue, built once into a cache outside the checkout: with an empty
# cache about 15 minutes on two cores, afterwards seconds.
controlplane: $(STAMP)
	@PYTHONPATH=tests $(BIN)/python -m support.controlplane.build

# Three at a time on two cores: a third of the ring is waiting for clocks.
test-cluster: $(STAMP) $(if $(AIINFN_KUBECONFIG),,controlplane)
	$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m cluster $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_budget.py

docs: $(STAMP)
	$(BIN)/python -m sphinx -W -n --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m bench $(ARGS)

screenshots: frontend
	AIINFN_SCREENSHOTS=docs/images $(BIN)/python -m pytest -q -m browser $(ARGS)

clean:
	rm -rf .venv docs/_build $(FRONT)/node_modules $(FRONT)/lib aiinfn_labext/labextension
