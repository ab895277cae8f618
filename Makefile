# Everything runs in .venv, made from the pins in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test check bench clean

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "luxe: this Python makes no virtual environments; on Debian: apt-get install -y python3-venv" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --progress-bar on --constraint constraints.txt --editable '.[all]'
	$(BIN)/python -m luxe_serving.system
	touch $@

demo: setup
	$(BIN)/luxe demo

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf .venv model_repository runs benchmarks/results
