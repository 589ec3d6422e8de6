# Each command sets up .venv by itself; PYTHON names the interpreter (3.11 to 3.13).
PYTHON ?= python3
ROOT ?= demo_root
BIN := .venv/bin

.PHONY: demo test coverage mutants soak bench lint format clean

demo: .venv/installed
	$(BIN)/python demo.py --root "$(ROOT)"

test: .venv/installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

# Numba's compiled loops run unseen: the last tests run them with the compiler off.
coverage: .venv/installed-proof
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -m pytest tests/scores/test_ranking.py \
	    tests/scores/test_pair_scores.py tests/scores/test_pair_screen.py \
	    -k "ranking or 2-129 or 3-128 or symmetric or handful or no_gallery"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

soak: .venv/installed-dev
	$(BIN)/python tests/proof/soak.py $(ARGS)

mutants: .venv/installed-proof
	$(BIN)/python tests/proof/mutants.py $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright

bench: .venv/installed-dev
	$(BIN)/python -m benchmarks $(ARGS)

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt pyproject.toml packaging/opencv-python/pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.venv/installed-proof: requirements-proof.txt .venv/installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-proof.txt
	touch $@

clean:
	rm -rf .venv demo_root
