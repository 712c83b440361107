# Every target sets up its requirements in $(VENV) and writes only there and to the user's cache folder. One exception:
# as root, `make system` installs User-mode Linux and systemd (the cgroup v2 tests boot them), Chromium (which opens the
# HTML report) and Graphviz (which draws plans).
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python -m
MEM ?= 1G
JOBS ?= 3
COVERAGE ?=
MINUTES ?= 2
# pip takes PyTorch's CPU build from here; its usual index has the GPU build, with gigabytes of packages.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH = pip install --quiet --no-deps --retries=1 --extra-index-url=$(TORCH_INDEX)
PARALLEL = --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder
LOWEST = build/lowest
NO_BROWSER = --ignore=tests/report/test_html.py --ignore=tests/report/test_advice_page.py
# The tests that start no worker. Without --hypothesis-profile=quick and with slow tests they take five times as long.
PURE = tests/base tests/devices tests/workload tests/planning tests/policies tests/results tests/report tests/docs \
	tests/test_names.py tests/test_sources.py $(NO_BROWSER) --ignore=tests/docs/test_doc_projects.py

.PHONY: suites quick pure test check lint types contracts docs links accuracy dist lowest fuzz nightly system clean

suites: $(VENV)/ready ## the main job
	$(RUN) pytest suites/ --edge-mem=$(MEM)

quick: $(VENV)/ready ## a verdict within a minute
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target pure types lint contracts

pure: $(VENV)/ready
	$(RUN) pytest --quiet --numprocesses=2 -m "not full and not slow" --hypothesis-profile=quick $(PURE)

test: $(VENV)/ready system ## three processes, because measured runs take turns and booting kernels wait
	$(RUN) $(if $(COVERAGE),slipcover --source pytest_edgeload --skip-covered -m) pytest tests $(PARALLEL) --durations=25 --durations-min=10

check: lint types contracts docs test

lint: $(VENV)/ready
	$(RUN) ruff check .
	$(RUN) ruff format --check .

types: $(VENV)/ready
	$(RUN) mypy

contracts: $(VENV)/ready
	$(VENV)/bin/lint-imports --no-cache

docs: $(VENV)/ready ## the site, in build/docs; a broken internal link is an error
	$(RUN) sphinx -W --keep-going -n -q docs build/docs

links: $(VENV)/ready ## checks every external link; needs a network
	$(RUN) sphinx -q -b linkcheck docs build/links

dist: dist/ready ## the sdist, and the wheel built from it

dist/ready: $(VENV)/ready $(wildcard $(shell git ls-files 2>/dev/null))
	rm -rf dist
	$(RUN) build
	touch $@

# A user's installation: the wheel in an environment of its own, with the lowest allowed version of each requirement,
# and the tests of the sdist.
$(LOWEST)/ready: $(LOWEST)/venv/ready dist/ready
	rm -rf $(LOWEST)/sdist
	mkdir $(LOWEST)/sdist
	tar --extract --file dist/*.tar.gz --directory $(LOWEST)/sdist --strip-components 1
	rm -r $(LOWEST)/sdist/pytest_edgeload
	$(LOWEST)/venv/bin/python -m pip uninstall --quiet --yes pytest-edgeload
	$(LOWEST)/venv/bin/python -m pip install --quiet --constraint constraints-lowest.txt \
		"$$(echo dist/*.whl)[xdist,hypothesis,html,peers]"
	touch $@

$(LOWEST)/venv/ready: constraints-lowest.txt ## needs no wheel, so both can be built at the same time
	rm -rf $(LOWEST)/venv
	$(PYTHON) -m venv $(LOWEST)/venv
	$(LOWEST)/venv/bin/python -m $(TORCH) --constraint constraints-lowest.txt torch
	$(LOWEST)/venv/bin/python -m pip install --quiet --requirement constraints-lowest.txt
	touch $@

# What this must show: each package works at its lowest version in each way that we use it. So a test that uses a package
# only as others do is left out, and so are peers that need nothing but PyTorch, whose lowest version is the tested one.
LOWEST_PEERS = $(patsubst %,'tests/peers/test_peer_programs.py::test_peers_answer_correctly_from_storage[%]', \
	safetensors safetensors-lazy accelerate-disk onnxruntime-mmap runai-streamer fastsafetensors)
LOWEST_SESSIONS = tests/plugin/test_calls.py::test_function_and_command_share_a_table \
	tests/plugin/test_calls.py::test_gate_judges_programs \
	$(addprefix tests/plugin/test_xdist.py::, test_workers_use_the_controllers_settings \
	test_packed_measurement_is_one_string) \
	$(addprefix tests/hosts/test_sessions_on_hosts.py::, test_suite_comes_home_as_one_table \
	test_lost_host_loses_only_its_unfinished_tests test_equal_hosts_share_the_tests)
LOWEST_DRAWN = $(addprefix tests/test_strategies.py::, test_plans_are_sound test_all_shapes_are_drawn \
	test_mixes_shrink_to_one_request test_workloads_shrink_to_one_request)
lowest: $(LOWEST)/ready
	cd $(LOWEST)/sdist && ../venv/bin/python -m pytest $(PARALLEL) $(NO_BROWSER) \
		$(LOWEST_PEERS) $(LOWEST_SESSIONS) $(LOWEST_DRAWN) \
		tests/results/test_bootstrap.py tests/results/test_document.py tests/results/test_record.py \
		tests/report tests/workload/test_workload_file.py tests/plugin/test_options.py tests/plugin/test_items.py \
		tests/networks/test_compressed_blocks.py \
		tests/hosts/test_hosts_file.py tests/hosts/test_project_on_hosts.py tests/hosts/test_copies.py

accuracy: $(VENV)/ready ## the tables of docs/accuracy.md for this machine; two minutes on a quiet one
	$(RUN) tests.accuracy.tables

# The tests draw the same examples in every run; this explores others. atheris is installed in a folder of its own.
fuzz: $(VENV)/ready ## every parser of external input for MINUTES each, and random examples for every property
	$(RUN) pytest --quiet --numprocesses=2 --hypothesis-profile=explore -m hypothesis tests
	$(RUN) pip install --quiet --target build/atheris atheris
	PYTHONPATH=$(CURDIR)/build/atheris $(RUN) tests.fuzz.fuzz $(MINUTES)

nightly: ## for a scheduler: longer than a change should wait for, and random
	$(MAKE) fuzz MINUTES=10

system: ## Debian's packages of programs that tests need and pip does not provide
	@missing=; for program in linux.uml mkfs.ext4 systemd-run chromium chromedriver dot sshd ip; do \
		command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -z "$$missing" ]; then exit; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -qq user-mode-linux e2fsprogs systemd chromium chromium-driver graphviz \
		openssh-server iproute2 >/dev/null; \
	else echo "not installed, so tests that need them will be skipped:$$missing"; fi

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) $(TORCH) --constraint constraints.txt torch
	$(RUN) pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist
