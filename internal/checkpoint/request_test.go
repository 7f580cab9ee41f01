package checkpoint_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest/storetest"
	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/handover"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

const (
	lowerRequest = "contoso.servicebus.windows.net/orders/$default/ownership-request/"
	exactRequest = "Contoso.servicebus.windows.net/Orders/$Default/ownership-request/"
)

func asking(partition, who, whom string) handover.Request {
	return handover.Request{
		FullyQualifiedNamespace: ns, EventHubName: hub, ConsumerGroup: group, PartitionID: partition,
		OwnerID: who, FromOwnerID: whom,
	}
}

// The suite of all stores, here with hand-over requests.
func TestStores(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) func() azeventhubs.CheckpointStore {
			s := checkpoint.NewMemoryStore()
			return func() azeventhubs.CheckpointStore { return s }
		})
	})
	t.Run("blob", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) func() azeventhubs.CheckpointStore {
			s := startServer(t)
			return func() azeventhubs.CheckpointStore {
				return s.open(t, checkpoint.BlobOptions{Logger: (&logs{}).logger()})
			}
		})
	})
}

func TestRequestBlobs(t *testing.T) {
	for _, c := range []struct {
		keep bool
		name string
	}{
		{false, lowerRequest + "3"},
		{true, exactRequest + "3"},
	} {
		s := startServer(t)
		store := s.open(t, checkpoint.BlobOptions{KeepCase: c.keep})
		r := asking("3", "Joiner", "Owner")
		require.NoError(t, store.PutRequest(t.Context(), r))
		require.Equal(t, []string{c.name}, s.Names("chk", ""))
		require.Equal(t, map[string]string{"ownerid": "Joiner", "fromownerid": "Owner"}, s.metadata(t, c.name))
		r.Promised = 30 * time.Second
		require.NoError(t, store.PutRequest(t.Context(), r))
		require.Equal(t, map[string]string{"ownerid": "Joiner", "fromownerid": "Owner", "promisedms": "30000"},
			s.metadata(t, c.name))
		require.NoError(t, store.DeleteRequest(t.Context(), r))
		require.Empty(t, s.Names("chk", ""))
	}
}

// What asking costs, and what it adds to a listing.
func TestRequestCalls(t *testing.T) {
	s := startServer(t)
	store := s.open(t, checkpoint.BlobOptions{})
	r := asking("0", "a", "b")
	for _, c := range []struct {
		want string
		do   func() error
	}{
		{"PUT", func() error { return store.PutRequest(t.Context(), r) }},
		{"PUT", func() error { return store.PutRequest(t.Context(), r) }},
		{"GET", func() error { _, _, err := store.ListClaims(t.Context(), ns, hub, group); return err }},
		{"DELETE", func() error { return store.DeleteRequest(t.Context(), r) }},
		{"DELETE", func() error { return store.DeleteRequest(t.Context(), r) }},
	} {
		s.take()
		require.NoError(t, c.do())
		asked := s.take()
		require.Len(t, asked, 1)
		require.Equal(t, c.want, asked[0].method)
	}
}

// The Go SDK's own store lists what is below ownership/, as those of the other SDKs do: it doesn't see requests.
func TestOtherSDKsSeeNoRequests(t *testing.T) {
	s := startServer(t)
	ours := s.open(t, checkpoint.BlobOptions{KeepCase: true})
	theirs, err := checkpoints.NewBlobStore(ours.Container(), nil)
	require.NoError(t, err)
	claimed, err := theirs.ClaimOwnership(t.Context(), []azeventhubs.Ownership{owned("0", "theirs")}, nil)
	require.NoError(t, err)
	require.NoError(t, ours.PutRequest(t.Context(), asking("0", "ours", "theirs")))
	require.NoError(t, ours.PutRequest(t.Context(), asking("1", "ours", "theirs")))

	listed, err := theirs.ListOwnership(t.Context(), ns, hub, group, nil)
	require.NoError(t, err)
	require.Len(t, listed, 1)
	list, err := theirs.ListCheckpoints(t.Context(), ns, hub, group, nil)
	require.NoError(t, err)
	require.Empty(t, list)
	claimed, err = theirs.ClaimOwnership(t.Context(), claimed, nil)
	require.NoError(t, err)
	require.Len(t, claimed, 1, "its claim is as it was")
}

