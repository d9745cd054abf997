# Everything that sets up, checks and runs this project. `make` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What Python has compiled is kept, whatever the environment says: compiling all tests takes each of pytest's workers seconds.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help venv lint types unit seeds parts test e2e-kind demo bench bench-cron bench-ledger soak chaos lock clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

venv: $(VENV)/.installed ## make the virtual environment from the lock file

$(VENV)/.installed: requirements-dev.lock requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: apt-get install python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "the venv module is needed: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock -r requirements-build.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

lint: venv ## ruff, and the contracts between the rooms of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

unit: venv ## the tests that need no server, in about a minute
	$(BIN)/pytest -n $$(($$(nproc) * 2)) --dist worksteal -m "not broker and not browser and not cluster and not docker and not e2e and not kind and not simulation"

types: venv ## mypy, strict
	$(BIN)/mypy

parts: venv ## find or make everything that the tests start: 14 minutes on a new machine (2 cores, Debian 12), nothing later
	$(BIN)/python -m tests.testbed

test: lint types unit seeds parts ## lint, types and every test
	$(BIN)/pytest -n $$(($$(nproc) + 1)) --dist loadscope --no-loadscope-reorder -m "broker or browser or cluster or docker or e2e or kind or simulation"

e2e-kind: venv ## two kind clusters with the operator installed by Helm, and real pods; needs docker, or root to start it
	$(BIN)/pytest -m kind

demo: venv ## the main job on real parts: two clusters, one broker, three replicas (KEEP=1: leave it running)
	$(BIN)/python -m tests.testbed.demo $(if $(KEEP),--keep)

bench: venv ## the numbers, beside the stock CronJob controller: about half an hour (PARTS="minute many takeover wiped stock")
	$(BIN)/python -m bench $(PARTS)

bench-cron: venv ## what schedules cost, without servers: half a minute
	$(BIN)/python -m bench.cron

bench-ledger: venv ## what an old ledger costs, at one RabbitMQ: a minute or two (ARGS="--cronjobs 10000 --days 1 --schedule 'H */6 * * *'")
	$(BIN)/python -m bench.ledger $(ARGS)

seeds: venv ## as many simulated stories as all cores tell in two minutes, always the same from the first on
	$(BIN)/python -m tests.simulation.soak --seeds 10000 --from 10000 --within 58
	$(BIN)/python -m tests.simulation.soak --seeds 10000 --from 10000 --within 57 --only mixed

soak: venv ## as many simulated stories as wanted, over all cores (SEEDS=100000 FROM=0 ONLY="edits,wipes"), up to the first that goes wrong
	$(BIN)/python -m tests.simulation.soak --seeds $(or $(SEEDS),1000) --from $(or $(FROM),0) --only "$(ONLY)"

chaos: venv ## faults on real brokers and processes, and a report (RABBITMQ=4.3 NODES=1 FAULTS="…" ROUNDS=n): about 40 minutes
	$(BIN)/python -m tests.chaos $(if $(RABBITMQ),--rabbitmq $(RABBITMQ)) $(if $(NODES),--nodes $(NODES)) \
		$(if $(FAULTS),--faults $(FAULTS)) $(if $(ROUNDS),--rounds $(ROUNDS))

COMPILE := $(BIN)/pip-compile -q --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: ## renew the lock files from pyproject.toml
	$(BIN)/pip install --quiet pip-tools
	$(COMPILE) -o requirements.lock pyproject.toml
	$(COMPILE) --extra dev -o requirements-dev.lock pyproject.toml
	$(COMPILE) --only-build-deps --all-build-deps -o requirements-build.lock pyproject.toml

clean: ## remove what was built in this folder
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
