# Two commands do everything: `make train` and `make test`. The rest is here for convenience.
#
#   make setup   creates .venv and installs qmarl with its tools (quick when nothing has changed)
#   make train   trains configs/quickstart.yaml; ARGS="seed=1 rounds=50" overrides settings
#   make test    runs every check and every test
#   make lint    runs the checks alone
#   make clean   removes .venv and all caches; runs/ stays
#
#   TORCH=cuda   takes the CUDA build of PyTorch instead of the CPU one
#   PYTHON=...   the Python (3.11 or newer) to build .venv with

SHELL := /bin/sh
PYTHON ?= python3
TORCH ?= $(if $(wildcard .venv/.installed-cuda),cuda,cpu)
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed-$(TORCH)

# uv is many times faster than pip, so it is used where it can be had. For the CPU build it asks the
# vendor's own index first, then the usual places; pip comes last. Wheels of a local folder
# (PIP_FIND_LINKS) count for both.
ENV_cpu := UV_FIND_LINKS="$${PIP_FIND_LINKS:-}" UV_HTTP_TIMEOUT=$${UV_HTTP_TIMEOUT:-60}
ENV_cuda := UV_FIND_LINKS= PIP_FIND_LINKS=
WHAT := -c constraints.txt -e ".[dev]"
UV := $(ENV_$(TORCH)) $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python

.PHONY: setup train test lint clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test "$(TORCH)" = cpu -o "$(TORCH)" = cuda || { echo "TORCH is cpu or cuda, not '$(TORCH)'"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "qmarl needs Python 3.11 or newer; name one with make PYTHON=python3.12"; exit 2; }
	@for old in .venv/.installed-*; do \
	  if [ -e "$$old" ] && [ "$$old" != "$@" ]; then echo "PyTorch build changed: .venv starts anew"; rm -rf .venv; fi; done
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv ($(TORCH) build of PyTorch) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv 2>/dev/null || echo "uv cannot be had; pip does the work"
ifeq ($(TORCH),cpu)
	@$(UV) --torch-backend=cpu $(WHAT) 2>/dev/null || $(UV) $(WHAT) \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check $(WHAT)
else
	@$(UV) $(WHAT) || $(ENV_cuda) $(BIN)/python -m pip install -q --disable-pip-version-check $(WHAT)
endif
	@touch $@

train: setup
	$(BIN)/qmarl train configs/quickstart.yaml $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -q -n 2 $(ARGS)

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