// ListOwnership lists in the spelling in which the store writes, and nothing else.
func TestListOwnershipKeepsCase(t *testing.T) {
	s := startServer(t)
	s.put(t, lowerOwnership+"0", map[string]string{"ownerid": "lower"})
	s.put(t, exactOwnership+"1", map[string]string{"ownerid": "exact"})
	s.put(t, lowerRequest+"2", map[string]string{"ownerid": "lower", "fromownerid": "x"})
	s.put(t, exactRequest+"3", map[string]string{"ownerid": "exact", "fromownerid": "x"})
	for keep, want := range map[bool]string{false: "lower", true: "exact"} {
		store := s.open(t, checkpoint.BlobOptions{KeepCase: keep})
		listed, err := store.ListOwnership(t.Context(), ns, hub, group, nil)
		require.NoError(t, err)
		require.Len(t, listed, 1)
		require.Equal(t, want, listed[0].OwnerID)
		owned, asked, err := store.ListClaims(t.Context(), ns, hub, group)
		require.NoError(t, err)
		require.Equal(t, listed, owned)
		require.Len(t, asked, 1)
		require.Equal(t, want, asked[0].OwnerID)
	}
}

// A request that is damaged asks for nothing, and is replaced by the next one.
func TestDamagedRequests(t *testing.T) {
	s, log := startServer(t), &logs{}
	for partition, metadata := range map[string]map[string]string{
		"0": nil,
		"1": {"ownerid": "a"},
		"2": {"fromownerid": "b"},
		"3": {"ownerid": "a", "fromownerid": "b", "promisedms": "soon"},
		"4": {"ownerid": "a", "fromownerid": "b", "promisedms": "-1"},
		"5": {"ownerid": "a", "fromownerid": "b", "promisedms": "99999999999999999999"},
		"6": {"OwnerID": "a", "FromOwnerID": "b", "PromisedMS": "10"},
	} {
		s.put(t, lowerRequest+partition, metadata)
	}
	s.put(t, lowerRequest+"deeper/0", map[string]string{"ownerid": "a", "fromownerid": "b"})
	store := s.open(t, checkpoint.BlobOptions{Logger: log.logger()})
	owned, asked, err := store.ListClaims(t.Context(), ns, hub, group)
	require.NoError(t, err)
	require.Empty(t, owned)
	require.Len(t, asked, 1)
	require.Equal(t, "6", asked[0].PartitionID)
	require.Equal(t, 10*time.Millisecond, asked[0].Promised)
	require.NoError(t, store.PutRequest(t.Context(), asking("1", "a", "b")))
	_, asked, err = store.ListClaims(t.Context(), ns, hub, group)
	require.NoError(t, err)
	require.Len(t, asked, 2)
	require.Empty(t, log.take(t))
}

// A SAS need not allow blobs to be deleted.
func TestDeleteRequestWithoutTheRight(t *testing.T) {
	s := startServer(t)
	store := s.open(t, checkpoint.BlobOptions{})
	require.NoError(t, store.PutRequest(t.Context(), asking("0", "a", "b")))
	s.AddFault(blob.Fault{Operation: blob.OpDeleteBlob, Code: "AuthorizationPermissionMismatch"})
	require.NoError(t, store.DeleteRequest(t.Context(), asking("0", "", "")))
	_, asked, err := store.ListClaims(t.Context(), ns, hub, group)
	require.NoError(t, err)
	require.Empty(t, asked)

	s.AddFault(blob.Fault{Operation: blob.OpPutBlob, Status: http.StatusForbidden})
	require.EqualError(t, store.DeleteRequest(t.Context(), asking("0", "", "")),
		`delete hand-over request blob `+lowerRequest+`0 in container "chk": not authorized: check the account name and `+
			`key in the connection string, and this machine's clock; the account's network rules may also refuse this `+
			`address [403 AuthorizationFailure]`)
}

func TestRequestMistakes(t *testing.T) {
	for _, s := range []handover.Store{startServer(t).open(t, checkpoint.BlobOptions{}), checkpoint.NewMemoryStore()} {
		for _, c := range []struct {
			request handover.Request
			want    string
		}{
			{asking("0", "", "b"), `ask for partition "0" of ` + ns + `/Orders/$Default: the name of who asks is empty`},
			{asking("0", "a", ""), `ask for partition "0" of ` + ns + `/Orders/$Default: the name of whom it asks is empty`},
			{asking("", "a", "b"), `ask for partition "" of ` + ns + `/Orders/$Default: the partition is empty`},
			{handover.Request{PartitionID: "0"}, `ask for partition "0" of //: the namespace is empty`},
		} {
			require.EqualError(t, s.PutRequest(t.Context(), c.request), c.want)
		}
		require.EqualError(t, s.DeleteRequest(t.Context(), asking("", "a", "b")),
			`withdraw the request for partition "" of `+ns+`/Orders/$Default: the partition is empty`)
	}
}
