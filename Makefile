# Tools run by version and stay out of go.mod.
# Its cache is the clone's own: what it keeps of one clone it reports in another, even when that is gone.
GOLANGCI_LINT := GOLANGCI_LINT_CACHE=$(CURDIR)/.lint-cache go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2
APIDIFF := go run golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4

MODULE := github.com/go-eventhubs/eventhubs
# The other modules of this repository.
MODULES := internal/cmd/chart eventhubsotel eventhubsotel/examples/service

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Send, receive, kill, resume on this machine alone; AUTH=passwordless: over TLS, with DefaultAzureCredential
	go run ./internal/cmd/demo $(if $(AUTH),-auth $(AUTH))

GOTEST = GORACE=atexit_sleep_ms=0 GOGC=400 go test -race -timeout 8m -p $$(($$(getconf _NPROCESSORS_ONLN) * 3 / 2))

# The packages that take longest, or wait most, come first, so that none is left running alone at the end.
LONGEST := ./internal/guarantee ./eventhubstest ./internal/cmd/soak . ./internal/receive ./internal/server/amqp ./internal/docs ./internal/send

.PHONY: test test-matrix test-root $(MODULES:%=test-in-%)
# A package with tests in virtual time uses one processor (internal/leaktest), and some wait for processes or sockets: so
# more run at once than there are processors, and the fault matrix and the other modules run beside the rest. What they
# share is compiled before. The race detector sleeps for a second before a program ends, in case a goroutine that is left
# races; internal/leaktest has found by then that there is none. Collecting garbage less often takes memory and saves time.
test: ## Run all tests, with the race detector
	@go build -race ./...
	@$(MAKE) -j --no-print-directory test-matrix test-root $(MODULES:%=test-in-%)

test-matrix:
	$(GOTEST) -run '^TestMatrix$$' ./internal/guarantee

test-root:
	$(GOTEST) -skip '^TestMatrix$$' $(LONGEST) ./...

$(MODULES:%=test-in-%): test-in-%:
	cd $* && $(GOTEST) ./...

.PHONY: lint
lint: ## Check the code: gofmt, go vet (for windows and darwin as well), golangci-lint
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not gofmt-ed:" $$unformatted; exit 1; fi
	go vet ./...
	GOOS=windows go vet ./...
	GOOS=darwin go vet ./...
	for module in $(MODULES); do (cd $$module && go vet ./...) || exit 1; done
	$(GOLANGCI_LINT) run ./...
	for module in $(MODULES); do (cd $$module && $(GOLANGCI_LINT) run -c $(CURDIR)/.golangci.yml ./...) || exit 1; done

.PHONY: bench
bench: ## Measure beside the raw SDK; OUT=docs/bench.json keeps the figures for make chart
	go run ./internal/cmd/bench $(if $(OUT),-out $(OUT))
	cd eventhubsotel && go run ./internal/cmd/bench

.PHONY: chart
chart: ## Draw docs/bench.svg from docs/bench.json, and write its figures into the documents
	cd internal/cmd/chart && go run . -in ../../../docs/bench.json -out ../../../docs/bench.svg ../../../README.md ../../../docs/performance.md

.PHONY: interop
interop: ## Run Microsoft's clients for Python, JavaScript, Java and Go against the local server
	go run ./internal/cmd/interop -write docs/compatibility.md

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
	go run ./internal/cmd/soak -for $(or $(SOAK),10m)

.PHONY: simulate
simulate: ## Run SIM (default 24h) of virtual time in which all that can goes wrong; SEED=n repeats a run; CONCURRENCY=16
	@cd internal/cmd/simulate && SIM=$(or $(SIM),24h) SEED=$(or $(SEED),0) CONCURRENCY=$(or $(CONCURRENCY),1) \
		go test -count=1 -timeout 0 -run '^TestSimulation$$'

.PHONY: cover
cover: ## Say how much of what users link the tests reach, and which lines of the root package none does
	go test -timeout 5m -coverprofile=cover.out -coverpkg="$$(go list -deps . ./eventhubstest/... | grep '^$(MODULE)' | tr '\n' ',' | sed 's/,$$//')" \
		$$(go list ./... | grep -v -e internal/cmd/soak -e internal/docs) >cover-tests.out || { cat cover-tests.out; exit 1; }
	@go run ./internal/cmd/cover cover.out

.PHONY: apidiff
apidiff: ## Compare the exported API with the last tag
	@tag=$$(git describe --tags --abbrev=0 2>/dev/null) || { echo "apidiff: there is no tag yet, so there is nothing to compare with"; exit 0; }; \
	old=$$(mktemp -d) && trap 'git worktree remove --force $$old' EXIT && git worktree add -q --detach $$old $$tag && \
	{ (cd $$old && $(APIDIFF) -m -w $$old/api.out $(MODULE)) && $(APIDIFF) -m $$old/api.out $(MODULE) >$$old/diff.out; } 2>$$old/log.out || { cat $$old/log.out; exit 1; }; \
	echo "apidiff: what has changed since $$tag:"; if [ -s $$old/diff.out ]; then cat $$old/diff.out; else echo "nothing"; fi

.PHONY: azure
azure: ## Send and receive on real Azure: the namespace and storage that the environment names
	EVENTHUBS_AZURE=1 go test -count=1 -v -timeout 5m -run '^TestAzure$$' ./internal/cmd/azure
