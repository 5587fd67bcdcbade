# `make` lists the targets. It needs Go, GNU make, and a C compiler for the race
# detector, but neither root nor, except for `make vuln`, a network beyond the Go
# module proxy.

SHELL         := /bin/sh
.SHELLFLAGS   := -ec
.DEFAULT_GOAL := help
MAKEFLAGS     += --no-builtin-rules --no-print-directory

GO ?= go

# The flags of `make demo`.
DEMO_FLAGS ?= --fault panic --stale --check --out out/snowball

TEST_TIMEOUT ?= 10m
FUZZTIME     ?= 10s
COUNT        ?= 6
FAULTS_FLAGS ?= -markdown
BENCH        ?= .
BENCH_PKGS   ?= ./courier/... ./cache/... ./partition/ ./registry/...
SEEDS        ?= 100000
SOAK         ?= 3m
SOAK_SEED    ?= 0

# The platforms of `make portable`. One is arm64 and one has 32 bits. Packages that
# need no sockets are built for browsers. The cores are also tested with 32 bits.
PLATFORMS ?= windows/amd64 darwin/arm64 freebsd/amd64 linux/386
BROWSER   := ./partition ./courier ./cache ./cache/internal/...
CORES     := $(BROWSER) ./registry \
	$(addprefix ./registry/internal/,explore feed hlc replica sim wire)

# The folders of this module's packages.
TESTED := $(filter-out benchmarks tools docs testdata bin out,$(patsubst %/,%,$(wildcard */)))

# benchmarks/ is a module of its own, so that its dependencies stay out of this one.
NESTED := $(wildcard benchmarks/go.mod)

# Tools are built from the versions that tools/go.mod pins, into a folder named
# after the version of Go: a linter can read only the export data of the release
# that built it.
TOOLS     = bin/tools/$(shell $(GO) env GOVERSION)
GOLANGCI  = $(TOOLS)/golangci-lint
GOVULN    = $(TOOLS)/govulncheck
BENCHSTAT = $(TOOLS)/benchstat

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build bin/cachebench
	$(GO) build -o bin/cachebench ./cmd/cachebench

.PHONY: demo
demo: build ## Show the snowball without the fix, with it, and with stale values; report in out/snowball
	@mkdir -p out
	bin/cachebench snowball $(DEMO_FLAGS)

# Many tests wait for clocks and sockets, so one package more runs at a time than there are
# processors. With more, nodes of a cluster that are starved take each other for dead.
P = $(shell echo $$((1 + $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2))))

GO_TEST = $(GO) test -p $(P) -timeout $(TEST_TIMEOUT)

# vet runs with -race, so that the tests reuse its builds. The linter and portable vet without it.
.PHONY: test
test: ## Vet and test under the race detector, without the long tests (10 minutes on two cores)
	$(GO) vet -race ./...
	$(GO_TEST) -race -short ./...

.PHONY: check
check: check-quick test-long ## Everything: the long tests too, lint, other systems (40 minutes on two cores)

.PHONY: check-quick
check-quick: test test-norace test-bench lint portable tidy-check ## Check without the long tests under the race detector; CI runs it with less

# The packages are found by the text of their tests, so that the list is complete.
packages_with = $$(grep -rl --include='*_test.go' '$(1)' $(TESTED) | xargs -n 1 dirname | sort -u | sed 's,^,./,')

.PHONY: test-long
test-long: ## The packages that have tests which -short leaves out, in full, under the race detector (8 minutes)
	$(GO_TEST) -race $(call packages_with,testing\.Short())

# NORACE_FLAGS=-short leaves out the long tests.
.PHONY: test-norace
test-norace: ## The packages that have tests which the race detector leaves out, in full, without it
	$(GO_TEST) $(NORACE_FLAGS) $(call packages_with,^//go:build !race$$)

# Without the race detector: it would take minutes to compile the other libraries, and SQLite.
.PHONY: test-bench
test-bench: ## Vet and test benchmarks/, a module of its own
ifneq ($(NESTED),)
	cd benchmarks && $(GO) vet ./... && $(GO_TEST) ./...
endif

# If the empty test can't start, the machine does not run such programs. Any other failure is a bug.
.PHONY: portable
portable: ## Build and vet the packages for other systems and 32 bit; test the cores as linux/386
	@export CGO_ENABLED=0; \
	check() { echo "portable: $$GOOS/$$GOARCH, $$PWD: $$*"; $(GO) build "$$@"; $(GO) vet "$$@"; }; \
	for p in $(PLATFORMS); do \
		export GOOS=$${p%/*} GOARCH=$${p#*/}; \
		check ./...; \
	done; \
	export GOOS=js GOARCH=wasm; check $(BROWSER); \
	export GOOS=linux GOARCH=386; \
	$(GO) vet $(CORES); \
	out=$$($(GO) test -count 1 -run '^$$' ./registry/internal/hlc 2>&1) || case $$out in \
		*fork/exec*) echo "portable: this machine runs no linux/386 tests: left out"; exit 0 ;; \
		*) printf '%s\n' "$$out" >&2; exit 1 ;; \
	esac; \
	$(GO) test -short -timeout $(TEST_TIMEOUT) $(CORES)

