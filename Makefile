# iptvd's own commands. `make run` plays the demo; `make test` checks everything.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?= --provider demo
PORT ?= 8085
SOAK_SECONDS ?= 600
FUZZ_SECONDS ?= 60

.PHONY: run test lint types unit soak fuzz bench clean

# A stamp for each set of packages: made anew when what it depends on has changed.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'iptvd needs Python 3.11 or newer; set PYTHON=/path/to/python3'; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo 'python3-venv is missing: on Debian run "apt install python3-venv" as root, then try again'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[ffmpeg]'
	@touch $@

$(VENV)/test.stamp: setup.cfg pyproject.toml tests/programs.sh | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	sh tests/programs.sh
	@touch $@ $(VENV)/run.stamp

$(VENV)/fuzz.stamp: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@touch $@

# What the tests play in a browser; npm itself comes with the programs of the stamp before.
$(VENV)/browser.stamp: tests/browser/package.json tests/browser/package-lock.json | $(VENV)/test.stamp
	@if command -v npm >/dev/null 2>&1; then \
	  cd tests/browser && npm ci --loglevel=error && touch $(CURDIR)/$@; \
	else echo 'Tests in a browser will be skipped: npm is missing'; fi

run: $(VENV)/run.stamp
	@echo 'Page:      http://localhost:$(PORT)/'
	@echo 'Playlist:  http://localhost:$(PORT)/playlist.m3u8  (open it in VLC, mpv or Kodi)'
	@echo 'Stop:      press Ctrl-C'
	@PORT=$(PORT) PATH="$$PATH:$(CURDIR)/$(BIN)"; export PORT PATH; exec $(BIN)/twistd -n --pidfile= iptvd $(ARGS)

test: lint types unit

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	$(BIN)/mypy

unit: $(VENV)/test.stamp $(VENV)/browser.stamp
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --cov --cov-report=term:skip-covered $(TESTS)
	$(BIN)/python tests/pure_coverage.py

# Random viewers and dying origins for ten minutes, after which nothing may be left: CONTRIBUTING.md.
soak: $(VENV)/test.stamp $(VENV)/browser.stamp
	$(BIN)/python -m tests.soak --seconds $(SOAK_SECONDS) $(SOAK)

# Readers of foreign bytes, each fed at random for a while: CONTRIBUTING.md.
fuzz: $(VENV)/fuzz.stamp
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(FUZZ)

# What it costs and how quick it is, beside nginx and HAProxy where they are installed: bench/README.md.
bench: $(VENV)/run.stamp
	PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python -m bench $(BENCH) $(ROWS)

clean:
	rm -rf $(VENV) tests/browser/node_modules build dist *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache
