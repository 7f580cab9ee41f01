package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// emulator is examples/emulator, as a user starts it: on the default ports.
type emulator struct {
	process *program
	printed []string          // lines
	script  string            // the file that holds them
	values  map[string]string // of the variables that it prints
}

var exported = regexp.MustCompile(`^export (\w+)='(.*)'$`)

// lastLine begins the line after which the emulator is ready.
const lastLine = "# The emulator is ready"

// startEmulator starts the emulator with one event hub and records what it prints. If another program uses its ports,
// the row is skipped.
func (s *scene) startEmulator(ctx context.Context, folder string, args ...string) (*emulator, error) {
	p, err := startProgram("emulator", variables("TMPDIR="+folder), filepath.Join(s.tools.programs, "emulator"), args...)
	if err != nil {
		return nil, err
	}
	e := &emulator{process: p, values: map[string]string{}}
	for {
		line, ok, err := p.line(ctx)
		if err == nil && !ok {
			<-p.ended
			err = fmt.Errorf("the emulator has ended: %w: %s", p.err, p.log.String())
			err = taken(err)
		}
		if err != nil {
			p.close()
			return nil, err
		}
		e.printed = append(e.printed, line)
		if m := exported.FindStringSubmatch(line); m != nil {
			e.values[m[1]] = m[2]
		}
		if strings.HasPrefix(line, lastLine) {
			break
		}
	}
	e.script = filepath.Join(folder, "environment.sh")
	if err := os.WriteFile(e.script, []byte(strings.Join(e.printed, "\n")+"\n"), 0o600); err != nil {
		p.close()
		return nil, err
	}
	return e, nil
}

// taken makes the error of an address in use a reason to skip the row. It returns other errors as they are.
func taken(err error) error {
	if strings.Contains(err.Error(), "address already in use") {
		return unsupported("another program listens on a port that this row needs: %v", err)
	}
	return err
}

func (e *emulator) close() { e.process.close() }

// run starts a program in exactly the environment that the emulator has printed.
func (e *emulator) run(name, command string, args ...string) (*program, error) {
	line := append([]string{"-c", `. "$0" && exec "$@"`, e.script, command}, args...)
	return startProgram(name, variables(), "sh", line...)
}

// checkpointed is the highest sequence number that a checkpoint in the emulator's container covers, or -1.
func (e *emulator) checkpointed(ctx context.Context) (int64, error) {
	pem, err := os.ReadFile(e.values["SSL_CERT_FILE"])
	if err != nil {
		return -1, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	key, err := container.NewSharedKeyCredential(blob.DevelopmentAccount, blob.DevelopmentKey)
	if err != nil {
		return -1, err
	}
	c, err := container.NewClientWithSharedKeyCredential(
		e.values["BLOB_STORAGE_ACCOUNT_URL"]+"/"+e.values["BLOB_CONTAINER_NAME"], key,
		&container.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: transport}}})
	if err != nil {
		return -1, err
	}
	last := int64(-1)
	list := &container.ListBlobsFlatOptions{Include: container.ListBlobsInclude{Metadata: true}}
	for pages := c.NewListBlobsFlatPager(list); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return -1, err
		}
		for _, b := range page.Segment.BlobItems {
			for name, v := range b.Metadata {
				if n, err := strconv.ParseInt(*v, 10, 64); err == nil && strings.EqualFold(name, "sequencenumber") {
					last = max(last, n)
				}
			}
		}
	}
	return last, nil
}
