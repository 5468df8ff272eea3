.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The oldest Python and the oldest direct dependencies that pyproject.toml allows.
LOWEST_PYTHON ?= python3.11
LOWEST := .venv-lowest

.PHONY: help demo test thorough check format clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## Replay a day of requests and see what each strategy saves
	$(BIN)/llm-optimizers demo

test: $(STAMP) ## Run every test, the notebooks among them
	$(BIN)/python -m pytest --hypothesis-profile=ci

$(LOWEST)/.installed: pyproject.toml
	$(LOWEST_PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python \
		--resolution lowest-direct --editable '.[dev]'
	@touch $@

test-lowest: $(LOWEST)/.installed ## Run every test with the oldest versions that are allowed
	$(LOWEST)/bin/python -m pytest --hypothesis-profile=ci

thorough: $(STAMP) ## Try every property on 1,000 examples, others each time
	$(BIN)/python -m pytest tests -m hypothesis --hypothesis-profile=thorough

check: $(STAMP) ## Lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Rewrite the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment and every cache
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
