# Tailpost: `make help` says what there is.

.DEFAULT_GOAL := help
SHELL := /usr/bin/env bash
.SHELLFLAGS := -eu -o pipefail -c

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
FUZZTIME ?= 10s
MUTANTS  ?= 0
SEED     ?=
COUNT    ?= 100
PAGES    ?= 10000000
SLOW     ?= 20
PIECE    ?= 1/1
BENCH    ?= .
SOAK     ?= 10m
BENCHFLAGS ?=
KEEP     ?=
TARGETS  ?=
OLD      ?=
NEW      ?=
IMAGE    ?= tailpost:$(VERSION)
POSTGRES ?= 14 15 16 17 18

export FUZZTIME VERSION COUNT SLOW PIECE

# Packages share one Postgres and, in CI, two cores. The race detector would sleep for a second at the end of each.
GO_TEST    := env GORACE=atexit_sleep_ms=50 go test -race -shuffle=on -count=1 -p 2 -timeout 40m
# Runs a command beside a throw-away Postgres that all its tests share.
WITH_PG     = PGBIN="$$(.ci/postgres.sh)"; export PGBIN; go run ./integration/pgtest/cmd --
# The panel's tests drive a browser, where there is one or one can be installed.
WITH_BROWSER = CHROMIUM="$$(.ci/chromium.sh)"; export CHROMIUM;
# The integration tests' verifiers run in Node.js.
WITH_NODE   = node="$$(.ci/node.sh)"; export PATH="$${node:+$$node:}$$PATH";

# Tests run Tailpost beside PgBouncer, nginx, squid and receivers in Python.
WITH_PEERS  = .ci/peers.sh;

.PHONY: help
help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## watch rows travel from a throw-away Postgres to two receivers (KEEP=1: keep running, to try by hand)
	PGBIN="$$(.ci/postgres.sh)"; export PGBIN; bin/tailpost demo $(if $(KEEP),--keep)

.PHONY: build
build: ## build bin/tailpost
	.ci/build.sh bin/tailpost

.PHONY: test
test: ## run all tests with the race detector, against a real Postgres (found, or installed)
	$(WITH_PEERS) $(WITH_NODE) $(WITH_BROWSER) $(WITH_PG) $(GO_TEST) ./...

.PHONY: test-short
test-short: ## run the tests without the long ones
	$(WITH_PG) $(GO_TEST) -short ./...

.PHONY: soak
soak: ## hold the promises under random faults for SOAK=10m (FAULTS_SEED=n: begin with the schedule of a run before)
	$(WITH_PG) env TAILPOST_SOAK=$(SOAK) TAILPOST_FAULTS_SEED=$(FAULTS_SEED) \
	  go test -race -count=1 -timeout 0 -v -run 'TestThePromisesHoldUnderFaults|TestAGiantTransaction|TestMoreKeys|TestALargePayload|TestALogThatNobody' ./integration

.PHONY: test-matrix
test-matrix: ## run all tests on each Postgres of POSTGRES="14 15 16 17 18", and say at the end on which they failed
	$(WITH_PEERS) $(WITH_NODE) $(WITH_BROWSER) failed=; for version in $(POSTGRES); do \
	  echo "==> Postgres $$version"; \
	  PGBIN="$$(.ci/postgres.sh $$version)" || { failed="$$failed $$version"; continue; }; \
	  export PGBIN; \
	  go run ./integration/pgtest/cmd -- $(GO_TEST) ./... || failed="$$failed $$version"; \
	done; \
	[ -z "$$failed" ] || { echo "==> failed on Postgres$$failed" >&2; exit 1; }

.PHONY: test-upgrade
test-upgrade: ## move a cluster from the Postgres of OLD=/usr/lib/postgresql/15/bin to that of NEW by pg_upgrade, and see that nothing is lost
	PGBIN_OLD="$(OLD)" PGBIN="$(or $(NEW),$$(.ci/postgres.sh))" go test -count=1 -v -run TestAnUpgradedClusterGoesOn ./integration

