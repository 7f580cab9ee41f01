package checkpoint_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// drop deletes the container under a store.
func drop(t *testing.T, s *checkpoint.BlobStore) {
	t.Helper()
	_, err := s.Container().Delete(t.Context(), nil)
	require.NoError(t, err)
}

// Whatever call finds the container gone creates it again, and succeeds.
func TestContainerIsCreatedAgain(t *testing.T) {
	for _, c := range calls() {
		if c.op == blob.OpDeleteBlob {
			continue // what is to be deleted is gone
		}
		t.Run(c.name, func(t *testing.T) {
			s, log := startServer(t), &logs{}
			store := s.open(t, checkpoint.BlobOptions{Logger: log.logger()})
			require.NoError(t, c.do(t.Context(), store))
			drop(t, store)
			s.take()
			store = s.open(t, checkpoint.BlobOptions{Logger: log.logger()}) // which doesn't know what was stored
			require.NoError(t, c.do(t.Context(), store))
			created := slices.DeleteFunc(s.take(), func(r request) bool {
				return r.path != "/devstoreaccount1/chk" || !r.write()
			})
			require.Len(t, created, 1)
			require.Len(t, log.take(t), 1)
			require.NoError(t, c.do(t.Context(), store))
		})
	}
	t.Run("delete request", func(t *testing.T) {
		s := startServer(t)
		store := s.open(t, checkpoint.BlobOptions{})
		drop(t, store)
		all := calls()
		require.NoError(t, all[len(all)-1].do(t.Context(), store))
	})
}

// An owner whose container was deleted keeps its partitions, whoever created the container again, so that it reads on.
func TestClaimsOutliveTheContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account := newAccount(t, blob.Options{})
		a := openDirect(t, account, anyToken{}, checkpoint.BlobOptions{})
		b := openDirect(t, account, anyToken{}, checkpoint.BlobOptions{})
		claimed, err := a.ClaimOwnership(t.Context(), wanted(40), nil)
		require.NoError(t, err)
		renew := func(want []string) {
			claimed, err = a.ClaimOwnership(t.Context(), claimed, nil)
			require.NoError(t, err)
			require.Equal(t, want, partitions(claimed))
			time.Sleep(time.Minute)
		}
		all := partitions(wanted(40))
		renew(all)
		drop(t, a)
		renew(all)
		renew(all)

		drop(t, a)
		require.NoError(t, list(t.Context(), b))
		renew(all)

		drop(t, a)
		_, err = b.ClaimOwnership(t.Context(), []azeventhubs.Ownership{owned("7", "b")}, nil)
		require.NoError(t, err)
		renew(slices.Delete(all, 7, 8))
	})
}

// What was stored in a container that was deleted is not taken for stored.
func TestCheckpointAfterTheContainer(t *testing.T) {
	s := startServer(t)
	store := s.open(t, checkpoint.BlobOptions{Logger: (&logs{}).logger()})
	require.NoError(t, store.SetCheckpoint(t.Context(), point("0", 42), nil))
	require.NoError(t, store.SetCheckpoint(t.Context(), point("1", 42), nil))
	drop(t, store)
	require.NoError(t, store.SetCheckpoint(t.Context(), point("0", 43), nil))
	require.NoError(t, store.SetCheckpoint(t.Context(), point("1", 42), nil))
	require.Equal(t, []string{"0@43/430", "1@42/420"}, listed(t, store))
}

// A container that can't be created is an error that says so; the next call tries again.
func TestContainerCannotBeCreated(t *testing.T) {
	for _, c := range []struct{ code, want string }{
		{"AuthorizationFailure", `the container does not exist, and creating it failed: not authorized: ` +
			`check the account name and key in the connection string, and this machine's clock; ` +
			`the account's network rules may also refuse this address [403 AuthorizationFailure]`},
		{"ContainerBeingDeleted", `the container is being deleted: wait until it is gone (30 seconds or more), ` +
			`or use another one [409 ContainerBeingDeleted]`},
	} {
		s := startServer(t)
		store := s.open(t, checkpoint.BlobOptions{Logger: (&logs{}).logger()})
		drop(t, store)
		remove := s.AddFault(blob.Fault{Operation: blob.OpCreateContainer, Code: c.code})
		err := list(t.Context(), store)
		require.EqualError(t, err, `list ownership blobs `+lowerOwnership+` in container "chk": `+c.want)
		var re *azcore.ResponseError
		require.ErrorAs(t, err, &re)
		require.Equal(t, c.code, re.ErrorCode)
		require.Error(t, store.SetCheckpoint(t.Context(), point("0", 1), nil))
		remove()
		require.NoError(t, store.SetCheckpoint(t.Context(), point("0", 1), nil))
	}
}

// While one call waits for the container, the others wait with their own contexts.
func TestWaitForContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account := newAccount(t, blob.Options{})
		store := openDirect(t, account, anyToken{}, checkpoint.BlobOptions{})
		drop(t, store)
		remove := account.AddFault(blob.Fault{Operation: blob.OpCreateContainer, Hang: true})
		var callers sync.WaitGroup
		for n := range 5 {
			callers.Go(func() {
				limit := time.Duration(n+1) * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				lasted := took(func() { assert.ErrorIs(t, list(ctx, store), context.DeadlineExceeded) })
				assert.Equal(t, limit, lasted)
			})
		}
		callers.Wait()
		remove()
		require.NoError(t, list(t.Context(), store))
	})
}
