package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func blobIsUnreadable(t *testing.T) {
	cases(t, []guaranteeCase{
		{"not a number", func(t *testing.T) { poisoned(t, map[string]*string{"sequencenumber": ptr("nine"), "offset": ptr("9")}) }},
		{"empty values", func(t *testing.T) { poisoned(t, map[string]*string{"sequencenumber": ptr(""), "offset": ptr("")}) }},
		{"other metadata", func(t *testing.T) { poisoned(t, map[string]*string{"color": ptr("blue")}) }},
		{"raw SDK", rawPoisoned},
	})
}

// poison writes metadata into a checkpoint blob.
func poison(t *testing.T, s *scene, container, partition string, metadata map[string]*string) (blob string) {
	t.Helper()
	blob = fmt.Sprintf("%s/hub/%s/checkpoint/%s", s.namespace(), map[string]string{"raw": "$Default", "checkpoints": "$default"}[container], partition)
	_, err := s.openStore(container).Client().NewBlobClient(blob).SetMetadata(t.Context(), metadata, nil)
	require.NoError(t, err)
	return blob
}

func poisoned(t *testing.T, metadata map[string]*string) {
	s := newScene(t, 2)
	s.send("0", 10)
	s.send("1", 10)
	r := s.receive("first", quick(), nothing)
	s.untilAll()
	r.stop()
	blob := poison(t, s, "checkpoints", "0", metadata)
	s.send("0", 10)
	s.send("1", 10)
	s.store = s.openStore("checkpoints") // another process
	o := quick()
	o.Start.Default.Latest = ptr(true) // which is not where an unreadable checkpoint begins
	r = s.receive("second", o, nothing)
	s.untilAll()
	r.stop()
	require.Equal(t, []int64{0, 0}, s.begins("0"), "from the earliest event")
	require.Equal(t, []int64{0, 10}, s.begins("1"), "the others are untouched")
	require.EqualValues(t, 19, s.checkpoint("0"), "the blob is repaired")
	require.NotZero(t, s.log.count("level=ERROR", "checkpoint blob is unreadable", blob))
	s.require(t, 0, 10, 0)
}

// rawPoisoned records SDK-FACTS 7: one bad blob keeps all partitions from being handed out.
func rawPoisoned(t *testing.T) {
	s := newScene(t, 2)
	store := s.rawStore()
	for _, id := range []string{"0", "1"} {
		require.NoError(t, store.SetCheckpoint(t.Context(), azeventhubs.Checkpoint{
			FullyQualifiedNamespace: s.namespace(), EventHubName: "hub", ConsumerGroup: "$Default", PartitionID: id, SequenceNumber: ptr(int64(0)),
		}, nil))
	}
	poison(t, s, "raw", "0", map[string]*string{"sequencenumber": ptr("nine")})
	r := s.raw("reader", "$Default", earliest)
	s.rounds(r, "$Default", "1", 5)
	select {
	case c := <-r.clients:
		mended(t, "one bad blob keeps partition "+c.PartitionID()+" from being handed out", "ListCheckpoints in internal/checkpoint")
	default:
	}
}

