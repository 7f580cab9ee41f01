package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

const (
	azuriteFolder = "azurite"
	// The tests of the blob server use the emulators' well-known account, and empty it. So checkpoints are in another one.
	testAccount       = blob.DevelopmentAccount
	testKey           = blob.DevelopmentKey
	checkpointAccount = "checkpoints"
	// azuriteTime is how long Azurite may take to start.
	azuriteTime = 30 * time.Second
)

// azuriteServer is Microsoft's emulator of a storage account, as a process of its own that keeps everything in memory.
type azuriteServer struct {
	cmd *exec.Cmd
	url string
	log tail
}

var azuriteListens = regexp.MustCompile(`listens on (http://[0-9.:]+)`)

// startAzurite installs Azurite from its lock file and starts it on a free port.
func startAzurite(ctx context.Context, folder string) (*azuriteServer, error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%s is not installed", program)
		}
	}
	source, err := filepath.Abs(filepath.Join(driverFolders, azuriteFolder))
	if err != nil {
		return nil, err
	}
	program := filepath.Join(source, "node_modules", "azurite", "dist", "src", "blob", "main.js")
	if _, err := os.Stat(program); err != nil {
		if err := install(ctx, source, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
			return nil, err
		}
	}
	a := &azuriteServer{}
	a.cmd = exec.Command("node", program, "--blobPort", "0", "--skipApiVersionCheck", "--disableTelemetry",
		"--inMemoryPersistence", "--silent")
	a.cmd.Dir = folder
	a.cmd.Env = append(os.Environ(), "AZURITE_ACCOUNTS="+checkpointAccount+":"+checkpointKey()+";"+testAccount+":"+testKey)
	a.cmd.Stderr = &a.log
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := a.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Azurite: %w", err)
	}
	listens := make(chan string, 1)
	go func() {
		defer close(listens)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := azuriteListens.FindStringSubmatch(lines.Text()); m != nil {
				listens <- m[1]
			}
		}
	}()
	select {
	case a.url = <-listens:
		if a.url != "" {
			return a, nil
		}
		err = errors.New("it has ended")
	case <-time.After(azuriteTime):
		err = fmt.Errorf("it does not listen after %v", azuriteTime)
	case <-ctx.Done():
		err = ctx.Err()
	}
	a.close()
	return nil, fmt.Errorf("start Azurite: %w: %s", err, a.log.String())
}

func checkpointKey() string { return base64.StdEncoding.EncodeToString([]byte("of no secret at all")) }

// connectionString is for one of the accounts.
func (a *azuriteServer) connectionString(account, key string) string {
	return fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=%s/%s;",
		account, key, a.url, account)
}

func (a *azuriteServer) close() {
	_ = a.cmd.Process.Kill() // it has nothing to save
	_ = a.cmd.Wait()
}
