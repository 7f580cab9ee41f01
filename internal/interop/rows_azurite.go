package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// azuriteVariable names the environment variable with the connection string of the account that tests are run against in place of ours.
const azuriteVariable = "EVENTHUBS_AZURITE"

// storeSuite runs what every checkpoint store has to pass, with ours on Azurite.
func storeSuite(ctx context.Context, s *scene) error {
	return goTest(ctx, s.tests, ".", "^TestBlobCheckpointStore$")
}

// blobTests runs those tests of the blob server that don't look behind its back.
func blobTests(ctx context.Context, s *scene) error {
	return goTest(ctx, s.tests, "./internal/blob", ".")
}

func goTest(ctx context.Context, account, pkg, tests string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", tests, pkg)
	cmd.Env = append(os.Environ(), azuriteVariable+"="+account)
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = partingTime
	if out, err := cmd.CombinedOutput(); err != nil {
		var failed []string
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "--- FAIL") {
				failed = append(failed, strings.TrimSpace(line))
			}
		}
		return fmt.Errorf("go test %s: %w: %s", pkg, err, strings.Join(failed, "; "))
	}
	return nil
}
