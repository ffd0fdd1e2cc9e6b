# make demo, make test: all that a newcomer needs. Everything is installed into .venv; nothing needs root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
KAFKA_LIBS := .kafka/libs

.DEFAULT_GOAL := help
.PHONY: help demo test test-torch parity-mmocr bindings bench bench-growth bench-stages chaos provoke dashboard dashboard-data fuzz suites kafka s3 kustomize kube-score manifests lint format typecheck schemas clean

help:  ## What there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "needs Python 3.11 or later; $(PYTHON) is another one: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# One stamp per set of packages: installed again only when pyproject.toml changes.
$(VENV)/.installed-%: pyproject.toml | $(VENV)/bin/python
	@echo "installing the packages for '$*' into $(VENV), once"
	$(PIP) install -e '.[$*]'
	@touch $@

demo: $(VENV)/.installed-demo  ## Judge some thirty pictures end to end and show the verdicts
	@$(BIN)/iqa demo

# Most tests of the real servers wait; each process has servers of its own.
PROCESSES ?= 2
test: $(VENV)/.installed-test  ## All tests but those of torch code; real servers are used where there are any
	@$(BIN)/iqa engines fetch
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile -m 'not torch' $(ARGS)

test-torch: $(VENV)/.installed-test $(VENV)/.installed-train  ## Tests of torch code (installs torch: several GB)
	@$(BIN)/iqa engines fetch
	$(BIN)/python -m pytest -m torch tests/engines tests/worker/test_mmocr.py tests/worker/test_own_data.py $(ARGS)

parity-mmocr: $(VENV)/.installed-test $(VENV)/.installed-train .venv-mmocr/.installed  ## Compare with the real MMOCR 1.0.1 (1.5 GB, minutes)
	$(BIN)/python -m tests.parity.prepare .cache/parity
	.venv-mmocr/bin/python -W ignore tests/parity/reference.py .cache/parity
	$(BIN)/python -m tests.parity.compare .cache/parity

# MMOCR's last release wants old packages: they never meet the worker's.
.venv-mmocr/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-mmocr
	.venv-mmocr/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0 numpy==1.26.4 \
		opencv-python==4.11.0.86 mmengine==0.10.7 mmcv-lite==2.0.1 mmdet==3.1.0 mmocr==1.0.1
	@touch $@

# NVIDIA's libraries are not on the package index, but their bindings are: over stub libraries they import, and can be asked.
BINDINGS := .cache/bindings
bindings: $(VENV)/.installed-test $(BINDINGS)/.ready  ## Check the names of TensorRT's and PyCUDA's that are used against the real ones
	LD_LIBRARY_PATH=$(BINDINGS) PYTHONPATH=$(BINDINGS)/site $(BIN)/python -m tests.bindings.check $(BINDINGS)/pycuda-2026.1

$(BINDINGS)/.ready: tests/bindings/stubs.sh pyproject.toml | $(VENV)/bin/python
	$(PIP) install -q --no-deps --upgrade --target $(BINDINGS)/site tensorrt-cu13-bindings==11.4.0.106
	$(PIP) download -q --no-deps --no-binary pycuda -d $(BINDINGS) pycuda==2026.1
	tar -xzf $(BINDINGS)/pycuda-2026.1.tar.gz -C $(BINDINGS)
	sh tests/bindings/stubs.sh $(BINDINGS)
	@touch $@

bench: $(VENV)/.installed-test $(KAFKA_LIBS)/.fetched  ## What a picture costs a whole worker behind a real Kafka (minutes; ARGS=--help)
	@$(BIN)/iqa engines fetch
	$(BIN)/python -m tests.benchmarks $(ARGS)

bench-growth: $(VENV)/.installed-test $(KAFKA_LIBS)/.fetched  ## Whether a picture costs the same as workers, partitions, backlog, hosts grow (ten minutes)
	@$(BIN)/iqa engines fetch
	$(BIN)/python -m tests.benchmarks.growth $(ARGS)

bench-stages: $(VENV)/.installed-test  ## Cost of one picture by stage, as ratios within one run
	@$(BIN)/iqa engines fetch
	$(BIN)/python -m tests.benchmarks.stages

# The script that make bench ARGS=--naive=20 compares with: RapidOCR wants another OpenCV than the worker.
.venv-naive/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-naive
	.venv-naive/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 rapidocr==3.10.0 \
		onnxruntime==1.32.0 pillow==13.0.0
	@touch $@

