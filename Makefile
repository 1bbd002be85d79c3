# `make` lists the targets. All of them work in a fresh clone on a machine with
# Go and make; what else a target needs it installs itself, or says what to.

GO        ?= go
BIN       := bin
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   := -s -w -X main.version=$(VERSION)
LINT      := $(GO) tool -modfile=tools/go.mod golangci-lint
TESTFLAGS ?= -timeout 25m -p 3
PKGS      ?= ./...
NODES     ?= 0

# An image is as old as its commit, so that building it again gives the same.
ARCHS     := amd64 arm64
COMMIT    := $(shell git rev-parse HEAD 2>/dev/null)
COMMITTED := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

# A clone owned by somebody else, or no git at all, must not break a build; the
# version is stamped by LDFLAGS instead.
export GOFLAGS := -buildvcs=false $(filter-out -buildvcs=%,$(GOFLAGS))

.DEFAULT_GOAL := help
.PHONY: help build demo demo-stop test cluster-up cluster-down bench compare compare-pods lint fmt generate image image-push smoke-aws clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## [a-z]/ {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/queuemill, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/queuemill ./cmd/queuemill

demo: build ## run examples/ping from messages to finished jobs
	@tools/demo start

demo-stop: ## stop what `make demo` left running and remove its data
	@tools/demo stop

test: ## run all tests under the race detector; installs what they need
	@tools/test-packages
	@$(GO) run ./test/cluster/cmd build $(if $(filter linux,$(shell $(GO) env GOOS)),-nodes 1)
	CGO_ENABLED=1 $(GO) test -race $(TESTFLAGS) $(PKGS)

cluster-up: ## start a real Kubernetes; prints its kubeconfig's path; NODES=1: containers run, as root
	@[ '$(NODES)' = 0 ] || tools/test-packages nodes
	@$(GO) build -o $(BIN)/cluster ./test/cluster/cmd
	@$(BIN)/cluster up -nodes $(NODES)

cluster-down: ## stop what `make cluster-up` started and remove it
	@$(GO) build -o $(BIN)/cluster ./test/cluster/cmd
	@$(BIN)/cluster down

bench: build ## measure, and print a table with its conditions; ROW=sdk: those rows
	$(GO) run ./test/bench -binary $(BIN)/queuemill -row '$(ROW)'

compare: ## run test/scaling's loads in real time beside the simulator, about 25 minutes; charts in docs/scaling
	@mkdir -p docs/scaling
	$(GO) test ./test/scaling -run 'TestCompare$$' -v -count 1 -timeout 2h -real -reports $(CURDIR)/docs/scaling $(COMPAREFLAGS)

compare-pods: ## run a seed of test/scaling's loads in pods of a real cluster, 10 minutes, as root; charts in docs/scaling
	@tools/test-packages nodes
	@mkdir -p docs/scaling
	$(GO) test ./test/scaling -run TestComparePods -v -count 1 -timeout 30m -pods -reports $(CURDIR)/docs/scaling $(COMPAREFLAGS)

lint: $(BIN)/.lint-built ## check the code with golangci-lint
	$(LINT) run

fmt: $(BIN)/.lint-built ## format the code
	$(LINT) fmt

# golangci-lint is pinned in tools/go.mod, apart from the product's dependencies.
$(BIN)/.lint-built: tools/go.mod tools/go.sum
	@echo 'building golangci-lint, about 2 minutes on two cores the first time'
	@$(LINT) version
	@mkdir -p $(BIN) && touch $@

generate: ## regenerate what is generated
	$(GO) generate $(PKGS)

image: ## build dist/image, the container image as an OCI layout for amd64 and arm64
	@for arch in $(ARCHS); do \
		echo "building dist/linux-$$arch/queuemill; the first time about 3 minutes on two cores"; \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/linux-$$arch/queuemill ./cmd/queuemill || exit 1; \
	done
	@$(GO) run ./internal/image/cmd -version '$(VERSION)' -revision '$(COMMIT)' -created '$(COMMITTED)' \
		$(foreach arch,$(ARCHS),$(arch)=dist/linux-$(arch)/queuemill)

image-push: ## send the image to a registry and write its manifests to dist/kubernetes: make image-push REF=registry.example/team/queuemill:v1
	@test -n '$(REF)' || { echo 'image-push: where to? make image-push REF=registry.example/team/queuemill:v1' >&2; exit 2; }
	@$(MAKE) --no-print-directory image
	@pushed=$$($(GO) run ./internal/image/cmd -push '$(REF)') && \
		$(GO) run ./internal/install/generate -image "$$pushed" -crds deploy/kubernetes/crds -out dist/kubernetes && \
		echo "pushed $$pushed; next: kubectl apply -f dist/kubernetes/install.yaml"

smoke-aws: ## run the queue suite on a real SQS queue: make smoke-aws QUEUE_URL=https://...
	@test -n '$(QUEUE_URL)' || { echo 'smoke-aws: which queue? make smoke-aws QUEUE_URL=https://sqs.REGION.amazonaws.com/ACCOUNT/NAME' >&2; exit 2; }
	QUEUEMILL_SMOKE_QUEUE_URL='$(QUEUE_URL)' $(GO) test -tags smoke -count=1 -v -timeout 30m -run 'TestSmokeAWS' ./internal/queue/sqs

clean: demo-stop ## remove everything that was built
	rm -rf $(BIN) dist
