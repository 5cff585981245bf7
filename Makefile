# `make help` lists what there is to do. Needs python3 (3.11 or newer) with venv, and make.

PORT ?= 8000
ARGS ?=
DURATION ?= 60
PYTHON ?= python3
PY = .venv/bin/python
INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes
COMPILE = .venv/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11 $(ARGS)

.PHONY: help run demo test conformance chaos lint format lock prepare
.DEFAULT_GOAL := help

help: ## say what there is to do
	@sed -n 's/^\([a-z]*\):.*## /make \1 \t/p' $(MAKEFILE_LIST) | expand -t 20

run: prepare ## start everything at http://127.0.0.1:8000 (make run PORT=8001: elsewhere)
	@exec $(PY) manage.py serve --port $(PORT)

demo: prepare ## place the example's calls (simulated) and verify the webhooks
	@exec $(PY) manage.py demo --start --url http://127.0.0.1:$(PORT)

test: .venv/.dev ## run every test that needs only Python (make test ARGS="-n auto -k word")
	@exec $(PY) -m pytest $(ARGS)

conformance: .venv/.dev ## run what every call provider must pass (ARGS="-k http": one of them)
	@exec $(PY) -m pytest -m conformance calls/tests/conformance $(ARGS)

chaos: .venv/.dev ## kill processes under thousands of calls (make chaos SEED=1 DURATION=60 ARGS=killing)
	@exec $(PY) -m tests.chaos $(if $(SEED),--seed $(SEED)) --seconds $(DURATION) $(ARGS)

lint: .venv/.dev ## check format, style, types and the direction of imports
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	ENV_FILE= DEBUG=1 $(PY) -m mypy .
	ENV_FILE= DEBUG=1 .venv/bin/lint-imports

format: .venv/.dev ## format the code
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

lock: .venv/.dev ## lock the requirements anew (make lock ARGS=--upgrade: newest versions)
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-dev.in -o requirements-dev.txt

prepare: .venv/.run
	@$(PY) -m collections_platform.ops.dotenv
	@$(PY) manage.py migrate --verbosity 0
	@$(PY) manage.py collectstatic --noinput --verbosity 0
	@$(PY) manage.py load_demo_data --url http://127.0.0.1:$(PORT)

.venv/.run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(INSTALL) -r requirements.txt
	@touch $@

.venv/.dev: .venv/.run requirements-dev.txt
	$(INSTALL) -r requirements-dev.txt
	@touch $@