chaos: $(VENV)/.installed-test $(KAFKA_LIBS)/.fetched  ## Break everything on purpose, count what is lost (long; ARGS=--short: under ten minutes)
	@$(BIN)/iqa engines fetch
	$(BIN)/python -X faulthandler -m tests.chaos $(ARGS)

TARGET ?= event
SECONDS ?= 60
provoke: $(VENV)/.installed-test $(KAFKA_LIBS)/.fetched  ## Alerts on a real worker by a real Prometheus, as servers break (forty minutes; needs prometheus; ARGS=WORD for some)
	@$(BIN)/iqa engines fetch
	$(BIN)/python -m tests.k8s.provoke $(ARGS)

dashboard: $(VENV)/.installed-test  ## Write the Grafana dashboard, k8s/monitoring/dashboard.json
	$(BIN)/python -m k8s.monitoring.dashboard

dashboard-data: $(VENV)/.installed-test $(KAFKA_LIBS)/.fetched  ## Ask a real Prometheus for every query of it, two minutes with faults, and draw them (needs prometheus)
	@$(BIN)/iqa engines fetch
	$(BIN)/python -m tests.k8s.dashboard_data $(ARGS)

fuzz: $(VENV)/.installed-test $(VENV)/.installed-fuzz  ## Fuzz TARGET (event, header, polygons, jpeg, png, heif, ...) for SECONDS
	$(BIN)/python -m tests.fuzz $(TARGET) -max_total_time=$(SECONDS)

DIR ?= suites
suites: $(VENV)/.installed-test $(VENV)/.installed-suites  ## Decode public test suites in DIR beside two other decoders (needs ImageMagick); or judge the list in CASES
	$(BIN)/python -m tests.suites $(if $(CASES),--cases $(CASES),$(DIR)) $(ARGS)

kafka: $(KAFKA_LIBS)/.fetched  ## A real Kafka for the tests, from Maven Central (needs Java 17 and Maven)

s3: .s3/versitygw  ## A real S3 server for the tests, built from its source (needs Go; minutes)

.s3/versitygw:
	GOBIN=$(CURDIR)/.s3 go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

# Newer ones want a newer Go. Definitions of KEDA's, Prometheus' and Karpenter's resources come out of their own modules.
kustomize: .kustomize/kustomize .kustomize/formula .kustomize/crds/.fetched  ## What the tests of the manifests need (needs Go; a minute)

.kustomize/kustomize:
	GOBIN=$(CURDIR)/.kustomize go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1

.kustomize/formula: tests/k8s/formula/main.go tests/k8s/formula/go.mod
	cd tests/k8s/formula && go build -o $(CURDIR)/$@ .

.kustomize/crds/.fetched: tests/k8s/crds.sh
	sh tests/k8s/crds.sh .kustomize/crds
	@touch $@

.kustomize/kube-score:
	GOBIN=$(CURDIR)/.kustomize go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0

kube-score: $(VENV)/.installed-test .kustomize/kustomize .kustomize/kube-score  ## kube-score over every combination of manifests (needs Go; minutes)
	$(BIN)/python -m pytest -q tests/k8s/test_kube_score.py $(ARGS)

RUNBOOKS ?= https://runbooks.example.org/iqa-fleet/
manifests: $(VENV)/.installed-test  ## Write the manifest of the alerts; RUNBOOKS is where your copy of k8s/monitoring is read
	$(BIN)/python -m tests.k8s.prometheus_rule --runbooks $(RUNBOOKS)

$(KAFKA_LIBS)/.fetched: tests/integration/kafka/pom.xml
	mvn -q -B -f $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(KAFKA_LIBS) -DincludeScope=runtime
	@touch $@

lint: $(VENV)/.installed-test  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-test  ## ruff, with its fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/.installed-test  ## mypy --strict over code and tests
	$(BIN)/mypy

schemas: $(VENV)/.installed-test  ## Write the JSON Schemas of contracts and profiles
	$(BIN)/python -m worker.contracts.json_schemas
	$(BIN)/iqa calibrate schema > calibration/profiles/schema.json

clean:  ## Remove what was built or fetched here
	rm -rf $(VENV) .kafka .s3 .kustomize .demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
