# Every target sets up what it needs in $(VENV); nothing outside of it and the user's cache folder is written, but for
# User-mode Linux and systemd, which the cgroup v2 tests boot, and Chromium, which opens the HTML report, where root may
# install them.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python -m
MEM ?= 1G
MINUTES ?= 2

.PHONY: suites test check lint types contracts docs links coverage compat fuzz uml chromium clean

suites: $(VENV)/ready ## the main job
	$(RUN) pytest suites/ --edge-mem=$(MEM)

test: $(VENV)/ready uml chromium
	$(RUN) pytest tests

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

coverage: $(VENV)/ready uml chromium
	$(RUN) pytest tests --cov --cov-report=term-missing:skip-covered

# The oldest pytest supported, laid over the environment; the tests of what knows pytest run again with it.
compat: $(VENV)/ready
	$(RUN) pip install --quiet --target build/pytest-8.4 'pytest==8.4.*' 'pytest-xdist==3.8.*'
	PYTHONPATH=$(CURDIR)/build/pytest-8.4 $(RUN) pytest tests/plugin

# Not a part of the tests, and atheris of no environment but its own.
fuzz: $(VENV)/ready ## every parser of what others write, for MINUTES each
	$(RUN) pip install --quiet --target build/atheris atheris
	PYTHONPATH=$(CURDIR)/build/atheris $(RUN) tests.fuzz.fuzz $(MINUTES)

uml:
	@{ command -v linux.uml && command -v systemd-run; } >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq user-mode-linux e2fsprogs systemd >/dev/null; \
	else echo "User-mode Linux or systemd is not installed: tests of cgroup v2 will be skipped"; fi

chromium:
	@{ command -v chromium && command -v chromedriver; } >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq chromium chromium-driver >/dev/null; \
	else echo "Chromium is not installed: the tests that open the HTML report will be skipped"; fi

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist
