# Every target creates the environment that it needs. PYTHON selects the interpreter, 3.11 or newer.
PYTHON ?= python3
# Two processes, because JAX compiles small programs on one core. Each gets whole files, so fixtures of a file are made once.
PARALLEL ?= -n 2 --dist loadfile
FORM_TESTS := tests/convert/test_forms.py tests/convert/test_real_forms.py --table docs/onnx-forms.md

.DEFAULT_GOAL := help
.PHONY: help demo test test-oldest test-peers test-models test-converters test-integrations test-scale test-engines \
	test-tpu test-serving test-page coverage lint docs fuzz table bench bench-peers bench-scripts bench-convert bench-search bench-gpu \
	bench-scale bench-serving bench-training quality soak notebooks refresh-notebooks clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-19s%s\n", $$1, $$2}' Makefile

demo: .venv/.installed ## download the model, convert it from ONNX to Flax params, and embed a few sentences
	@.venv/bin/minilm-jax demo

test: .venv/.tested ## run the tests with the newest versions of all dependencies
	@.venv/bin/python -m pytest $(PARALLEL)

test-oldest: .venv-oldest/.installed ## run the core tests with the oldest supported versions
	@.venv-oldest/bin/python -m pytest $(PARALLEL) @tests/core.txt

test-peers: .venv-peers/.installed ## compare every call with sentence-transformers
	@.venv-peers/bin/python -m pytest tests/environments/peers

test-models: .venv-models/.installed ## compare every architecture with transformers, and real files; writes docs/tested-models.md
	@.venv-models/bin/python -m pytest tests/environments/models --table docs/tested-models.md

test-converters: .venv-converters/.installed ## rebuild every form of ONNX file with the real tools, and convert them
	@.venv-converters/bin/python tests/forms/make.py
	@.venv-converters/bin/python -m pytest $(FORM_TESTS)

test-integrations: .venv-integrations/.installed ## test each adapter with the package that it adapts to
	@.venv-integrations/bin/python -m pytest tests/environments/integrations
	@.venv-integrations/bin/pyright -p tests/environments/integrations --pythonpath .venv-integrations/bin/python

test-scale: .venv-scale/.installed ## read embed-corpus output with DuckDB, Polars, pandas and LanceDB
	@.venv-scale/bin/python -m pytest tests/environments/scale
	@.venv-scale/bin/pyright -p tests/environments/scale --pythonpath .venv-scale/bin/python

test-engines: .venv-engines/.installed .venv-beam/.installed ## test Ray, Spark (needs Java 17) and Beam on this machine
	@.venv-engines/bin/python -m pytest tests/environments/engines --ignore tests/environments/engines/test_beam.py
	@.venv-engines/bin/pyright -p tests/environments/engines --pythonpath .venv-engines/bin/python
	@.venv-beam/bin/python -m pytest tests/environments/engines/test_beam.py
	@.venv-beam/bin/pyright --pythonpath .venv-beam/bin/python minilm_jax/scale/beam.py

test-tpu: .venv-tpu/.installed ## compile for TPUs without one (10 minutes or more); writes docs/tpu.md
	@.venv-tpu/bin/python -m pytest tests/environments/tpu --table docs/tpu.md

test-serving: .venv-serving/.installed ## test the server with the clients that people use
	@.venv-serving/bin/python -m pytest tests/environments/serving

test-page: .venv-page/.installed ## test the server's page in Chromium; CHROMIUM names the browser
	@.venv-page/bin/python -m pytest tests/environments/serving_page
	@.venv-page/bin/pyright -p tests/environments/serving_page --pythonpath .venv-page/bin/python

coverage: .venv/.tested ## run the tests and list the lines that they do not reach
	@.venv/bin/coverage erase
	@.venv/bin/coverage run -m pytest
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report

table: .venv/.tested ## convert every stored form of ONNX file; writes docs/onnx-forms.md
	@.venv/bin/python -m pytest $(FORM_TESTS)

fuzz: .venv/.tested ## convert 10,000 damaged ONNX files; each must end in an error message
	@.venv/bin/python -m tests.convert.fuzz --count 10000 --all

lint: .venv/.linted ## run ruff and pyright
	@.venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/pyright --pythonpath .venv/bin/python

docs: .venv-docs/.installed ## build the documentation; open build/docs/index.html
	@.venv-docs/bin/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs

bench: .venv/.installed ## measure minilm-jax only; writes build/benchmarks.md
	@mkdir -p build
	@.venv/bin/python -m benchmarks --out build/benchmarks.md

