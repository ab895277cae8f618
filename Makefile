# Everything runs in .venv, made from the pins in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-tools test-pythons check gpu-check clean

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "luxe: this Python makes no virtual environments; on Debian: apt-get install -y python3-venv" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --no-compile --progress-bar on --constraint constraints.txt --editable '.[all]'
	$(BIN)/python -m luxe_serving.launcher.system
	touch $@

demo: setup
	$(BIN)/luxe demo

# Unit tests side by side; those with a server in turn, which load the cores themselves.
test: setup test-tools
	$(BIN)/python -m pytest --ignore tests/e2e --numprocesses 2 --dist loadfile
	$(BIN)/python -m pytest tests/e2e

# Programs that only the tests use: HAProxy in front of real servers, curl as a stranger's client.
# And ONNX Runtime as NVIDIA's Triton 24.10 image has it: what is published must load there too.
TEST_TOOLS := haproxy curl
TARGET_RUNTIME := onnxruntime==1.19.2
# KServe's client, KServe's server and MLServer, in environments of their own: what they need contradicts our pins.
STRANGERS := .tools/kserve/.installed .tools/mlserver/.installed
test-tools: setup .tools/$(subst ==,-,$(TARGET_RUNTIME)) $(STRANGERS)
	@missing=; for tool in $(TEST_TOOLS); do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	test -z "$$missing" && exit 0; \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $$missing; \
	else echo "luxe: the tests need$$missing; on Debian: apt-get install -y$$missing" >&2; exit 2; fi

.tools/$(subst ==,-,$(TARGET_RUNTIME)):
	$(BIN)/pip install --disable-pip-version-check --no-compile --no-deps --target $@ $(TARGET_RUNTIME)

$(STRANGERS): .tools/%/.installed: tests/e2e/strangers/%.txt
	$(BIN)/python -m venv .tools/$*
	.tools/$*/bin/pip install --disable-pip-version-check --no-compile --quiet --requirement $<
	touch $@

# The client runs on more Pythons than the rest, with what is newest for each. Its tests on every one that is here:
PYTHONS := 3.10 3.11 3.12 3.13
test-pythons:
	@for version in $(PYTHONS); do \
		python$$version -c '' 2>/dev/null || { echo "luxe: no python$$version here"; continue; }; \
		own=.tools/python-$$version && python$$version -m venv $$own && \
		$$own/bin/pip install --disable-pip-version-check --no-compile --quiet '.[cli]' fastapi httpx2 hypothesis opentelemetry-api pytest pytest-timeout && \
		$$own/bin/python --version && $$own/bin/python -m pytest -q tests/unit/client docs/examples || exit; \
	done

# On a machine with a GPU: parity with PyTorch and a latency table (docs/gpu.md).
gpu-check: setup
	$(BIN)/python -m luxe_export.gpu.check $(MODEL)

# What a caller of the client sees of its types, as the oldest and the newest Python have it.
TYPED := client docs/examples tests/unit/client/typed.py
check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 $(TYPED)
	$(BIN)/mypy --python-version 3.13 $(TYPED)

clean:
	rm -rf .venv .tools model_repository reports runs benchmarks/results