# The linter spends a third of its time on garbage collection, unless it may use more memory.
.PHONY: lint
lint: export GOGC = 400
lint: export GOMEMLIMIT = 4GiB
lint: tool-golangci-lint ## golangci-lint, as pinned in tools/go.mod (the first run builds it: some minutes)
	$(GOLANGCI) run ./...
ifneq ($(NESTED),)
	cd benchmarks && ../$(GOLANGCI) run --config ../.golangci.yml ./...
endif

.PHONY: fmt
fmt: tool-golangci-lint ## Format the code as the linter wants it
	$(GOLANGCI) fmt ./...
ifneq ($(NESTED),)
	cd benchmarks && ../$(GOLANGCI) fmt --config ../.golangci.yml ./...
endif

# `go test -fuzz` takes one target of one package at a time. The list comes from
# the tests themselves: the names come before the line of their package.
.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@list=$$($(GO) test -list '^Fuzz' ./...); \
	targets=$$(printf '%s\n' "$$list" | awk '/^Fuzz/ { name[n++] = $$1 } \
		$$1 == "ok" { for (i = 0; i < n; i++) print $$2, name[i]; n = 0 }'); \
	[ -n "$$targets" ] || { echo "no fuzz target found" >&2; exit 1; }; \
	printf '%s\n' "$$targets" | while read -r pkg name; do \
		echo "fuzz $$pkg $$name for $(FUZZTIME)"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$pkg" </dev/null || exit 1; \
	done

.PHONY: sim
sim: ## Run the registry's simulator over SEEDS (100000) seeds; prints seeds per second
	$(GO) test ./registry/internal/sim -run '^TestSeeds$$' -count 1 -timeout 0 -v -sim.seeds $(SEEDS)

# With SOAK_SEED=0 the soak chooses a seed and prints it.
.PHONY: soak
soak: ## Random faults on a cluster of caches for SOAK (3m), from SOAK_SEED
	$(GO) test ./cache/cluster/internal/clustertest -run '^TestSoak$$' -count 1 -timeout 0 -v -soak $(SOAK) -soak.seed $(SOAK_SEED)

.PHONY: explore
explore: ## Explore more of the registry's small worlds than the tests do (minutes, and some GiB)
	$(GO) test ./registry/internal/explore -run Deep -count 1 -timeout 0 -v -explore.deep

# The status of a pipe is that of its last command, so failures are read from the output.
.PHONY: bench
bench: tool-benchstat ## Benchmarks of the packages, COUNT (6) times each, with a summary
	@mkdir -p out
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(BENCH_PKGS) | tee out/bench.txt
	@if grep '^FAIL' out/bench.txt >&2; then exit 1; fi
	$(BENCHSTAT) out/bench.txt

# COMPARE_FLAGS and TRACES can be given: make bench-compare COMPARE_FLAGS=-quick
.PHONY: bench-compare
bench-compare: ## Benchmarks and hit ratios beside other libraries (half an hour); report in out/bench
ifneq ($(NESTED),)
	@mkdir -p out/bench
	cd benchmarks && $(GO) run ./hitratio $(foreach t,$(TRACES),-trace $(abspath $(t))) -svg ../out/bench
	cd benchmarks && $(GO) run ./compare $(COMPARE_FLAGS)
else
	@echo "there is no benchmarks/ module in this checkout" >&2; exit 1
endif

# SERVICE_FLAGS can be given: make bench-service SERVICE_FLAGS=-quick
.PHONY: bench-service
bench-service: ## A whole service with each library as its cache (15 minutes); report in out/bench
ifneq ($(NESTED),)
	@mkdir -p out/bench
	cd benchmarks && $(GO) run ./service -json ../out/bench/service.json \
		-svg ../out/bench $(SERVICE_FLAGS)
else
	@echo "there is no benchmarks/ module in this checkout" >&2; exit 1
endif

.PHONY: bench-service-docs
bench-service-docs: ## Put what bench-service measured last into docs/; prints the tables of performance.md
	@cp out/bench/service-p99.svg out/bench/service-p99.9.svg docs/
	@cd benchmarks && $(GO) run ./service -from ../out/bench/service.json >../docs/reports/service.txt
	@cd benchmarks && $(GO) run ./service -from ../out/bench/service.json -markdown

# SECOND_FLAGS can be given: make bench-second SECOND_FLAGS='-rounds 1 -markdown'
.PHONY: bench-second
bench-second: ## A second level beside another library's, on one Valkey or Redis server (2 minutes)
ifneq ($(NESTED),)
	cd benchmarks && $(GO) run ./second $(SECOND_FLAGS)
else
	@echo "there is no benchmarks/ module in this checkout" >&2; exit 1
endif

