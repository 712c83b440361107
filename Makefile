# Every target sets up what it needs in $(VENV); nothing outside of it and the user's cache folder is written, but for
# User-mode Linux and systemd, which the cgroup v2 tests boot, Chromium, which opens the HTML report, and Graphviz, which
# draws plans, where root may install them.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python -m
MEM ?= 1G
JOBS ?= 3
COVERAGE ?=
MINUTES ?= 2
PARALLEL = --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder
LOWEST = build/lowest

.PHONY: suites test check lint types contracts docs links accuracy dist lowest fuzz system clean

suites: $(VENV)/ready ## the main job
	$(RUN) pytest suites/ --edge-mem=$(MEM)

test: $(VENV)/ready system ## three at a time, for some wait: measured runs take turns, and kernels are booted
	$(RUN) $(if $(COVERAGE),slipcover --source pytest_edgeload --skip-covered -m) pytest tests $(PARALLEL)

check: lint types contracts docs test

lint: $(VENV)/ready
	$(RUN) ruff check .
	$(RUN) ruff format --check .

types: $(VENV)/ready
	$(RUN) mypy

contracts: $(VENV)/ready
	$(VENV)/bin/lint-imports --no-cache

docs: $(VENV)/ready ## the site, in build/docs; a link within it that leads nowhere is an error
	$(RUN) sphinx -W --keep-going -n -q docs build/docs

links: $(VENV)/ready ## asks every other site that is linked to, so it takes a network
	$(RUN) sphinx -q -b linkcheck docs build/links

dist: dist/ready ## the sdist, and the wheel that is built from it

dist/ready: $(VENV)/ready $(wildcard $(shell git ls-files 2>/dev/null))
	rm -rf dist
	$(RUN) build
	touch $@

# What somebody else gets: the wheel in an environment of its own, with the lowest versions it allows of what it needs,
# and the sdist's tests beside it.
$(LOWEST)/ready: $(LOWEST)/venv/ready dist/ready
	rm -rf $(LOWEST)/sdist
	mkdir $(LOWEST)/sdist
	tar --extract --file dist/*.tar.gz --directory $(LOWEST)/sdist --strip-components 1
	rm -r $(LOWEST)/sdist/pytest_edgeload
	$(LOWEST)/venv/bin/python -m pip uninstall --quiet --yes pytest-edgeload
	$(LOWEST)/venv/bin/python -m pip install --quiet --constraint constraints-lowest.txt \
		"$$(echo dist/*.whl)[xdist,hypothesis,html,peers]"
	touch $@

$(LOWEST)/venv/ready: constraints-lowest.txt ## needs no wheel, so that it can be made while that is
	rm -rf $(LOWEST)/venv
	$(PYTHON) -m venv $(LOWEST)/venv
	$(LOWEST)/venv/bin/python -m pip install --quiet --requirement constraints-lowest.txt
	touch $@

# What knows others: pytest and xdist, msgspec and scipy, plotly, jinja2 and tabulate, yaml, hypothesis, cloudpickle, and
# the peers. The browser is no matter of versions.
lowest: $(LOWEST)/ready
	cd $(LOWEST)/sdist && ../venv/bin/python -m pytest $(PARALLEL) --ignore=tests/report/test_html.py \
		tests/suites tests/results/test_statistics.py tests/results/test_document.py tests/results/test_record.py \
		tests/report tests/workload/test_workload_file.py tests/test_strategies.py \
		tests/plugin/test_options.py tests/plugin/test_calls.py tests/plugin/test_xdist.py

accuracy: $(VENV)/ready ## the tables of docs/accuracy.md, as this machine has them; two minutes on a quiet one
	$(RUN) tests.accuracy.tables

# Not a part of the tests, and atheris of no environment but its own.
fuzz: $(VENV)/ready ## every parser of what others write, for MINUTES each
	$(RUN) pip install --quiet --target build/atheris atheris
	PYTHONPATH=$(CURDIR)/build/atheris $(RUN) tests.fuzz.fuzz $(MINUTES)

system: ## Debian's packages of programs that tests need and pip does not have
	@missing=; for program in linux.uml mkfs.ext4 systemd-run chromium chromedriver dot; do \
		command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -z "$$missing" ]; then exit; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -qq user-mode-linux e2fsprogs systemd chromium chromium-driver graphviz >/dev/null; \
	else echo "not installed, so tests that need them will be skipped:$$missing"; fi

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist
