# make demo   the benchmark in small: installs, runs, prints the tables
# make test   all tests, in the same environment and what only tests need
# make unlock after a kill -9 or a power cut, when no Snakemake works here any more
PYTHON ?= python3
CORES  ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN    := .venv/bin
RUN    := PATH="$(CURDIR)/$(BIN):$$PATH"

# Snakemake's locks say not whose they are, so nothing here removes them on its own.
LOCKED := locked: another Snakemake works in this folder, or one was killed; if none works here, run make unlock and the same again.

.DEFAULT_GOAL := demo
.PHONY: demo test lint faults faults-killed faults-rest unlock clean

$(BIN)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed; say which with: make demo PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar on -c constraints.txt -e .
	@touch $@

# What only tests need is kept out of the demo: transformers alone makes every start of open_clip a second longer.
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

faults:  # two halves, side by side with make -j2
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