bench-peers: .venv-bench/.installed ## compare the speed with other libraries (1 to 2 hours); writes docs/benchmarks.md
	@.venv-bench/bin/python -m benchmarks --peers

bench-scripts: .venv-bench/.installed ## the same for whole processes and single sentences (15 minutes); writes docs/first-run.md
	@.venv-bench/bin/python -m benchmarks --peers --levels c,d --rounds 2 --out docs/first-run.md

quality: .venv/.tested ## measure the accuracy of each precision; writes docs/quality.md
	@.venv/bin/python -m benchmarks.quality

bench-convert: .venv/.tested ## compare the time of a conversion with the time to read the file
	@.venv/bin/python -m benchmarks.conversion

bench-search: .venv-bench/.installed ## compare exact search with numpy, faiss and usearch; writes docs/search-speed.md
	@.venv-bench/bin/python -m benchmarks.search

bench-training: .venv-bench/.installed ## compare fine-tuning with sentence-transformers (hours); DATA is the folder of the data; writes docs/training.md
	@.venv-bench/bin/python -m benchmarks.training $(DATA)

bench-gpu: .venv-gpu/.installed ## compare with sentence-transformers on a GPU; writes docs/gpu.md
	@.venv-gpu/bin/python -m benchmarks.gpu

bench-scale: .venv-engines/.installed ## measure embed-corpus and Ray on 10,000 to 1,000,000 rows; writes docs/scale-measured.md
	@.venv-engines/bin/python -m benchmarks.scale

soak: .venv/.tested ## ten minutes of mixed requests and 10,000 malformed ones to the server; memory must stay flat
	@.venv/bin/python -m tests.serving.soak

bench-serving: .venv-serving-speed/.installed .venv-infinity/.installed ## compare servers under load with wrk (20 minutes); writes docs/serving-speed.md
	@.venv-serving-speed/bin/python -m benchmarks.serving

notebooks: .venv-notebooks/.installed ## run the notebooks, which assert their claims
	@.venv-notebooks/bin/python notebooks/refresh.py --check
	@.venv-notebooks/bin/python -m pytest -c /dev/null --rootdir . -p no:cacheprovider -n 2 --nbmake --nbmake-timeout=600 notebooks

refresh-notebooks: .venv-notebooks/.installed ## run the notebooks and store their outputs
	@.venv-notebooks/bin/python notebooks/refresh.py

clean: ## remove the environments and caches in this folder (not the cache of downloaded models)
	rm -rf .venv .venv-* .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* dist build
	find . -name __pycache__ -prune -exec rm -rf {} +

# Environments. The lines below name the contents of each one: requirement files, or extras of minilm-jax.
# An environment is updated when one of its requirement files or pyproject.toml changes.
.venv/.installed: packages = -e .
.venv/.tested: packages = -e '.[test]'
.venv/.linted: packages = -e '.[lint]'
.venv-docs/.installed: packages = -e '.[docs]'
.venv-oldest/.installed: tests/oldest.txt
.venv-peers/.installed: tests/environments/peers/requirements.txt
.venv-models/.installed: tests/environments/models/requirements.txt
.venv-converters/.installed: tests/forms/requirements.txt
.venv-integrations/.installed: tests/environments/integrations/requirements.txt
.venv-scale/.installed: tests/environments/scale/requirements.txt
.venv-engines/.installed: tests/environments/engines/requirements.txt
.venv-beam/.installed: tests/environments/engines/beam-requirements.txt
.venv-tpu/.installed: tests/environments/tpu/requirements.txt
.venv-serving/.installed: tests/environments/serving/requirements.txt
.venv-page/.installed: tests/environments/serving_page/requirements.txt
.venv-notebooks/.installed: notebooks/requirements.txt
.venv-bench/.installed: benchmarks/requirements.txt
.venv-gpu/.installed: benchmarks/gpu/requirements.txt
.venv-serving-speed/.installed: benchmarks/serving/requirements.txt
.venv-infinity/.installed: benchmarks/serving/infinity-requirements.txt
.venv/.tested: .venv/.installed
.venv/.linted: .venv/.tested

define install
@echo "installing packages into $(@D) …"
@$(PYTHON) -m venv $(@D)
@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(packages) $(addprefix -r ,$(filter %.txt,$^))
@touch $@
endef

%/.installed: pyproject.toml
	$(install)

.venv/.tested .venv/.linted:
	$(install)
