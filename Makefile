# `make run` and `make test` do all the set-up on a fresh machine; the second run of each is quick.
.DELETE_ON_ERROR:
.PHONY: run test check fmt bench adapter clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check -q --no-compile
# Pip compiles what it installs on one core, this on all; some packages hold files that were never meant to compile.
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
MODEL  ?=
BASE   ?= qwen2.5-coder-0.5b-instruct
BENCH  ?=
PASS   ?= 2048
LEARN  := --epochs 1 --step-tokens 4096 --pass-tokens $(PASS) --longest 1536 --held-out 0.02

run: $(VENV)/.installed
	@$(BIN)/llm models show $(MODEL) >/dev/null 2>&1 || $(BIN)/llm models pull $(MODEL)
	@if [ -t 0 ] && [ -t 1 ]; then exec $(BIN)/llm chat; else exec $(BIN)/llm demo; fi

# Most tests start processes of one thread: they run side by side, and whoever is done takes over from others, as the
# slowest stand together. Those with real weights need memory and all cores; their models come while the others run.
# Modules are compiled once for all of these processes, even where a setting forbids to keep what is compiled.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.test-installed
	$(BIN)/python tests/real_models.py & pull=$$!; trap "kill $$pull 2>/dev/null" EXIT INT TERM; \
	$(MAKE) check && $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist worksteal -m "not weights" && { wait $$pull || true; }
	$(BIN)/python -m pytest -m weights

# Exactly what must hold before a commit, but the tests.
check: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/.test-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Arguments for it: make bench BENCH="--peer-python P --peer-model GGUF".
bench: $(VENV)/.test-installed
	$(BIN)/python -m benchmarks $(BENCH)

# From the folder of training data to an adapter for our commands: minutes on a CUDA device, a night on a laptop's CPU,
# where a smaller PASS keeps memory low. Stopped, it goes on.
adapter: $(VENV)/.installed
	@[ -n "$(DATA)" ] || { echo "Name the folder that holds sft/: make adapter DATA=FOLDER" >&2; exit 1; }
	@$(BIN)/llm models show $(BASE) >/dev/null 2>&1 || $(BIN)/llm models pull $(BASE)
	$(BIN)/python -m recipes "$(DATA)" build/first
	test -e build/first.safetensors || $(BIN)/llm finetune build/first/train.jsonl -m $(BASE) \
	  --out build/first.safetensors --learning-rate 3e-4 $(LEARN)
	$(BIN)/python -m recipes "$(DATA)" build/second --round 2 --seed 3
	$(BIN)/llm finetune build/second/train.jsonl -m $(BASE) --start build/first.safetensors \
	  --out build/tasks.safetensors --learning-rate 1.5e-4 --seed 1 $(LEARN)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; found: $$($(PYTHON) --version 2>&1 || echo none)." >&2; \
	  echo "Name another one: make $(firstword $(MAKECMDGOALS) run) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Editable, so that a changed source needs no new install; a changed pyproject.toml does.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) "pip>=25.1"
	$(PIP) -e .
	$(COMPILE)
	@touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	$(PIP) --group test --group static
	$(COMPILE)
	@touch $@
