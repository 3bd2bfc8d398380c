# Each target is one line that calls a script; scripts install what they need and clean up.
.PHONY: help demo test lint format bench bench-engine lock

help:    ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'
demo:    ## pack MNIST, push it to a registry that asks for a password, train LeNet
	@scripts/setup engine base && scripts/with-venv scripts/demo.py
test:    ## every test, with real parts
	@scripts/setup engine base test && scripts/test
lint:    ## formatting, lint, types, shell scripts
	@scripts/setup lint && scripts/lint
format:  ## rewrite the sources in the house's format
	@scripts/setup && .venv/bin/ruff format . && .venv/bin/ruff check --fix .
bench:   ## our pack and push against other tools, and which bars it meets
	@scripts/setup engine base bench
	@for each in start cold docker_load pack; do scripts/with-venv bench/$$each.py || exit; done
	@scripts/with-venv bench/bars.py
bench-engine: ## our engine's training speed against real Caffe, as ratios
	@scripts/setup base && scripts/with-venv bench/engine
lock:    ## renew the lock file from pyproject.toml
	@scripts/setup && scripts/lock
