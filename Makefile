# `make demo` and `make test` need Python >= 3.10 with venv and pip, a C++20 compiler and make; the rest, CMake
# included, comes from pip into .venv and .venv-test. What is installed is installed again only where a file that
# it depends on has changed.
#
#   make demo [ARGS="--seed 1"]                      train, compress and compare a classifier
#   make test [PARTS="lint doctest"] [TORCH=torch]   every check; PARTS picks some (also pairs, exhaustive, kills,
#                                                    certificates, fuzz, asan-ubsan, tsan, tidy, which are slow),
#                                                    TORCH adds the tests that need it
#   make lint | format | stubs | bench | clean

PYTHON ?= python3
ARGS ?=
PARTS ?=
TORCH ?=

ENVIRONMENT = @sh scripts/preflight.sh "$(PYTHON)" && $(PYTHON) scripts/environment.py
TEST_BIN = .venv-test/bin

.PHONY: demo test lint format stubs bench clean

demo:
	$(ENVIRONMENT) .venv --isolated demo
	@.venv/bin/petrain demo $(ARGS)

test:
	$(ENVIRONMENT) .venv-test test,lint $(TORCH)
	@$(TEST_BIN)/python scripts/checks.py $(PARTS)

lint:
	$(ENVIRONMENT) .venv-test test,lint $(TORCH)
	@$(TEST_BIN)/python scripts/checks.py lint types stub

format:
	$(ENVIRONMENT) .venv-test test,lint $(TORCH)
	@$(TEST_BIN)/ruff check -q --fix && $(TEST_BIN)/ruff format -q
	@$(TEST_BIN)/clang-format -i $$(find cpp tests -name '*.cpp' -o -name '*.hpp')

stubs:
	$(ENVIRONMENT) .venv-test test,lint $(TORCH)
	@$(TEST_BIN)/python scripts/stubs.py

bench:
	$(ENVIRONMENT) .venv-bench bench $(TORCH)
	@set -e; for script in bench/bench_*.py; do echo "== $$script"; .venv-bench/bin/python "$$script" $(ARGS); done

clean:
	rm -rf build dist .venv .venv-test .venv-bench .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
