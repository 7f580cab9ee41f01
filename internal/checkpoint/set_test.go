package checkpoint_test

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

const zero = lowerCheckpoint + "0"

// The usual checkpoint is one call; what is known to be there already is none.
func TestSetCheckpointCalls(t *testing.T) {
	s := startServer(t)
	s.put(t, zero, at(1))
	store := s.open(t, checkpoint.BlobOptions{Logger: (&logs{}).logger()})
	listed(t, store)
	s.take()
	for _, c := range []struct {
		partition string
		sequence  int64
		want      []string
	}{
		{"0", 2, []string{"PUT 200"}},             // known from the listing
		{"0", 3, []string{"PUT 200"}},             // known from the last write
		{"0", 3, nil},                             // nothing to say
		{"1", 1, []string{"HEAD 404", "PUT 201"}}, // new
		{"1", 2, []string{"PUT 200"}},             //
		{"0", 1, []string{"HEAD 200"}},            // behind: looked up, not written
		{"1", 1, []string{"HEAD 200"}},            //
		{"0", 4, []string{"PUT 200"}},             //
		{"2", 0, []string{"HEAD 404", "PUT 201"}}, //
		{"2", -1, []string{"HEAD 200"}},           //
	} {
		require.NoError(t, store.SetCheckpoint(t.Context(), point(c.partition, c.sequence), nil))
		var got []string
		for _, r := range s.take() {
			got = append(got, r.method+" "+strconv.Itoa(r.status))
		}
		require.Equal(t, c.want, got, "partition %s at %d", c.partition, c.sequence)
	}
	require.Equal(t, []string{"0@4/40", "1@2/20", "2@0/0"}, listed(t, store))
}

func TestSetCheckpointThatIsBehindIsLogged(t *testing.T) {
	s, log := startServer(t), &logs{}
	store := s.open(t, checkpoint.BlobOptions{Logger: log.logger()})
	require.NoError(t, store.SetCheckpoint(t.Context(), point("0", 10), nil))
	require.NoError(t, store.SetCheckpoint(t.Context(), point("0", 10), nil))
	require.Empty(t, log.take(t))
	require.NoError(t, store.SetCheckpoint(t.Context(), point("0", 9), nil))
	require.Equal(t, []string{"WARN " + zero}, log.take(t))
	require.Equal(t, at(10), s.metadata(t, zero))
}

// Deleting a blob, or setting it back, is how somebody makes a consumer read again. A running store goes along with
// it.
func TestSetCheckpointAfterResetByHand(t *testing.T) {
	s := startServer(t)
	store := s.open(t, checkpoint.BlobOptions{})
	set := func(sequence int64) {
		require.NoError(t, store.SetCheckpoint(t.Context(), point("0", sequence), nil))
		require.Equal(t, at(sequence), s.metadata(t, zero))
	}
	set(100)
	s.put(t, zero, at(10))
	set(50)
	s.Delete("chk", zero)
	set(20)
	s.Delete("chk", zero)
	set(30)
	s.Delete("chk", zero)
	require.Empty(t, listed(t, store))
	set(30) // the listing made the store forget that it had written 30
}

// Offsets decide where sequence numbers can't, and what can't be compared is replaced.
func TestSetCheckpointByOffset(t *testing.T) {
	for _, c := range []struct {
		stored map[string]string
		offset string
		want   string // the offset that is stored afterwards
	}{
		{map[string]string{"offset": "1000"}, "900", "1000"},
		{map[string]string{"offset": "900"}, "1000", "1000"},
		{map[string]string{"offset": "1000", "sequencenumber": "5"}, "900", "1000"},
		{map[string]string{"offset": "2:1000"}, "2:900", "2:900"},
		{map[string]string{"offset": "", "sequencenumber": "5"}, "900", "900"},
		{map[string]string{"sequencenumber": "?"}, "900", "900"},
	} {
		s := startServer(t)
		s.put(t, zero, c.stored)
		p := point("0", 1)
		p.SequenceNumber, p.Offset = nil, &c.offset
		store := s.open(t, checkpoint.BlobOptions{Logger: (&logs{}).logger()})
		require.NoError(t, store.SetCheckpoint(t.Context(), p, nil))
		require.Equal(t, c.want, s.metadata(t, zero)["offset"], "%v, then %s", c.stored, c.offset)
	}
}

// Several owners that all believe in themselves: the furthest stays, whoever comes last. Each call takes a while,
// so that they meet at the blob all the time.
func TestRacingOwnersNeverGoBackwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{Account: newAccount(t, blob.Options{})}
		const owners, rounds = 4, 40
		var stores []*checkpoint.BlobStore
		for range owners {
			stores = append(stores, openDirect(t, s, anyToken{}, checkpoint.BlobOptions{}))
		}
		s.AddFault(blob.Fault{Delay: time.Millisecond})
		for round := range rounds {
			var wg sync.WaitGroup
			for o, store := range stores {
				wg.Go(func() {
					assert.NoError(t, store.SetCheckpoint(t.Context(), point("0", int64(round*owners+o)), nil))
				})
			}
			wg.Wait()
			require.Equal(t, at(int64(round*owners+owners-1)), s.metadata(t, zero))
		}
		conflicts := 0
		for _, r := range s.take() {
			if r.write() && r.status >= 400 {
				conflicts++
			}
		}
		require.Greater(t, conflicts, rounds, "they never met: the test shows nothing")
	})
}

