package checkpoint_test

import (
	"testing"
	"testing/synctest"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// What other SDKs, and accidents, leave in a checkpoint's metadata, and where reading then begins.
func TestCheckpointMetadata(t *testing.T) {
	const unreadable = "0@/-1" // the SDK attaches after offset -1: the earliest event
	for _, c := range []struct {
		name     string
		metadata map[string]string
		want     string
	}{
		{"Go", map[string]string{"offset": "4200", "sequencenumber": "42"}, "0@42/4200"},
		{".NET", map[string]string{"offset": "4200", "sequencenumber": "42", "clientidentifier": "abc"}, "0@42/4200"},
		{".NET without sequence number",
			map[string]string{"offset": "4200", "sequencenumber": "", "clientidentifier": "abc"}, "0@/4200"},
		{".NET without offset", map[string]string{"offset": "", "sequencenumber": "42", "clientidentifier": "abc"}, "0@42/"},
		{".NET 5.11", map[string]string{"offset": "no offset", "sequencenumber": "42"}, "0@42/"},
		{".NET 5.11, other case", map[string]string{"offset": "No Offset", "sequencenumber": "42"}, "0@42/"},
		{".NET default sequence number",
			map[string]string{"offset": "4200", "sequencenumber": "-9223372036854775808"}, "0@/4200"},
		{"geo-replicated", map[string]string{"offset": "3:1:4200", "sequencenumber": "42"}, "0@42/3:1:4200"},
		{"upper-case keys", map[string]string{"Offset": "4200", "SequenceNumber": "42"}, "0@42/4200"},
		{"no sequence number", map[string]string{"offset": "4200"}, "0@/4200"},
		{"no offset", map[string]string{"sequencenumber": "42"}, "0@42/"},
		{"first event", map[string]string{"offset": "0", "sequencenumber": "0"}, "0@0/0"},
		{"offset that ends the filter", map[string]string{"offset": "1' OR '1", "sequencenumber": "42"}, "0@42/"},
		{"offset that skips all", map[string]string{"offset": "@latest", "sequencenumber": "42"}, "0@42/"},

		{"no metadata", nil, unreadable},
		{"other metadata", map[string]string{"hello": "world"}, unreadable},
		{"both empty", map[string]string{"offset": "", "sequencenumber": ""}, unreadable},
		{"both placeholders", map[string]string{"offset": "no offset", "sequencenumber": "-9223372036854775808"}, unreadable},
		{"sequence number is no number", map[string]string{"offset": "4200", "sequencenumber": "forty-two"}, unreadable},
		{"sequence number is too large",
			map[string]string{"offset": "4200", "sequencenumber": "9223372036854775808"}, unreadable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, log := startServer(t), &logs{}
			s.put(t, lowerCheckpoint+"0", c.metadata)
			s.put(t, lowerCheckpoint+"1", at(7))
			store := s.open(t, checkpoint.BlobOptions{Logger: log.logger()})
			require.Equal(t, []string{c.want, "1@7/70"}, listed(t, store))
			if c.want == unreadable {
				require.Equal(t, []string{"ERROR " + lowerCheckpoint + "0"}, log.take(t))
				require.NoError(t, store.SetCheckpoint(t.Context(), point("0", 3), nil))
				require.Equal(t, at(3), s.metadata(t, lowerCheckpoint+"0"), "it is repaired by the next checkpoint")
			}
			require.Empty(t, log.take(t))
		})
	}
}

// Checkpoints in the Go SDK's spelling and in that of the others: the further one counts, wherever it is.
func TestBothSpellings(t *testing.T) {
	damaged := map[string]string{"sequencenumber": "?"}
	for _, c := range []struct {
		name         string
		lower, exact map[string]string
		want         string
		logged       []string
	}{
		{"lower alone", at(5), nil, "0@5/50", nil},
		{"exact alone", nil, at(5), "0@5/50", nil},
		{"lower is ahead", at(9), at(5), "0@9/90", nil},
		{"exact is ahead", at(5), at(9), "0@9/90", nil},
		{"lower is damaged", damaged, at(5), "0@5/50", []string{"ERROR " + lowerCheckpoint + "0"}},
		{"exact is damaged", at(5), damaged, "0@5/50", []string{"ERROR " + exactCheckpoint + "0"}},
		{"by offset", map[string]string{"offset": "900"}, map[string]string{"offset": "1000"}, "0@/1000", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t)
			if c.lower != nil {
				s.put(t, lowerCheckpoint+"0", c.lower)
			}
			if c.exact != nil {
				s.put(t, exactCheckpoint+"0", c.exact)
			}
			for _, keep := range []bool{false, true} {
				log := &logs{}
				store := s.open(t, checkpoint.BlobOptions{KeepCase: keep, Logger: log.logger()})
				require.Equal(t, []string{c.want}, listed(t, store), "KeepCase: %t", keep)
				require.Equal(t, c.logged, log.take(t))
			}
		})
	}
	t.Run("both are damaged", func(t *testing.T) {
		s := startServer(t)
		s.put(t, lowerCheckpoint+"0", damaged)
		s.put(t, exactCheckpoint+"0", damaged)
		require.Equal(t, []string{"0@/-1"}, listed(t, s.open(t, checkpoint.BlobOptions{Logger: (&logs{}).logger()})))
	})
}