func somethingIsMissing(t *testing.T) {
	const key = "a2V5LW9mLWEtdGVzdA=="
	cases(t, []guaranteeCase{
		{"a rule without the right to listen", func(t *testing.T) {
			srv := eventhubstest.Start(t, &eventhubstest.Options{Rules: []eventhubstest.Rule{{Name: "sender", Key: key, Rights: []eventhubstest.Right{eventhubstest.RightSend}}}})
			endsWith(t, srv.Config("hub"), memory(), "", "eventhubs: receive hub/$Default: not authorized: check the key in the connection string, and that its policy has the claim Listen")
		}},
		{"a rule without the right to send", func(t *testing.T) {
			srv := eventhubstest.Start(t, &eventhubstest.Options{Rules: []eventhubstest.Rule{{Name: "reader", Key: key, Rights: []eventhubstest.Right{eventhubstest.RightListen}}}})
			err := newProducer(t, srv.Config("hub")).Send(t.Context(), eventhubs.Event{})
			require.ErrorContains(t, err, "eventhubs: send hub: not authorized: check the key in the connection string, and that its policy has the claim Send")
			require.NotContains(t, err.Error(), key)
		}},
		{"no such event hub", func(t *testing.T) {
			srv := eventhubstest.Start(t, nil)
			want := "nowhere: there is no such event hub or consumer group: check the name nowhere"
			require.ErrorContains(t, newProducer(t, srv.Config("nowhere")).Send(t.Context(), eventhubs.Event{}), "eventhubs: send "+want)
			endsWith(t, srv.Config("nowhere"), memory(), "", "eventhubs: receive nowhere/$Default: there is no such event hub or consumer group: check the name nowhere")
		}},
		{"no such consumer group", func(t *testing.T) {
			srv := eventhubstest.Start(t, nil)
			endsWith(t, srv.Config("hub"), memory(), "nobody", "eventhubs: receive hub/nobody: there is no such event hub or consumer group")
		}},
		{"the consumer group is deleted", func(t *testing.T) { becomes(t, "amqp:not-found", "there is no such event hub or consumer group") }},
		{"the right is taken away", func(t *testing.T) { becomes(t, "amqp:unauthorized-access", "not authorized") }},
		{"no such container", func(t *testing.T) { containerMissing(t, "ContainerNotFound", "the container does not exist") }},
		{"no right to the container", func(t *testing.T) {
			containerMissing(t, "AuthorizationPermissionMismatch", "not authorized: check the account name and key")
		}},
		{"no such host", func(t *testing.T) {
			cfg := eventhubs.Config{Namespace: "nowhere.invalid", EventHub: "hub", Credential: fakeCredential{}, Retry: quickRetry}
			endsWith(t, cfg, memory(), "", "the name does not resolve: check the namespace nowhere.invalid")
		}},
		{"nobody listens on the port", func(t *testing.T) {
			srv, err := eventhubstest.New(nil)
			require.NoError(t, err)
			cfg := srv.Config("hub")
			srv.Close()
			endsWith(t, cfg, memory(), "", "nothing listens there")
		}},
		{"TLS that isn't trusted", func(t *testing.T) {
			srv := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
			cfg := srv.Config("hub")
			cfg.TLSConfig, cfg.Retry = nil, quickRetry
			endsWith(t, cfg, memory(), "", "the server's certificate is not trusted")
		}},
		{"raw SDK", rawUnknownGroup},
	})
}

func memory() eventhubs.CheckpointStore { return eventhubs.NewMemoryCheckpointStore() }

// endsWith has Receive end by itself, within 10 seconds with the default Config.Retry, and say why.
func endsWith(t *testing.T, cfg eventhubs.Config, store eventhubs.CheckpointStore, group, want string) {
	t.Helper()
	c := newConsumer(t, cfg, store, &eventhubs.ConsumerOptions{Group: group})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := c.Receive(ctx, nothing)
	require.ErrorContains(t, err, want)
	require.False(t, errors.Is(err, context.DeadlineExceeded), "it has to end by itself: %v", err)
}

// becomes takes away while Receive runs what it needs.
func becomes(t *testing.T, condition, want string) {
	s := newScene(t, 2)
	s.send("0", 10)
	s.send("1", 10)
	r := s.receive("only", quick(), nothing)
	s.untilAll()
	s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnAttach, ConsumerGroup: "$Default", Condition: condition})
	s.srv.DropConnections()
	require.ErrorContains(t, r.result(), want)
	for _, id := range []string{"0", "1"} {
		require.EqualValues(t, 9, s.checkpoint(id), "checkpoints are written all the same")
		require.Empty(t, s.owner(id))
	}
	s.require(t, 0, 0, 0)
}

// containerMissing has the storage account refuse what needs somebody to act.
func containerMissing(t *testing.T, code, want string) {
	s := newScene(t, 1)
	s.srv.BlobFault(eventhubstest.BlobFault{Code: code})
	r := s.receive("only", quick(), nothing)
	require.ErrorContains(t, r.result(), want)
	_, err := eventhubs.NewBlobCheckpointStore(t.Context(), s.srv.BlobConfig("checkpoints"))
	require.ErrorContains(t, err, want)
}

// rawUnknownGroup records SDK-FACTS 15a: Run goes on, nothing arrives, and nobody is told.
func rawUnknownGroup(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 1)
	r := s.raw("reader", "nobody", earliest)
	s.rounds(r, "nobody", "0", 5)
	select {
	case <-r.ended:
		mended(t, fmt.Sprintf("the Processor doesn't end for an unknown consumer group (now: %v)", r.err), "probe in generation.go")
	case <-r.clients:
		t.Fatal("the Processor has opened a partition for an unknown consumer group")
	default:
	}
}
