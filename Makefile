# The commands of a checkout; `make help` lists them. Set-up is done by whoever needs it.

.DEFAULT_GOAL := help
.PHONY: help run trust lab test lint native format bench soak fuzz flake interop failover clean

BIN := .venv/bin
export PYTHON ?= python3
TESTS ?= tests
REPEAT ?= 20
JOBS ?= 1
SCENARIOS ?= tests/interop tests/sippeers tests/historic tests/webrtc tests/dmz tests/browser \
    tests/jsapi tests/webmedia/test_dtls_peers.py tests/webmedia/test_browsers.py \
    tests/listen/test_haproxy.py tests/listen/test_loopback.py tests/sipnet/test_resolver.py \
    tests/sipnet/test_loopback.py tests/web/test_check_servers.py tests/web/test_trust.py \
    tests/turn/test_userdb.py tests/config/test_turnserver_conf.py
MINUTES ?= 10
RUNS ?= 2000000

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 17

run: ## the suite in the foreground, with defaults that work on this machine
	@packaging/setup.sh run
	@exec $(BIN)/webrtc-suite run --default

trust: ## let your browsers trust the certificate that make run made
	@packaging/setup.sh run
	@$(BIN)/webrtc-suite trust

lab: ## the lab of the running suite: its status, or what ARGS say, such as ARGS="kill A"
	@$(BIN)/webrtc-suite lab $(or $(ARGS),status)

test: lint ## everything: linters, unit tests, tests against real peers; prints coverage
	@packaging/test.sh $(TESTS)

lint: .cache/tools ## ruff, mypy and the arrows between the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .cache/imports

native: ## the C data plane, built in place; without a compiler there is none, which is no error
	@packaging/setup.sh run
	@$(BIN)/python -c 'from suite.datapath.choice import choose; print(choose({}).words)'

format: .cache/tools ## let ruff order imports and lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: ## relay, calls and bridges beside their peers, and what browsers cost
	@packaging/setup.sh bench
	$(BIN)/python benchmarks/run.py $(ARGS)

soak: .cache/tools ## allocations come and go for MINUTES; memory and descriptors must not grow
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

fuzz: .cache/tools ## every property test with the nightly number of examples, and the C core
	$(BIN)/python -m tests.native.fuzz --runs $(RUNS)
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -m hypothesis $(TESTS)

flake: .cache/tools ## each scenario with a real peer REPEAT times, JOBS at once; prints how often it passed
	$(BIN)/python -m tests.repeat --times $(REPEAT) --jobs $(JOBS) $(SCENARIOS)

interop: .cache/tools ## the tables in docs/ that come from runs against coturn
	$(BIN)/python -m tests.interop.tables

failover: .cache/tools ## a SIP Server fails in every way at every moment: docs/failover.md
	$(BIN)/python -m tests.sippeers.failover

clean: ## all that was made here, .venv too
	rm -rf .venv .cache build dist *.egg-info node_modules .coverage* .hypothesis \
	    .pytest_cache .mypy_cache .ruff_cache .import_linter_cache _trial_temp*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

# Never up to date: the script itself sees in a moment that there is nothing to do.
.PHONY: .cache/tools
.cache/tools:
	@packaging/setup.sh test
