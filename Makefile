# Everything here needs Go and make; AF_XDP needs root besides, the model spin. Nothing is installed.

GO       ?= go
FUZZTIME ?= 10s
MEASURED ?= out/measured
SEEDS    ?= 2000

BINARY := bin/wirepaxos
PEERS  := bin/wirepaxos-peers

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: build ## a whole cluster on this machine for ten seconds, and what it measured
	$(BINARY) demo

.PHONY: test
test: ## every check and every test, with what was skipped and why
	@$(GO) run ./tools/testrun $(TESTFLAGS)

# A static binary: it runs in the lab's namespaces, in a virtual machine's initramfs, anywhere. It knows its commit, and tells it with what it
# measures, also where GOFLAGS would leave that out.
.PHONY: build
build: ## bin/wirepaxos
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -o $(BINARY) ./cmd/wirepaxos

# The other systems that wirepaxos is compared with are in a module of their own; their modules are fetched when this is first built.
.PHONY: peers
peers: ## bin/wirepaxos-peers, for bin/wirepaxos bench peers
	CGO_ENABLED=0 $(GO) -C bench/peers build -trimpath -o ../../$(PEERS) .

.PHONY: lint
lint: ## gofmt, vet, the linter that is installed, and this project's own rules
	@unformatted="$$($(GO) list -f '{{.Dir}}' ./... | xargs $$($(GO) env GOROOT)/bin/gofmt -l)"; \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) -C bench/peers vet ./...
	@PATH="$$PATH:$$($(GO) env GOPATH)/bin"; \
	if command -v golangci-lint >/dev/null; then echo golangci-lint run ./...; golangci-lint run ./... && cd bench/peers && golangci-lint run ./...; \
	elif command -v staticcheck >/dev/null; then echo staticcheck ./...; staticcheck ./...; \
	else echo "skipped: neither golangci-lint nor staticcheck is on PATH or in GOPATH/bin"; fi
	$(GO) run ./tools/lint

.PHONY: sim
sim: build ## SEEDS (2000) simulated clusters under every fault, held to what consensus promises
	$(BINARY) sim --profile chaos --seeds $(SEEDS)

# One fuzz target at a time is what the go command can do.
.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (10s)
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' cmd dataplane paxos tools | sort | \
	while IFS=: read -r file target; do \
		target="$${target#func }"; folder="$$(dirname "$$file")"; \
		echo "== $$target in $$folder for $(FUZZTIME)"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$folder" || exit 1; \
	done

.PHONY: model
model: ## check the protocol's model, and that it sees each broken rule (needs spin and a C compiler)
	@$(GO) run ./tools/model $(MODELFLAGS)

.PHONY: mutants
mutants: ## break the protocol on purpose, each way that we know, and see the simulator notice
	$(GO) run ./tools/mutants $(MUTANTFLAGS)

.PHONY: bench
bench: build ## every scenario of the bench, short, and a page with plots in MEASURED (out/measured)
	$(BINARY) bench all --quick --out $(MEASURED)
	$(BINARY) bench report $(MEASURED)

# UPDATE=1 keeps what is counted now, instead of comparing with what was kept.
.PHONY: bench-check
bench-check: ## what does not depend on the machine (allocations, frames, instructions), against bench/counts.txt
	@$(GO) run ./tools/counts $(if $(filter 1,$(UPDATE)),-update)

.PHONY: lab-up
lab-up: build ## build the lab: a namespace, a link for each node, a switch
	$(BINARY) lab up

.PHONY: lab-down
lab-down: build ## tear the lab down
	$(BINARY) lab down