// Somebody else's write of the meantime stands if it is as far as ours.
func TestConflictKeepsTheHigher(t *testing.T) {
	for _, c := range []struct {
		name         string
		theirs, ours int64
		want         int64
		status       []int // of our writes
	}{
		{"theirs is higher", 20, 15, 20, []int{412}},
		{"ours is higher", 15, 20, 20, []int{412, 200}},
		{"same", 20, 20, 20, []int{412}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t)
			store := s.open(t, checkpoint.BlobOptions{Logger: (&logs{}).logger()})
			require.NoError(t, store.SetCheckpoint(t.Context(), point("0", 10), nil))
			s.put(t, zero, at(c.theirs))
			s.take()
			require.NoError(t, store.SetCheckpoint(t.Context(), point("0", c.ours), nil))
			require.Equal(t, at(c.want), s.metadata(t, zero))
			var status []int
			for _, r := range s.take() {
				if r.write() {
					status = append(status, r.status)
				}
			}
			require.Equal(t, c.status, status)
		})
	}
	t.Run("somebody created it first", func(t *testing.T) {
		s := startServer(t)
		store := s.open(t, checkpoint.BlobOptions{Logger: (&logs{}).logger()})
		// The blob comes into being between our look and our write.
		defer s.AddFault(blob.Fault{Operation: blob.OpGetBlobProperties, Code: "BlobNotFound", Times: 1})()
		s.put(t, zero, at(20))
		require.NoError(t, store.SetCheckpoint(t.Context(), point("0", 10), nil))
		require.Equal(t, at(20), s.metadata(t, zero))
	})
}

func TestEndlessConflictIsAnError(t *testing.T) {
	s := startServer(t)
	store := s.open(t, checkpoint.BlobOptions{})
	defer s.AddFault(blob.Fault{Operation: blob.OpPutBlob, Code: "BlobAlreadyExists"})()
	err := store.SetCheckpoint(t.Context(), point("0", 1), nil)
	require.EqualError(t, err, `write checkpoint blob `+zero+` in container "chk": `+
		`it was changed by others 16 times in a row`)
}

// A write whose answer is lost has happened or not. The next one finds out.
func TestLostAnswer(t *testing.T) {
	for _, happened := range []bool{true, false} {
		s := startServer(t)
		store := s.open(t, checkpoint.BlobOptions{Logger: (&logs{}).logger()})
		require.NoError(t, store.SetCheckpoint(t.Context(), point("0", 10), nil))
		s.AddFault(blob.Fault{Operation: blob.OpSetBlobMetadata, Code: "InternalError", After: happened, Times: 1})
		err := store.SetCheckpoint(t.Context(), point("0", 20), nil)
		require.EqualError(t, err, `write checkpoint blob `+zero+` in container "chk": `+
			`the service refused it: internal server error [500 InternalError]`)
		var re *azcore.ResponseError
		require.ErrorAs(t, err, &re)
		s.take()
		require.NoError(t, store.SetCheckpoint(t.Context(), point("0", 20), nil))
		require.Equal(t, at(20), s.metadata(t, zero))
		require.Equal(t, http.MethodHead, s.take()[0].method, "it looks before it writes")
	}
}

// Whoever loses a partition cancels ctx, and from then on nothing of it may reach the blob.
func TestNoWriteAfterCancel(t *testing.T) {
	for _, c := range []struct {
		name     string
		known    bool   // the store knows the blob, and writes without looking
		cancelAt string // the method whose answer ends ctx
		code     string // what the first write is answered with
		writes   int
	}{
		{"before a write", true, "", "", 0},
		{"while looking", false, http.MethodHead, "", 0},
		{"while conflicting", true, http.MethodPut, "ConditionNotMet", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t)
			s.put(t, zero, at(1))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			// This transport goes on regardless, so that it isn't net/http alone that keeps the promise.
			store := s.openOver(t, roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := s.http.Do(r.Clone(context.WithoutCancel(r.Context())))
				if r.Method == c.cancelAt {
					cancel()
				}
				return resp, err
			}), checkpoint.BlobOptions{})
			if c.known {
				listed(t, store)
			}
			if c.code != "" {
				s.AddFault(blob.Fault{Operation: blob.OpSetBlobMetadata, Code: c.code, Times: 1})
			}
			if c.cancelAt == "" {
				cancel()
			}
			s.take()
			require.ErrorIs(t, store.SetCheckpoint(ctx, point("0", 2), nil), context.Canceled)
			require.Equal(t, at(1), s.metadata(t, zero))
			writes := 0
			for _, r := range s.take() {
				if r.write() {
					writes++
				}
			}
			require.Equal(t, c.writes, writes)
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

// One handle used by several goroutines, as partitions of one consumer do.
func TestSharedHandle(t *testing.T) {
	s := startServer(t)
	store := s.open(t, checkpoint.BlobOptions{Logger: (&logs{}).logger()})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 20 {
				if err := store.SetCheckpoint(t.Context(), point("0", int64(i*4+g)), nil); err != nil {
					t.Errorf("checkpoint: %v", err)
				}
				if _, err := store.ListCheckpoints(t.Context(), ns, hub, group, nil); err != nil {
					t.Errorf("list: %v", err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, []string{"0@79/790"}, listed(t, store))
}
