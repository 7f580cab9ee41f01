package guarantee_test

import (
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

var blobIsUnreadable = []aCase{
	{"not a number", in(2, func(s *scene.Scene) {
		poisoned(s, map[string]*string{"sequencenumber": ptr("nine"), "offset": ptr("9")})
	})},
	{"empty values", in(2, func(s *scene.Scene) {
		poisoned(s, map[string]*string{"sequencenumber": ptr(""), "offset": ptr("")})
	})},
	{"other metadata", in(2, func(s *scene.Scene) { poisoned(s, map[string]*string{"color": ptr("blue")}) })},
	{"raw SDK", in(2, rawPoisoned)},
}

// poison writes metadata into a checkpoint blob.
func poison(s *scene.Scene, container, partition string, metadata map[string]*string) (blob string) {
	s.T.Helper()
	group := map[string]string{"raw": "$Default", "checkpoints": "$default"}[container]
	blob = fmt.Sprintf("%s/hub/%s/checkpoint/%s", s.Namespace(), group, partition)
	_, err := s.OpenStore(container).Client().NewBlobClient(blob).SetMetadata(s.T.Context(), metadata, nil)
	require.NoError(s.T, err)
	return blob
}

func poisoned(s *scene.Scene, metadata map[string]*string) {
	s.Send(10, "0", "1")
	r := s.Receive("first", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	r.Stop()
	blob := poison(s, scene.Container, "0", metadata)
	s.Send(10, "0", "1")
	r = s.Receive("second", latest(), scene.Nothing) // not where an unreadable checkpoint makes reading start
	s.UntilHandled()
	r.Stop()
	require.Equal(s.T, []int64{0, 0}, s.Tally.Begins("0"), "from the earliest event")
	require.Equal(s.T, []int64{0, 10}, s.Tally.Begins("1"), "the others are untouched")
	require.EqualValues(s.T, 19, s.Checkpoint("0"), "the blob is repaired")
	s.CheckLogged("level=ERROR", "checkpoint blob is unreadable", blob)
	s.Check(10)
}

// rawPoisoned records what the SDK does: one bad blob keeps all partitions from being handed out.
func rawPoisoned(s *scene.Scene) {
	store := s.RawStore()
	for _, id := range []string{"0", "1"} {
		require.NoError(s.T, store.SetCheckpoint(s.T.Context(), azeventhubs.Checkpoint{
			FullyQualifiedNamespace: s.Namespace(), EventHubName: scene.Hub, ConsumerGroup: scene.Group,
			PartitionID: id, SequenceNumber: ptr(int64(0)),
		}, nil))
	}
	poison(s, "raw", "0", map[string]*string{"sequencenumber": ptr("nine")})
	r := s.Raw("reader", scene.Group, store, earliest)
	r.Rounds(scene.Group, "1", 5)
	select {
	case c := <-r.Clients:
		s.Mended("one bad blob keeps partition "+c.PartitionID()+" from being handed out",
			"ListCheckpoints in internal/checkpoint")
	default:
	}
}
