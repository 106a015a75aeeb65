# make demo   the benchmark in small: installs, runs, prints the tables
# make test   all tests in the same environment
PYTHON ?= python3
CORES  ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN    := .venv/bin
RUN    := PATH="$(CURDIR)/$(BIN):$$PATH"

.DEFAULT_GOAL := demo
.PHONY: demo test lint faults faults-killed faults-rest clean

$(BIN)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed; say which with: make demo PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar on -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(BIN)/.installed
	@$(RUN) snakemake --cores $(CORES) --rerun-incomplete --keep-going --quiet host reason
	@$(RUN) python -m cocoop show

test: $(BIN)/.installed
	@$(RUN) python -m pytest

lint: $(BIN)/.installed
	@$(RUN) ruff check . && $(RUN) ruff format --check . && $(RUN) snakemake --lint

faults:  # two halves, side by side with make -j2
	@$(MAKE) --keep-going faults-killed faults-rest

KILLED := $(addprefix tests/faults/,test_kill.py test_kill_workflow.py test_interrupt.py)

faults-killed: $(BIN)/.installed
	@$(RUN) python -m pytest --faults-in-full $(KILLED)

faults-rest: $(BIN)/.installed
	@$(RUN) python -m pytest --faults-in-full $(filter-out $(KILLED),$(wildcard tests/faults/test_*.py))

clean:
	rm -rf .venv .snakemake .pytest_cache .ruff_cache .hypothesis
