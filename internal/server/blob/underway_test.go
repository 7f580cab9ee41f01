package blob_test

import (
	"bytes"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// The bodies of requests and answers in flight are bounded over all clients, and stop counting when they have arrived.
func TestBodiesUnderway(t *testing.T) {
	s := serve(t, blob.Options{}, (*httptest.Server).Start)
	c := s.created(t, "slow")
	const size = 1 << 20
	upload := func() error {
		_, err := c.NewBlockBlobClient("a").Upload(ctx(t), nopCloser{bytes.NewReader(make([]byte, size))}, nil)
		return err
	}
	download := func() error {
		r, err := c.NewBlobClient("a").DownloadStream(ctx(t), nil)
		if err == nil {
			r.Body.Close()
		}
		return err
	}
	account := s.storage.(*blob.Account)
	require.NoError(t, upload())
	done := account.Underway(blob.MaxUnderway - size/2)
	requireCode(t, upload(), 503, "ServerBusy")
	requireCode(t, download(), 503, "ServerBusy")
	_, err := c.NewBlobClient("a").GetProperties(ctx(t), nil)
	require.NoError(t, err, "a request without a body succeeds")
	done()
	require.NoError(t, upload())
	require.NoError(t, download())
	require.Eventually(t, func() bool { // the answer is counted until it is written
		done := account.Underway(blob.MaxUnderway)
		if done != nil {
			done()
		}
		return done != nil
	}, 10*time.Second, time.Millisecond, "all of it is free again")
}
