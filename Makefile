# `make demo` runs the main job on the embedded default; `make test` passes every test, real servers included.
# Both install what they need through apt when they may, and otherwise name the packages and stop.

CARGO ?= cargo
PYENV := target/pyenv

BUILD_PACKAGES := pkg-config libssl-dev
TEST_PACKAGES  := mosquitto mosquitto-clients libcoap3-bin kcat python3 python3-venv

.PHONY: demo test lint fuzz bench acceptance build need-build need-test python kafka

demo: need-build
	$(CARGO) build --release --locked -p urban-neuron-server
	target/release/urban-neuron demo --for 60s

build: need-build
	$(CARGO) build --release --locked -p urban-neuron-server

test: need-build need-test python kafka
	URBAN_NEURON_PYTHON=$(CURDIR)/$(PYENV)/bin/python $(CARGO) test --locked --workspace --all-targets

lint: need-build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	deploy/dev/deny.sh

# Every fuzz target for a bounded time (seconds each).
fuzz: need-build
	deploy/dev/fuzz.sh $(or $(FUZZ_SECONDS),20)

# The worked examples and samples that live outside the repository; CONTRACT names their folder.
acceptance: need-build
	RULES_CASES=$(abspath $(CONTRACT))/rules_cases $(CARGO) test --locked -p urban-neuron-rules --test cases

need-build:
	@deploy/dev/need.sh $(BUILD_PACKAGES)

need-test:
	@deploy/dev/need.sh $(TEST_PACKAGES)

python: $(PYENV)/ready

$(PYENV)/ready: deploy/dev/requirements.txt
	python3 -m venv $(PYENV)
	$(PYENV)/bin/pip install -q --disable-pip-version-check -r $<
	touch $@

kafka:
	@deploy/kafka/kafka.sh install
