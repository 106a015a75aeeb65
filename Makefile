# make demo     install, run a small benchmark on the CPU, print its tables
# make test     run all tests (installs the test dependencies first)
# make unlock   remove Snakemake's locks after a kill -9 or a power cut, when no Snakemake runs here any more
PYTHON ?= python3
CORES  ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN    := .venv/bin
RUN    := PATH="$(CURDIR)/$(BIN):$$PATH"

# A lock does not show which Snakemake holds it, so only the user can decide to remove it.
LOCKED := locked: another Snakemake runs in this folder, or one was killed; if none runs here, run `make unlock` and try again.

.DEFAULT_GOAL := demo
.PHONY: demo test lint faults faults-killed faults-rest unlock clean

$(BIN)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is required; choose one with: make demo PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar on -c constraints.txt -e .
	@touch $@

# The demo does without the test dependencies: transformers alone delays every import of open_clip by a second.
$(BIN)/.tests: $(BIN)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar on -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(BIN)/.installed
	@$(RUN) snakemake --cores $(CORES) --rerun-incomplete --keep-going --quiet host reason || \
	  { code=$$?; ls .snakemake/locks/* > /dev/null 2>&1 && echo "$(LOCKED)" >&2; exit $$code; }
	@$(RUN) python -m cocoop show

test: $(BIN)/.tests
	@$(RUN) python -m pytest

lint: $(BIN)/.tests
	@$(RUN) ruff check . && $(RUN) ruff format --check . && $(RUN) snakemake --lint

faults:  # in two halves, which make -j2 runs in parallel
	@$(MAKE) --keep-going faults-killed faults-rest

KILLED := $(addprefix tests/faults/,test_kill.py test_kill_workflow.py test_interrupt.py)

faults-killed: $(BIN)/.tests
	@$(RUN) python -m pytest --faults-in-full $(KILLED)

faults-rest: $(BIN)/.tests
	@$(RUN) python -m pytest --faults-in-full $(filter-out $(KILLED),$(wildcard tests/faults/test_*.py))

unlock: $(BIN)/.installed
	@$(RUN) snakemake --unlock

clean:
	rm -rf .venv .snakemake .pytest_cache .ruff_cache .hypothesis
