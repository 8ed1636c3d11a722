package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is a small change that breaks a promise, and the test that has to notice.
type mutant struct {
	name    string // unique, in kebab-case; begins with the name of its list
	file    string // slash-separated, from the root of the checkout
	old     string // what stands there, exactly once
	new     string // what is put there; it compiles
	promise string // a sentence: what holds as long as nobody makes this change
	pkg     string // where the test is, as `go test` takes it
	run     string // which test, as `go test -run` takes it
}

// all returns the mutants of every list.
func all() []mutant {
	return slices.Concat(
		accessMutants, agingMutants, apiMutants, batchMutants,
		askedSweepMutants,
		catalogueMutants,
		clientMutants,
		configMutants,
		coreMutants,
		dispatchMutants,
		fanoutConfigMutants,
		fanoutMutants,
		fanoutViewMutants,
		faultMutants,
		fourthDispatchMutants, fourthHealMutants, fourthLedgerMutants, fourthSourceMutants, fifthStreamMutants, fifthAPIMutants,
		fifthDispatchMutants, fifthRelayMutants, fifthConfigMutants, fifthWebhookMutants, fifthQueryMutants, sixthRelayMutants,
		freshMutants, freshAgainMutants, freshThirdMutants, freshSixthMutants, freshSeventhMutants, sixthDoctorMutants, sixthPanelMutants,
		seventhPanelMutants, seventhWiringMutants,
		healMutants,
		healSweepMutants,
		holdMutants,
		http2Mutants,
		huntMutants, huntAgainMutants, huntEgressMutants, ninthMutants,
		tenthMutants, tenthLedgerMutants, tenthWireMutants, tenthPanelMutants, tenthConfigMutants,
		eleventhStreamMutants, eleventhConfigMutants, eleventhSendMutants,
		twelfthStreamMutants, twelfthSendMutants, twelfthAPIMutants, twelfthSampleMutants,
		intakeSweepMutants,
		jetstreamMutants,
		judgeMutants,
		keyMutants,
		leaseMutants,
		ledgerMutants,
		ledgerSweepMutants,
		linkMutants,
		operateMutants,
		outboxMutants,
		panelActsMutants,
		panelMutants,
		payloadMutants,
		portalMutants,
		processMutants,
		queryMutants,
		querySweepMutants,
		queueMutants,
		reachMutants,
		readSweepMutants,
		readerMutants,
		sampleMutants,
		scanSweepMutants,
		scepticMutants,
		schemaMutants,
		searchMutants,
		secondStrangersMutants,
		secondStrangersOuterMutants,
		setupMutants,
		signatureMutants, sixthCmdMutants,
		sourceMutants,
		sourceSweepMutants,
		spillSweepMutants,
		strangersMutants,
		telemetryMutants,
		tracingMutants,
		upkeepAgainMutants,
		upkeepPageMutants,
		upkeepSweepMutants,
		versionMutants,
		webhookMutants,
		whenMutants,
		whereMutants,
		wireMutants,
		wiringSweepMutants,
	)
}

// apply returns content with the mutant's change made in it.
func (m mutant) apply(content string) (string, error) {
	switch n := strings.Count(content, m.old); {
	case m.old == m.new:
		return "", fmt.Errorf("%s: changes nothing", m.name)
	case n == 0:
		return "", fmt.Errorf("%s: its place is not in %s any more", m.name, m.file)
	case n > 1:
		return "", fmt.Errorf("%s: its place stands %d times in %s, name more of what is around it", m.name, n, m.file)
	}
	return strings.Replace(content, m.old, m.new, 1), nil
}

// check reports what is wrong with a list whose places are below root; nil if nothing is.
func check(list []mutant, root string) []error {
	var problems []error
	seen := make(map[string]bool, len(list))
	for _, m := range list {
		if seen[m.name] {
			problems = append(problems, fmt.Errorf("%s: the name is taken twice", m.name))
		}
		seen[m.name] = true
		if m.promise == "" || m.run == "" || m.pkg == "" {
			problems = append(problems, fmt.Errorf("%s: promise, pkg and run must be there", m.name))
		}
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file)))
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: read its file: %w", m.name, err))
			continue
		}
		if _, err := m.apply(string(content)); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// choose returns n mutants of list, picked by seed, in the list's order; all of them if n is 0.
func choose(list []mutant, n int, seed uint64) []mutant {
	if n == 0 || n >= len(list) {
		return list
	}
	places := shuffled(len(list), seed)[:n]
	slices.Sort(places)
	chosen := make([]mutant, n)
	for i, place := range places {
		chosen[i] = list[place]
	}
	return chosen
}