.PHONY: alerts
alerts: ## break what each alert rule of examples/prometheus watches, and see it fire and end by Prometheus' own code
	$(WITH_PG) go -C integration/alerts test -count=1 -timeout 20m ./...

.PHONY: chart
chart: ## render the Helm chart by Helm's own packages, and read it by Kubernetes' types
	go -C integration/chart test -count=1 ./...

.PHONY: mutants
mutants: ## break the code in each way of integration/mutants and see that a test notices (MUTANTS=12: a random dozen, SEED=n: that one again)
	$(WITH_PEERS) $(WITH_NODE) $(WITH_BROWSER) $(WITH_PG) go run ./integration/mutants -n $(MUTANTS) -seed "$(SEED)"

.PHONY: gremlins
gremlins: ## turn every operator of the pure packages, and print what their tests miss (PACKAGES="./relay/internal/retry")
	.ci/gremlins.sh $(PACKAGES)

.PHONY: fuzz
fuzz: ## run every fuzz target and every property for FUZZTIME=10s
	$(WITH_PG) .ci/fuzz.sh

.PHONY: flakes
flakes: ## run every test COUNT=100 times, slow ones SLOW=20 times, beside a busy neighbour (PIECE=2/5, PACKAGES=./relay/...)
	$(WITH_NODE) $(WITH_PG) .ci/flakes.sh $(PACKAGES)

.PHONY: bench
bench: build ## measure Tailpost beside net/http and a poller, in one table (BENCHFLAGS="-quick -rows drain -runs 5")
	PGBIN="$$(.ci/postgres.sh)"; export PGBIN; go run ./integration/bench -bin bin/tailpost $(BENCHFLAGS)

.PHONY: pages
pages: ## time every page of the panel among PAGES=10000000 attempts to a thousandth as many endpoints (takes minutes and 5 GB)
	$(WITH_BROWSER) $(WITH_PG) env TAILPOST_PAGES=$(PAGES) go test -count=1 -timeout 60m -v -run 'TestPagesAreQuickAmongMillions|TestThousandsAreResentByClicks' ./integration/panel

.PHONY: screenshots
screenshots: ## keep a picture of every page of the panel and the portal, in every look, in integration/panel/screenshots
	$(WITH_BROWSER) $(WITH_PG) env TAILPOST_SCREENSHOTS=all go test -count=1 -timeout 20m -v -run TestScreenshots ./integration/panel

.PHONY: microbench
microbench: ## run the benchmarks of single functions that match BENCH=.
	$(WITH_PG) go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: lint
lint: ## run golangci-lint (its first build takes some minutes)
	.ci/lint.sh run

.PHONY: fmt
fmt: ## format the code
	.ci/lint.sh fmt

.PHONY: fmt-check
fmt-check: ## fail if `make fmt` would change something
	.ci/lint.sh fmt --diff

.PHONY: image
image: image-check ## build the container image (needs Docker)
	docker build --build-arg VERSION=$(VERSION) -t $(IMAGE) .

.PHONY: image-check
image-check: ## build the image's binary and run it in an empty root, without Docker
	.ci/image-check.sh

.PHONY: reproducible
reproducible: ## build the binary twice, in different places, and compare (TARGETS="linux/arm64 darwin/arm64 windows/amd64")
	TARGETS="$(TARGETS)" .ci/reproducible.sh

.PHONY: cross
cross: ## build the binary for each system that a release is for, and keep none
	for system in linux darwin windows; do GOOS=$$system CGO_ENABLED=0 go build -o /dev/null ./cmd/tailpost; done

.PHONY: release-check
release-check: ## make a release's archives and packages as a snapshot, and look into them (the first time takes many minutes)
	.ci/release-check.sh

.PHONY: clean
clean: ## remove what was built, installed and cached in this folder
	rm -rf bin .cache integration/receivers/node_modules
