# make demo     install, run a small benchmark on the CPU, print its tables
# make check    check style and types and run the fast tests, in a minute or two
# make test     run all tests (installs the test dependencies first)
# make unlock   remove Snakemake's locks after a kill -9 or a power cut, when no Snakemake runs here any more
# make clean    remove the environment and caches; keeps results and images
PYTHON  ?= python3
CORES   ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
WORKERS ?= 2
BIN     := .venv/bin
RUN     := PATH="$(CURDIR)/$(BIN):$$PATH"
PIP     := $(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar on -c constraints.txt

# A lock does not show which Snakemake holds it, so only the user can decide to remove it.
LOCKED := locked: another Snakemake runs in this folder, or one was killed; if none runs here, run `make unlock` and try again.

.DEFAULT_GOAL := demo
.PHONY: demo check lint test faults faults-killed faults-rest unlock clean clean-results

define venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "error: Python 3.11 or newer is needed; name it: make demo PYTHON=/path/to/python3.11" >&2; exit 2; }
$(PYTHON) -m venv .venv
endef

$(BIN)/.installed: pyproject.toml constraints.txt
	$(venv)
	$(PIP) -e .
	@touch $@

# The demo does without the test dependencies: transformers alone delays every import of open_clip by a second.
$(BIN)/.tests: pyproject.toml constraints.txt
	$(venv)
	$(PIP) -e '.[dev]'
	@touch $(BIN)/.installed $@

demo: $(BIN)/.installed
	@$(RUN) snakemake --cores $(CORES) --quiet host reason || \
	  { code=$$?; ls .snakemake/locks/* > /dev/null 2>&1 && echo '$(LOCKED)' >&2; exit $$code; }
	@$(RUN) python -m cocoop show

lint: $(BIN)/.tests
	@export $(RUN); ruff check . && ruff format --check . && mypy

check: lint
	@$(RUN) python -m pytest -n $(WORKERS) -m "not slow and not slurm and not faults"

test: $(BIN)/.tests
	@$(RUN) python -m pytest -n $(WORKERS)

faults:  # in two halves, which make -j2 runs in parallel
	@$(MAKE) --keep-going faults-killed faults-rest

KILLED  := $(addprefix tests/faults/,test_kill.py test_kill_workflow.py test_interrupt.py)
IN_FULL := python -m pytest --timeout 0 --faults-in-full

faults-killed: $(BIN)/.tests
	@$(RUN) $(IN_FULL) $(KILLED)

faults-rest: $(BIN)/.tests
	@$(RUN) $(IN_FULL) $(filter-out $(KILLED),$(wildcard tests/faults/test_*.py))

unlock:  # with whatever Snakemake there is: nothing is installed to remove a lock
	@export $(RUN); command -v snakemake > /dev/null || \
	  { echo "error: no snakemake here; activate the environment it was started from and run: snakemake --unlock" >&2; exit 2; }; \
	snakemake --unlock

clean:
	rm -rf .venv .snakemake .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@if ls results 2> /dev/null | grep -qvx README.md; then \
	  echo "kept: results/ ($$(du -sh results/ | cut -f1)); make clean-results removes them"; fi
	@if [ -e data ]; then echo "kept: data/, the images"; fi

clean-results:
	@if ls .snakemake/locks/* > /dev/null 2>&1; then echo '$(LOCKED)' >&2; exit 2; fi
	find results/ -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
