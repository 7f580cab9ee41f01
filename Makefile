# Tools run by version and stay out of go.mod.
GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Send, receive, kill, resume on this machine alone; AUTH=passwordless: over TLS, with DefaultAzureCredential
	go run ./internal/demo $(if $(AUTH),-auth $(AUTH))

.PHONY: test
test: ## Run all tests, with the race detector
	go test -race -timeout 5m $$(go list ./... | grep -v internal/soak)
	go test -race -timeout 5m ./internal/soak

.PHONY: lint
lint: ## Check the code: gofmt, go vet, golangci-lint
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not gofmt-ed:" $$unformatted; exit 1; fi
	go vet ./...
	$(GOLANGCI_LINT) run ./...

.PHONY: bench
bench: ## Measure beside the raw SDK: every row of the design's figures
	go run ./internal/bench

.PHONY: interop
interop: ## Run Microsoft's clients for Python, JavaScript, Java and Go against the local server
	go run ./internal/interop -write docs/compatibility.md

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (default 30s)
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(or $(FUZZTIME),30s) -fuzzminimizetime 1x $$pkg || exit 1; \
		done; \
	done

.PHONY: soak
soak: ## Run the load test for SOAK (default 10m): processes killed, connections dropped, storage down
	go run ./internal/soak -for $(or $(SOAK),10m)
