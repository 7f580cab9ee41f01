package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// azuriteVariable names the environment variable with the connection string of the account that tests use instead of
// the local server's.
const azuriteVariable = "EVENTHUBS_AZURITE"

// storeSuite runs the tests that every checkpoint store has to pass, with our blob store on Azurite.
func storeSuite(ctx context.Context, s *scene) error {
	return s.goTest(ctx, ".", "^TestBlobCheckpointStoreOnAzurite$")
}

// blobTests runs those tests of the blob server that only use its protocol.
func blobTests(ctx context.Context, s *scene) error {
	return s.goTest(ctx, "./internal/server/blob", ".")
}

// goTest runs tests of a package, and notes how many there were and why some were left out.
func (s *scene) goTest(ctx context.Context, pkg, tests string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", tests, pkg)
	cmd.Env = append(os.Environ(), azuriteVariable+"="+s.tests)
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = partingTime
	out, err := cmd.CombinedOutput()
	there, failed, why := 0, []string{}, map[string]bool{}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "--- FAIL"):
			failed = append(failed, line)
		case strings.HasSuffix(line, ": on Azurite"): // each test on Azurite logs this
			there++
		case strings.Contains(line, "_test.go") && strings.Contains(line, ": Azurite "):
			_, reason, _ := strings.Cut(line, ": ")
			why[reason] = true
		}
	}
	if err != nil {
		return fmt.Errorf("go test %s: %w: %s", pkg, err, strings.Join(failed, "; "))
	}
	if there == 0 {
		return fmt.Errorf("go test %s: no test was run on Azurite", pkg)
	}
	s.note("%d tests on Azurite", there)
	for _, reason := range slices.Sorted(maps.Keys(why)) {
		s.note("a test is left out: %s", reason)
	}
	return nil
}
