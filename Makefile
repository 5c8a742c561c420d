# What can be done in a checkout. `make` alone lists it; everything sets itself up on first use.

PORT ?= 8000
STATE ?= .local
VENV ?= .venv
PYTHON ?=
ARGS ?=
# How images are made and called: IMAGE_BUILD='podman build', TAG=1.2.3, IMAGES=registry.example.org/agents.
IMAGE_BUILD ?= docker build
IMAGES ?= jupyterhub-agents
TAG ?= 1
CLUSTER_TESTS ?= tests/cluster
# Most tests wait for other processes most of the time. In their own order the long files come first.
WORKERS ?= 4

BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
INSTALL := $(BIN)/python tools/install.py
PANEL := extensions/labextension
PANEL_SOURCES := $(shell find $(PANEL)/src $(PANEL)/style $(PANEL)/schema $(PANEL)/locale -type f) $(PANEL)/tools/words.mjs \
	$(wildcard $(PANEL)/tsconfig*.json)

.DEFAULT_GOAL := help
.PHONY: help run tools parts test check images cluster-test chart-e2e bench bench-cluster lock clean
.DELETE_ON_ERROR:
.SUFFIXES:
# What a command needs is made in the order in which it is listed.
.NOTPARALLEL:

help:
	@echo 'make run     start a hub here and say where to sign in   (PORT=8000 STATE=.local)'
	@echo 'make test    run the tests            (ARGS="tests/hub -k culler" WORKERS=0 one after the other)'
	@echo 'make check   ruff, mypy and hadolint; tsc, eslint, prettier and jest for the panel'
	@echo 'make images  the images of workspace, hub, service and proxy   (IMAGE_BUILD="docker build" IMAGES=name TAG=1)'
	@echo 'make cluster-test   the tests on the cluster that KUBECONFIG points at, which has these images'
	@echo 'make chart-e2e CHART=folder   the same with a copy of the official JupyterHub chart, all installed by helm'
	@echo 'make bench   measure, print a table, write benchmarks/results.json'
	@echo 'make bench-cluster   the same of the cluster that KUBECONFIG points at, which has these images'
	@echo 'make lock    pin the newest versions that fit, in requirements/ and tools/'
	@echo 'make clean   remove what the commands above installed; your state folder stays'
	@echo
	@echo 'PYTHON=/path/to/python3.12 chooses the Python (3.11 to 3.13) of the first use.'

run: $(STAMPS)/run $(STAMPS)/project $(STAMPS)/proxy $(STAMPS)/pages $(STAMPS)/panel $(STAMPS)/terminal
	@exec $(BIN)/python -m hub_config.launch --port '$(PORT)' --state '$(STATE)'

# What the checks need, and what the tests need beside it: .ci/run has the two come at the same time.
tools: $(STAMPS)/test $(STAMPS)/project $(STAMPS)/panel-tools
parts: tools $(STAMPS)/proxy $(STAMPS)/pages $(STAMPS)/panel $(STAMPS)/terminal

test: parts
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest --numprocesses '$(WORKERS)' --dist loadfile --no-loadscope-reorder --ignore=tests/cluster $(ARGS)

# One after the other: the workspace is the largest, and its layers are a start for the rest.
images:
	@for part in workspace hub service proxy; do \
		$(IMAGE_BUILD) -t "$(IMAGES)/$$part:$(TAG)" -f "images/$$part/Dockerfile" . || exit 1; \
	done

cluster-test: $(STAMPS)/test $(STAMPS)/project
	@if [ -z "$$KUBECONFIG" ]; then echo 'KUBECONFIG names no cluster: these tests need one, with what make images makes.' >&2; exit 1; fi
	@IMAGES='$(IMAGES)' TAG='$(TAG)' PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest $(CLUSTER_TESTS) $(ARGS)

# The official chart: `helm pull --untar jupyterhub/jupyterhub --version 4.4.0`, or the folder `jupyterhub` of a checkout.
chart-e2e: $(STAMPS)/test $(STAMPS)/project
	@if [ ! -f '$(CHART)/Chart.yaml' ]; then echo 'CHART names no folder with the official JupyterHub chart.' >&2; exit 1; fi
	@JUPYTERHUB_CHART='$(abspath $(CHART))' $(MAKE) --no-print-directory cluster-test

# mypy and the panel's checks take a core each.
check: tools
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/hadolint images/*/Dockerfile
	@$(BIN)/mypy > $(VENV)/mypy.log 2>&1 & types=$$!; \
		PATH="$(abspath $(BIN)):$$PATH" npm --prefix $(PANEL) --silent run check; panel=$$?; \
		wait $$types; types=$$?; cat $(VENV)/mypy.log; exit $$((panel + types))

bench: $(STAMPS)/test $(STAMPS)/project $(STAMPS)/proxy $(STAMPS)/panel
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m benchmarks $(ARGS)

bench-cluster: $(STAMPS)/test $(STAMPS)/project
	@IMAGES='$(IMAGES)' TAG='$(TAG)' PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m benchmarks cluster

lock: $(STAMPS)/lock $(STAMPS)/run $(STAMPS)/project
	@sh tools/lock.sh $(BIN)
	@$(INSTALL) npm-lock

clean:
	@if [ -f '$(VENV)/.made-by-make' ]; then rm -rf '$(VENV)'; fi
	@rm -rf tools/proxy/node_modules tools/pages/node_modules extensions/jupyterhub_agents/service/pages/static/vendor
	@rm -rf $(PANEL)/node_modules $(PANEL)/lib extensions/jupyterhub_agents/labextension extensions/jupyterhub_agents/locale
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf .pytest_cache .mypy_cache .ruff_cache

$(STAMPS)/venv:
	@sh tools/venv.sh '$(VENV)' '$(PYTHON)'
	@mkdir -p $(STAMPS) && touch $@

# run.txt is a part of test.txt, with the same versions.
$(STAMPS)/run $(STAMPS)/test $(STAMPS)/lock: $(STAMPS)/%: requirements/%.txt $(STAMPS)/venv
	@$(INSTALL) python $<
	@touch $@ $(if $(filter %/test,$@),$(STAMPS)/run)

$(STAMPS)/project: pyproject.toml $(wildcard extensions/jupyter-config/*) $(STAMPS)/venv
	@$(INSTALL) project
	@touch $@

$(STAMPS)/terminal: | $(STAMPS)/run $(STAMPS)/project
	@$(INSTALL) terminal
	@touch $@

$(STAMPS)/proxy: tools/proxy/package.json tools/proxy/package-lock.json $(STAMPS)/venv
	@$(INSTALL) proxy
	@touch $@

$(STAMPS)/pages: tools/pages/package.json tools/pages/package-lock.json $(STAMPS)/venv
	@$(INSTALL) pages
	@touch $@

$(STAMPS)/panel-tools: $(PANEL)/package.json $(PANEL)/package-lock.json $(STAMPS)/venv
	@$(INSTALL) panel-tools
	@touch $@

$(STAMPS)/panel: $(PANEL_SOURCES) $(STAMPS)/panel-tools $(STAMPS)/venv
	@$(INSTALL) panel
	@touch $@