func TestBlobNames(t *testing.T) {
	for _, c := range []struct {
		keep                  bool
		checkpoint, ownership string
	}{
		{false, lowerCheckpoint, lowerOwnership},
		{true, exactCheckpoint, exactOwnership},
	} {
		s := startServer(t)
		store := s.open(t, checkpoint.BlobOptions{KeepCase: c.keep})
		require.NoError(t, store.SetCheckpoint(t.Context(), point("3", 42), nil))
		_, err := store.ClaimOwnership(t.Context(), []azeventhubs.Ownership{owned("3", "Owner-1")}, nil)
		require.NoError(t, err)
		require.Equal(t, []string{c.checkpoint + "3", c.ownership + "3"}, s.Names("chk", ""))
		require.Equal(t, map[string]string{"sequencenumber": "42", "offset": "420"}, s.metadata(t, c.checkpoint+"3"))
		require.Equal(t, map[string]string{"ownerid": "Owner-1"}, s.metadata(t, c.ownership+"3"))
	}
}

// What the SDK's own store wrote is ours, and the other way round.
func TestSharedWithTheSDK(t *testing.T) {
	s := startServer(t)
	ours := s.open(t, checkpoint.BlobOptions{KeepCase: true})
	theirs, err := checkpoints.NewBlobStore(ours.Container(), nil)
	require.NoError(t, err)

	claimed, err := theirs.ClaimOwnership(t.Context(), []azeventhubs.Ownership{owned("0", "theirs")}, nil)
	require.NoError(t, err)
	require.NoError(t, theirs.SetCheckpoint(t.Context(), point("0", 42), nil))
	require.Equal(t, []string{"0@42/420"}, listed(t, ours))
	claimed[0].OwnerID = "ours"
	_, err = ours.ClaimOwnership(t.Context(), claimed, nil)
	require.NoError(t, err)
	require.NoError(t, ours.SetCheckpoint(t.Context(), point("0", 43), nil))

	ownerships, err := theirs.ListOwnership(t.Context(), ns, hub, group, nil)
	require.NoError(t, err)
	require.Equal(t, "ours", ownerships[0].OwnerID)
	list, err := theirs.ListCheckpoints(t.Context(), ns, hub, group, nil)
	require.NoError(t, err)
	require.Equal(t, int64(43), *list[0].SequenceNumber)
}

func TestListOwnershipWithDamagedBlob(t *testing.T) {
	s, log := startServer(t), &logs{}
	s.put(t, lowerOwnership+"0", map[string]string{"hello": "world"})
	s.put(t, lowerOwnership+"1", map[string]string{"OwnerID": "a"})
	s.put(t, lowerOwnership+"2", map[string]string{"ownerid": ""})
	s.put(t, lowerOwnership+"3", nil)
	store := s.open(t, checkpoint.BlobOptions{Logger: log.logger()})
	list, err := store.ListOwnership(t.Context(), ns, hub, group, nil)
	require.NoError(t, err)
	require.Len(t, list, 4)
	for i, owner := range []string{"", "a", "", ""} {
		require.Equal(t, owner, list[i].OwnerID)
		list[i].OwnerID = "b"
	}
	require.Equal(t, []string{"WARN " + lowerOwnership + "0"}, log.take(t))
	claimed, err := store.ClaimOwnership(t.Context(), list, nil)
	require.NoError(t, err)
	require.Len(t, claimed, 4)
	require.Equal(t, map[string]string{"ownerid": "b"}, s.metadata(t, lowerOwnership+"0"))
}

// The ETags of a listing are those of the claims, so that the two can be compared.
func TestListedETags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openDirect(t, newAccount(t, blob.Options{}), anyToken{}, checkpoint.BlobOptions{})
		claimed, err := store.ClaimOwnership(t.Context(), wanted(3), nil)
		require.NoError(t, err)
		list, err := store.ListOwnership(t.Context(), ns, hub, group, nil)
		require.NoError(t, err)
		require.Equal(t, claimed, list)
	})
}

// Blobs below a partition's name are somebody else's.
func TestForeignBlobs(t *testing.T) {
	s := startServer(t)
	s.put(t, lowerCheckpoint+"0", at(1))
	s.put(t, lowerCheckpoint+"backup/0", at(2))
	s.put(t, lowerOwnership+"backup/0", map[string]string{"ownerid": "a"})
	store := s.open(t, checkpoint.BlobOptions{})
	require.Equal(t, []string{"0@1/10"}, listed(t, store))
	list, err := store.ListOwnership(t.Context(), ns, hub, group, nil)
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestListFailureNamesTheBlobs(t *testing.T) {
	s := startServer(t)
	defer s.AddFault(blob.Fault{Operation: blob.OpListBlobs, Code: "ServerBusy"})()
	store := s.open(t, checkpoint.BlobOptions{})
	_, err := store.ListCheckpoints(t.Context(), ns, hub, group, nil)
	require.EqualError(t, err, `list checkpoint blobs `+lowerCheckpoint+` in container "chk": `+
		`the storage account is busy [503 ServerBusy]`)
	_, err = store.ListOwnership(t.Context(), ns, hub, group, nil)
	require.EqualError(t, err, `list ownership blobs `+lowerOwnership+` in container "chk": `+
		`the storage account is busy [503 ServerBusy]`)
}
