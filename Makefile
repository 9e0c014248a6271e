# Every target makes the environment that it needs; PYTHON chooses the interpreter, 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
OLDEST := .venv-oldest/bin
BENCH := .venv-bench/bin
DOCS := .venv-docs/bin
CONVERTERS := .venv-converters/bin
PEERS := .venv-peers/bin
INTEGRATIONS := .venv-integrations/bin
SCALE := .venv-scale/bin
ENGINES := .venv-engines/bin
BEAM := .venv-beam/bin
TPU := .venv-tpu/bin
NOTEBOOKS := .venv-notebooks/bin
GPU := .venv-gpu/bin
CORE_TESTS := tests/project/test_architecture.py tests/tokens/test_batching.py tests/checkpoints/test_folder_config.py tests/convert/test_onnx_to_flax.py \
	tests/nn/test_embedding.py tests/test_explain.py tests/convert/test_external_data.py tests/convert/test_flax_to_onnx.py \
	tests/nn/test_params.py tests/nn/test_parity.py tests/convert/test_refusals.py tests/convert/test_graph_process.py tests/search/test_search.py \
	tests/encoders/test_sentence_encoder.py tests/vectors/test_similarity.py tests/tokens/test_tokenizer.py

.DEFAULT_GOAL := help
.PHONY: help demo test test-oldest test-peers test-converters test-integrations test-scale test-engines test-tpu lint \
	docs fuzz table bench bench-peers bench-convert bench-search bench-gpu bench-scale quality notebooks refresh-notebooks clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: .venv/.installed ## obtain the model, convert ONNX to Flax params, and show what it does
	@$(BIN)/minilm-jax demo

test: .venv/.tested ## run the tests, on the newest versions of everything
	@$(BIN)/python -m pytest

test-oldest: .venv-oldest/.tested ## run the core tests on the oldest versions allowed
	@$(OLDEST)/python -m pytest $(CORE_TESTS)

test-peers: .venv-peers/.installed ## make the calls of sentence-transformers to it and to minilm-jax, and compare
	@$(PEERS)/python -m pytest tests/environments/peers

test-converters: .venv-converters/.installed ## make all forms of ONNX file anew with the real tools, and convert them
	@$(CONVERTERS)/python tests/forms/make.py
	@$(CONVERTERS)/python -m pytest tests/convert/test_forms.py tests/convert/test_real_forms.py --table docs/onnx-forms.md

test-integrations: .venv-integrations/.installed ## run the adapters' tests, each beside the real package
	@$(INTEGRATIONS)/python -m pytest tests/environments/integrations
	@$(INTEGRATIONS)/pyright -p tests/environments/integrations --pythonpath $(INTEGRATIONS)/python

test-scale: .venv-scale/.installed ## open a folder of shards in DuckDB, Polars, pandas and LanceDB; share one among processes
	@$(SCALE)/python -m pytest tests/environments/scale
	@$(SCALE)/pyright -p tests/environments/scale --pythonpath $(SCALE)/python

test-engines: .venv-engines/.installed .venv-beam/.installed ## run Ray, Spark (which needs Java 17) and Beam on this machine
	@$(ENGINES)/python -m pytest tests/environments/engines --ignore tests/environments/engines/test_beam.py
	@$(ENGINES)/pyright -p tests/environments/engines --pythonpath $(ENGINES)/python
	@$(BEAM)/python -m pytest tests/environments/engines/test_beam.py
	@$(BEAM)/pyright --pythonpath $(BEAM)/python minilm_jax/scale/beam.py

test-tpu: .venv-tpu/.installed ## compile for TPUs, ten minutes or more and without one; writes docs/tpu.md
	@$(TPU)/python -m pytest tests/environments/tpu --table docs/tpu.md

table: .venv/.tested ## convert all forms of ONNX file that are stored here; writes docs/onnx-forms.md
	@$(BIN)/python -m pytest tests/convert/test_forms.py tests/convert/test_real_forms.py --table docs/onnx-forms.md

fuzz: .venv/.tested ## ten thousand damaged ONNX files, none of which may do harm
	@$(BIN)/python -m tests.convert.fuzz --count 10000 --all

lint: .venv/.linted ## ruff and pyright
	@$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/pyright --pythonpath $(BIN)/python

docs: .venv-docs/.installed ## build the documentation; begins at build/docs/index.html
	@$(DOCS)/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs

bench: .venv/.installed ## measure minilm-jax alone; writes build/benchmarks.md
	@mkdir -p build
	@$(BIN)/python -m benchmarks --levels a,b,c,e --out build/benchmarks.md

bench-peers: .venv-bench/.installed ## measure minilm-jax beside its peers, for an hour or two; writes docs/benchmarks.md
	@$(BENCH)/python -m benchmarks --peers

quality: .venv/.tested ## measure what each precision costs in quality; writes docs/quality.md
	@$(BIN)/python -m benchmarks.quality

bench-convert: .venv/.tested ## measure conversion against reading the file alone
	@$(BIN)/python -m benchmarks.conversion

bench-search: .venv-bench/.installed ## measure exact search beside numpy, faiss and usearch; writes docs/search-speed.md
	@$(BENCH)/python -m benchmarks.search

