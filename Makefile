# Everything runs in .venv, made from the pins in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-tools check gpu-check clean

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
test-tools: setup .tools/$(subst ==,-,$(TARGET_RUNTIME))
	@missing=; for tool in $(TEST_TOOLS); do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	test -z "$$missing" && exit 0; \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $$missing; \
	else echo "luxe: the tests need$$missing; on Debian: apt-get install -y$$missing" >&2; exit 2; fi

.tools/$(subst ==,-,$(TARGET_RUNTIME)):
	$(BIN)/pip install --disable-pip-version-check --no-compile --no-deps --target $@ $(TARGET_RUNTIME)

# On a machine with a GPU: parity with PyTorch and a latency table (docs/gpu.md).
gpu-check: setup
	$(BIN)/python -m luxe_export.gpu.check $(MODEL)

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf .venv .tools model_repository reports runs benchmarks/results
