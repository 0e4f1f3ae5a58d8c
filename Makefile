# Every target does its own set-up: a virtual environment in .venv with pinned packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-oldest lint docs bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Engram needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Give another: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# A maze whose hint is seen once and wanted 1,000 steps later, and gradients of one step, or of ten.
MAZE := TMaze(1000, extra=10)
ACT := --env '$(MAZE)' --shared --batch 32 --length 1010 --steps 1_300_000
demo: $(READY)  ## what was seen 1,000 steps ago, learnt with gradients of one; estimators are compared; pictures in out/
	mkdir -p out
	$(BIN)/engram train --episodes 'RandomPlay($(MAZE))' --objective 'MemUP()' --cell 'LSTM(64)' --length 1 --batch 64 \
	  --optimiser 'chain(clip_by_global_norm(1.0), adam(1e-3))' --steps 2_600_000 --dir out/memory
	$(BIN)/engram train $(ACT) --agent 'PPO(chunk=1)' --memory out/memory --cell 'Perceptron(64, layers=2)' \
	  --optimiser 'adam(1e-3)' --dir out/remembers
	$(BIN)/engram train $(ACT) --agent 'PPO()' --cell 'LSTM(64)' --estimator 'TBPTT(10)' --dir out/truncated
	$(BIN)/engram report out/remembers out/truncated --out out/agents.html
	$(BIN)/engram watch out/remembers --steps 3030 --plot out/episode.png
	$(BIN)/engram diagnose --plot out/reach.png
	$(BIN)/python examples/influence.py out

test: $(READY)  ## every test
	$(BIN)/python -m pytest

OLDEST := .venv-oldest
test-oldest: pyproject.toml constraints.txt  ## the main laws with the oldest JAX that works
	$(PYTHON) -m venv $(OLDEST)
	sed -E 's/^(jax|jaxlib)==.*/\1==0.8.0/' constraints.txt > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(OLDEST)/constraints.txt -e '.[dev]'
	$(OLDEST)/bin/python -m pytest tests/test_laws_exact.py tests/test_laws_unroll.py tests/test_sharded.py \
	  -k 'GRU or LSTM or LRU or control or sharded'

lint: $(READY)  ## style, types, and the one direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n 0 tests/test_architecture.py

docs: $(READY)  ## the site, into site/; its code is run first
	$(BIN)/python -m pytest tests/test_docs.py
	$(BIN)/mkdocs build --strict

bench: $(READY)  ## speed and memory beside other libraries, each in its own environment; writes docs/results/speed*.md
	$(BIN)/python benchmarks/run.py --only a,b,c,d,e,f
	$(BIN)/python benchmarks/run.py --only g,h,i,j --out docs/results/speed-agents.md
	$(BIN)/python benchmarks/run.py --only k --out docs/results/speed-strategies.md
	$(BIN)/python benchmarks/run.py --only l --out docs/results/speed-memup.md

clean:
	rm -rf $(VENV) $(OLDEST) out benchmarks/.envs
