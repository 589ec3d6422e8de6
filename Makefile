# Each command sets up its environment by itself. PYTHON names the interpreter (3.11 to 3.13): python3 has .venv,
# any other one an environment for its version, such as .venv-3.12.
PYTHON ?= python3
ROOT ?= demo_root
ifeq ($(PYTHON),python3)
VENV := .venv
else
VERSION := $(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
$(if $(VERSION),,$(error PYTHON=$(PYTHON) does not run))
VENV := .venv-$(VERSION)
endif
BIN := $(VENV)/bin
INSTALL := pip install --quiet --disable-pip-version-check

.PHONY: demo test test-backends coverage mutants soak slurm bench lint format clean

demo: $(VENV)/installed
	$(BIN)/python demo.py --root "$(ROOT)"

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

# Numba's compiled loops run unseen: the last tests run them with the compiler off.
coverage: $(VENV)/installed-proof
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -m pytest tests/scores/test_ranking.py \
	    tests/scores/test_pair_scores.py tests/scores/test_pair_screen.py \
	    -k "ranking or 2-129 or 3-128 or symmetric or handful or no_gallery"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

soak: $(VENV)/installed-dev
	$(BIN)/python tests/proof/soak.py $(ARGS)

# A real Slurm of one node; needs root and Debian's slurmctld, slurmd and munge.
slurm: $(VENV)/installed-dev
	$(BIN)/python tests/proof/slurm_kills.py $(ARGS)

mutants: $(VENV)/installed-proof
	$(BIN)/python tests/proof/mutants.py $(ARGS)

# JAX and PyTorch, some 500 MB, stay out of the other commands' environment. They come last and alone: where
# the second index that their file names cannot be reached, pip asks it twice for these few, not for everything.
test-backends: $(VENV)-backends/installed
	$(VENV)-backends/bin/python -m pytest tests/test_backends.py \
		"tests/training/test_devices.py::test_a_whole_stage_on_two_devices[jax]" $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright --pythonpath $(BIN)/python

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks $(ARGS)

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/pip $(VENV)-backends/bin/pip: %/bin/pip:
	"$(PYTHON)" -m venv $*

$(VENV)/installed: requirements.txt pyproject.toml packaging/opencv-python/pyproject.toml | $(BIN)/pip
	$(BIN)/$(INSTALL) -r requirements.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements-cluster.txt $(VENV)/installed
	$(BIN)/$(INSTALL) -r requirements-dev.txt
	touch $@

$(VENV)-backends/installed: requirements-backends.txt requirements-dev.txt requirements.txt pyproject.toml \
		packaging/opencv-python/pyproject.toml | $(VENV)-backends/bin/pip
	$(VENV)-backends/bin/$(INSTALL) -r requirements-dev.txt
	$(VENV)-backends/bin/$(INSTALL) --retries 1 -r requirements-backends.txt
	touch $@

$(VENV)/installed-proof: requirements-proof.txt $(VENV)/installed-dev
	$(BIN)/$(INSTALL) -r requirements-proof.txt
	touch $@

clean:
	rm -rf .venv .venv-* demo_root
