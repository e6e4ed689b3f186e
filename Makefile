# make env, make demo, make test, make test-fast, make check, make bench, make docs, make wheel, make clean.
# PYTHON=... chooses the interpreter, WORKERS=... the number of processes that share the tests (2).
PYTHON ?= $(shell for each in python3.11 python3.12 python3; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
WORKERS ?= 2
BENCH := .venv-bench/bin
BENCH_STAMP := .venv-bench/.installed

.PHONY: env demo test test-fast check bench docs wheel clean

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make env: no Python 3.11 or newer; name one with PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	@touch $@

demo: env
	$(BIN)/python examples/demo/prepare.py --out demo/mnist.npz
	$(BIN)/committee run examples/demo/recipe.yaml --store demo/store

# Every test. A process whose tests are done takes over half of those that another has left.
test: env
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# Without what trains or exports networks, simulates for seconds or runs the docs: what is not marked `slow`.
test-fast: env
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

check: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

bench: $(BENCH_STAMP)
	$(BENCH)/python benchmarks/all.py

# The peers need older versions of some packages than we do: they stand in an environment of their own, before ours.
$(BENCH_STAMP): $(STAMP) benchmarks/requirements.txt
	$(BIN)/python -m venv .venv-bench
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> "$$($(BENCH)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ours.pth"
	$(BENCH)/python -m pip install --quiet -r benchmarks/requirements.txt
	@touch $@

# The documentation as a site, site/VERSION; warnings are errors.
docs: env
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(BIN)/python scripts/build_docs.py --out site

# A wheel in dist/, installed with all extras in a fresh environment (7 GB, minutes), where a small ensemble is made and exported.
wheel: env
	rm -rf dist
	$(BIN)/python -m hatchling build -t wheel
	$(BIN)/python scripts/smoke_wheel.py dist/*.whl

clean:
	rm -rf build dist site demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