bench-gpu: .venv-gpu/.installed ## measure minilm-jax on a GPU beside sentence-transformers; writes docs/gpu.md
	@$(GPU)/python -m benchmarks.gpu

bench-scale: .venv-engines/.installed ## measure embed-corpus on 10,000 to a million rows, and Ray; writes docs/scale-measured.md
	@$(ENGINES)/python -m benchmarks.scale

notebooks: .venv-notebooks/.installed ## run the notebooks, which assert what they claim
	@$(NOTEBOOKS)/python notebooks/refresh.py --check
	@$(NOTEBOOKS)/python -m pytest -c /dev/null --rootdir . -p no:cacheprovider -n 2 --nbmake --nbmake-timeout=600 notebooks

refresh-notebooks: .venv-notebooks/.installed ## run them and keep what they print and draw
	@$(NOTEBOOKS)/python notebooks/refresh.py

clean: ## remove the environments and caches in this folder (not the model's cache)
	rm -rf .venv .venv-oldest .venv-bench .venv-converters .venv-docs .venv-peers .venv-integrations .venv-scale \
		.venv-engines .venv-beam .venv-notebooks .venv-gpu .venv-tpu .pytest_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/.installed: pyproject.toml
	@echo "installing minilm-jax into .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/.tested: .venv/.installed
	@echo "installing what the tests need …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $@

.venv/.linted: .venv/.tested
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[lint]"
	@touch $@

.venv-oldest/.tested: pyproject.toml tests/oldest.txt
	@echo "installing the oldest versions into .venv-oldest …"
	@$(PYTHON) -m venv .venv-oldest
	@$(OLDEST)/python -m pip install --quiet --disable-pip-version-check -e ".[test]" -c tests/oldest.txt
	@touch $@

.venv-peers/.installed: pyproject.toml tests/environments/peers/requirements.txt
	@echo "installing sentence-transformers into .venv-peers …"
	@$(PYTHON) -m venv .venv-peers
	@$(PEERS)/python -m pip install --quiet --disable-pip-version-check -e ".[test]" -r tests/environments/peers/requirements.txt
	@touch $@

.venv-converters/.installed: pyproject.toml tests/forms/requirements.txt
	@echo "installing the exporters, optimisers and quantisers …"
	@$(PYTHON) -m venv .venv-converters
	@$(CONVERTERS)/python -m pip install --quiet --disable-pip-version-check -e ".[test]" -r tests/forms/requirements.txt
	@touch $@

.venv-docs/.installed: pyproject.toml
	@echo "installing Sphinx into .venv-docs …"
	@$(PYTHON) -m venv .venv-docs
	@$(DOCS)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@

.venv-integrations/.installed: pyproject.toml tests/environments/integrations/requirements.txt
	@echo "installing the packages that there are adapters for …"
	@$(PYTHON) -m venv .venv-integrations
	@$(INTEGRATIONS)/python -m pip install --quiet --disable-pip-version-check -r tests/environments/integrations/requirements.txt
	@touch $@

.venv-scale/.installed: pyproject.toml tests/environments/scale/requirements.txt
	@echo "installing what opens a folder of shards …"
	@$(PYTHON) -m venv .venv-scale
	@$(SCALE)/python -m pip install --quiet --disable-pip-version-check -r tests/environments/scale/requirements.txt
	@touch $@

.venv-tpu/.installed: pyproject.toml tests/environments/tpu/requirements.txt
	@echo "installing the compiler for TPUs …"
	@$(PYTHON) -m venv .venv-tpu
	@$(TPU)/python -m pip install --quiet --disable-pip-version-check -e ".[test]" -r tests/environments/tpu/requirements.txt
	@touch $@

.venv-engines/.installed: pyproject.toml tests/environments/engines/requirements.txt
	@echo "installing Ray and Spark …"
	@$(PYTHON) -m venv .venv-engines
	@$(ENGINES)/python -m pip install --quiet --disable-pip-version-check -r tests/environments/engines/requirements.txt
	@touch $@

.venv-beam/.installed: pyproject.toml tests/environments/engines/beam-requirements.txt
	@echo "installing Beam …"
	@$(PYTHON) -m venv .venv-beam
	@$(BEAM)/python -m pip install --quiet --disable-pip-version-check -r tests/environments/engines/beam-requirements.txt
	@touch $@

.venv-notebooks/.installed: pyproject.toml notebooks/requirements.txt
	@echo "installing what runs the notebooks …"
	@$(PYTHON) -m venv .venv-notebooks
	@$(NOTEBOOKS)/python -m pip install --quiet --disable-pip-version-check -e ".[plot,verify]" -r notebooks/requirements.txt
	@touch $@

.venv-bench/.installed: pyproject.toml benchmarks/requirements.txt
	@echo "installing the peers into .venv-bench …"
	@$(PYTHON) -m venv .venv-bench
	@$(BENCH)/python -m pip install --quiet --disable-pip-version-check -e . -r benchmarks/requirements.txt
	@touch $@

.venv-gpu/.installed: pyproject.toml benchmarks/gpu/requirements.txt
	@echo "installing jax and torch for CUDA, some gigabytes, into .venv-gpu …"
	@$(PYTHON) -m venv .venv-gpu
	@$(GPU)/python -m pip install --quiet --disable-pip-version-check -e ".[cuda13]" -r benchmarks/gpu/requirements.txt
	@touch $@
