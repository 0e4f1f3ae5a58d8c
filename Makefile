# Every target does its own set-up: a virtual environment in .venv with pinned packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-fast test-oldest lint docs bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Farback needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Give another: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# A maze whose hint is seen once and needed 1,000 steps later, learnt with gradients of one step, and of ten.
MAZE := TMaze(1000, extra=10)
ACT := ppo --env '$(MAZE)' --shared-memory --num-envs 32 --window 1010 --total-steps 1_300_000
demo: $(READY)  ## an agent remembers 1,000 steps with gradients of one; estimators are compared; pictures in out/
	mkdir -p out
	$(BIN)/farback train memup --data 'RandomEpisodes($(MAZE))' --cell 'LSTM(64)' --window 1 --batch-size 64 \
	  --optimizer 'chain(clip_by_global_norm(1.0), adam(1e-3))' --total-steps 2_600_000 --dir out/memory
	$(BIN)/farback train $(ACT) --memory "Pretrained('out/memory')" --cell 'MLP(64)' --sequence-length 1 \
	  --learning-rate 1e-3 --dir out/remembers
	$(BIN)/farback train $(ACT) --cell 'LSTM(64)' --estimator 'TBPTT(10)' --dir out/truncated
	$(BIN)/farback report out/remembers out/truncated --out out/agents.html
	$(BIN)/farback watch out/remembers --steps 3030 --plot out/episode.png
	$(BIN)/farback diagnose --plot out/reach.png
	$(BIN)/python examples/influence.py out

test: $(READY)  ## every test
	$(BIN)/python -m pytest

test-fast: $(READY)  ## what to run while editing: all but the slow tests
	$(BIN)/python -m pytest -m 'not slow'

OLDEST := .venv-oldest
test-oldest: pyproject.toml constraints.txt  ## the main laws with the oldest JAX that works
	$(PYTHON) -m venv $(OLDEST)
	sed -E 's/^(jax|jaxlib)==.*/\1==0.8.0/' constraints.txt > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(OLDEST)/constraints.txt -e '.[dev]'
	$(OLDEST)/bin/python -m pytest tests/test_laws_exact.py tests/test_laws_unroll.py tests/test_sharded.py \
	  -k 'LSTM-Elman-GRU or LRU-LRU or control or sharded'

lint: $(READY)  ## style, types, and the one direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n 0 tests/test_architecture.py

docs: $(READY)  ## the site, into site/; its code is run first
	$(BIN)/python -m pytest tests/test_docs.py
	$(BIN)/mkdocs build --strict

bench: $(READY)  ## speed and memory against other libraries, each in its own environment; writes docs/results/speed*.md
	$(BIN)/python benchmarks/run.py --only a,b,c,d,e,f
	$(BIN)/python benchmarks/run.py --only g,h,i,j --out docs/results/speed-agents.md
	$(BIN)/python benchmarks/run.py --only k --out docs/results/speed-strategies.md
	$(BIN)/python benchmarks/run.py --only l --out docs/results/speed-memup.md
	$(BIN)/python benchmarks/run.py --only m --out docs/results/speed-off-policy.md

clean:
	rm -rf $(VENV) $(OLDEST) out benchmarks/.envs