# FAULTS_FLAGS can be given: make fault-matrix FAULTS_FLAGS='-only hang-hot'
.PHONY: fault-matrix
fault-matrix: ## What other libraries do when a load goes wrong: tables (75 seconds)
ifneq ($(NESTED),)
	cd benchmarks && $(GO) run ./faults $(FAULTS_FLAGS)
else
	@echo "there is no benchmarks/ module in this checkout" >&2; exit 1
endif

# AGAINST_FLAGS can be given: make snowball-against AGAINST_FLAGS='--fault hang --against otter'
.PHONY: snowball-against
snowball-against: ## The snowball through other libraries, side by side (a minute); report in out/against
ifneq ($(NESTED),)
	$(GO) build -C benchmarks -o ../bin/against ./cachebench
	bin/against snowball --out out/against $(AGAINST_FLAGS)
else
	@echo "there is no benchmarks/ module in this checkout" >&2; exit 1
endif

# The outputs that docs/ quotes. Each file begins with its command.
REPORTS = snowball-panic snowball-hang snowball-stale faults run-trace registry-split cluster-kill memory \
	store-kill store-pause
REPORT_snowball-panic = snowball --fault panic --check --quiet
REPORT_snowball-hang  = snowball --fault hang --check --quiet
REPORT_snowball-stale = snowball --stale --fault hang --check --quiet
REPORT_faults         = faults --check --quiet
REPORT_run-trace      = run --trace testdata/traces/small.arc --capacity 500 --compare-lru --quiet
REPORT_registry-split = registry --disturb split --check --quiet
REPORT_cluster-kill   = cluster --disturb kill --duration 9s --start 3s --end 6s --check --quiet
REPORT_store-kill     = store --check --quiet
REPORT_store-pause    = store --disturb pause --check --quiet
REPORT_memory         = memory --stores map,snowfence-uncompact,snowfence --gogc 100 --limit none --ttl 0 --quiet

.PHONY: reports $(addprefix report-,$(REPORTS))
reports: $(addprefix report-,$(REPORTS)) ## Make the outputs under docs/reports anew (two minutes on a quiet machine)

$(addprefix report-,$(REPORTS)): report-%: build
	@echo "docs/reports/$*.txt"
	@out=$$(bin/cachebench $(REPORT_$*)) && \
		printf '$$ bin/cachebench %s\n%s\n' '$(REPORT_$*)' "$$out" >docs/reports/$*.txt

# SCALE_NODES skips larger clusters: make scale SCALE_NODES=100 takes seconds.
SCALE_NODES ?= 1000

.PHONY: scale
scale: ## What a large registry costs, simulated and computed (ten minutes, 3 GiB); curves of docs/scale.md
	$(GO) test ./registry/internal/scale -run 'TestScale$$' -scale -scale.nodes $(SCALE_NODES) -scale.out $(abspath docs) -v -timeout 0

.PHONY: bench-check
bench-check: ## Fail if named benchmarks became slower since BASE (the last tag, or HEAD~1)
ifneq ($(NESTED),)
	cd benchmarks && $(GO) run ./compare check $(if $(BASE),-base $(BASE)) $(CHECK_FLAGS)
else
	@echo "there is no benchmarks/ module in this checkout" >&2; exit 1
endif

.PHONY: cover
cover: ## Test coverage: a total here, the lines in out/cover.html
	@mkdir -p out
	$(GO) test -timeout $(TEST_TIMEOUT) -coverpkg ./... -coverprofile out/cover.out ./...
	$(GO) tool cover -html out/cover.out -o out/cover.html
	@$(GO) tool cover -func out/cover.out | tail -n 1

# VULNDB names another copy of the vulnerability database, for example a folder.
.PHONY: vuln
vuln: tool-govulncheck ## govulncheck (asks the Go vulnerability database over the network)
	$(GOVULN) $(if $(VULNDB),-db $(VULNDB) ,)./...

.PHONY: tidy-check
tidy-check: ## Fail where a go.mod or go.sum is not tidy
	$(GO) mod tidy -diff
	cd tools && $(GO) mod tidy -diff
ifneq ($(NESTED),)
	cd benchmarks && $(GO) mod tidy -diff
endif

.PHONY: clean
clean: ## Remove what the other targets made (bin/ and out/)
	rm -rf bin out

# Each tool has two rules. The file rule builds it, again whenever the pins change. The
# phony one avoids a call of `go env` for every other target. GOFLAGS apply only to the
# project's code: -race or -mod=vendor would break a tool.
.PHONY: tool-golangci-lint tool-govulncheck tool-benchstat
tool-golangci-lint:
	@$(MAKE) -s $(GOLANGCI)
tool-govulncheck:
	@$(MAKE) -s $(GOVULN)
tool-benchstat:
	@$(MAKE) -s $(BENCHSTAT)

bin/tools/%: tools/go.mod tools/go.sum
	@mkdir -p $(@D)
	@echo "building $(@F), as pinned in tools/go.mod; this happens once"
	@cd tools && export GOFLAGS= && $(GO) build -buildvcs=false -o ../$@ \
		$$($(GO) list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' tool | grep '/$(@F)$$')
	@touch $@
