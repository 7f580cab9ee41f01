package sdkerr_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// TestVersions is to be changed together with go.mod, once the other tests of this package have passed: they provoke
// each text that the package reads.
func TestVersions(t *testing.T) {
	b, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	for _, pinned := range []string{
		"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2 v2.0.2", "github.com/Azure/go-amqp v1.7.0",
	} {
		require.Contains(t, string(b), pinned+"\n")
	}
}

// is what the package says about an error.
type is struct {
	unauthorized, notFound, noPartition, invalid, busy, ownershipLost, refusedPosition, undecodable, context bool
	fromLink                                                                                                 bool
}

func says(err error) is {
	return is{
		unauthorized: sdkerr.IsUnauthorized(err), notFound: sdkerr.IsNotFound(err), noPartition: sdkerr.IsNoPartition(err),
		invalid: sdkerr.IsInvalid(err), busy: sdkerr.IsBusy(err), ownershipLost: sdkerr.IsOwnershipLost(err),
		refusedPosition: sdkerr.IsRefusedPosition(err), undecodable: sdkerr.IsUndecodable(err),
		context: sdkerr.IsContext(err), fromLink: sdkerr.FromLink(err),
	}
}

// TestErrors has the service, or the SDK, fail in each way that somebody asks about.
func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		provoke func(s *scene) error
		want    is
	}{
		// of links that are not open yet
		"reader, attach unauthorized": {on(eventhubstest.OnAttach, "amqp:unauthorized-access", (*scene).read),
			is{unauthorized: true}},
		"sender, attach unauthorized": {on(eventhubstest.OnAttach, "amqp:unauthorized-access", (*scene).sendOne),
			is{unauthorized: true}},
		"token refused":          {wrongKey((*scene).read), is{unauthorized: true}},
		"token refused, sending": {wrongKey((*scene).sendOne), is{unauthorized: true}},
		"token forbidden": {on(eventhubstest.OnToken, "amqp:resource-limit-exceeded", (*scene).read),
			is{unauthorized: true}},
		"no such consumer group": {func(s *scene) error {
			return s.receive(s.reader(s.consumer("none", ""), "0", earliest))
		}, is{notFound: true}},
		"no such hub, sending": {noHub((*scene).sendOne), is{notFound: true}},
		"no such partition": {func(s *scene) error {
			return s.receive(s.reader(s.consumer(azeventhubs.DefaultConsumerGroup, ""), "9", earliest))
		}, is{noPartition: true, invalid: true}},
		"no such partition, sending": {func(s *scene) error {
			return s.send(s.producer(nil), &azeventhubs.EventDataBatchOptions{PartitionID: ptr("9")}, &azeventhubs.EventData{})
		}, is{noPartition: true, invalid: true}},
		"a sequence number after the end": {func(s *scene) error {
			return s.readAt(azeventhubs.StartPosition{SequenceNumber: ptr(int64(700))})
		}, is{refusedPosition: true}},
		"an offset after the end": {func(s *scene) error {
			return s.readAt(azeventhubs.StartPosition{Offset: ptr("70000")})
		}, is{refusedPosition: true}},
		"an offset of another kind": {
			on(eventhubstest.OnAttach, "com.microsoft:georeplication:invalid-offset", (*scene).read), is{refusedPosition: true}},
		"a reader with a higher epoch": {func(s *scene) error {
			s.outrank("")
			return s.read()
		}, is{ownershipLost: true}},
		"busy, attach": {on(eventhubstest.OnAttach, "com.microsoft:server-busy", (*scene).read), is{busy: true}},
		"disabled":     {on(eventhubstest.OnAttach, "com.microsoft:entity-disabled", (*scene).read), is{invalid: true}},
		"not allowed":  {on(eventhubstest.OnAttach, "amqp:not-allowed", (*scene).read), is{invalid: true}},
		"attach is lost": {func(s *scene) error {
			s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnAttach, Delay: time.Hour})
			return s.read()
		}, is{context: true}},
		"token is lost": {func(s *scene) error {
			s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnToken, After: true})
			return s.read()
		}, is{context: true}},
		"nothing listens": {func(s *scene) error {
			s.srv.Close()
			return s.read()
		}, is{}},

		// of links that are open
		"silent": {(*scene).read, is{context: true, fromLink: true}},
		"stolen": {
			func(s *scene) error { return s.stolen("thief") }, is{ownershipLost: true, fromLink: true},
		},
		"detached":                      {onEvent("amqp:link:detach-forced"), is{fromLink: true}},
		"unauthorized while reading":    {onEvent("amqp:unauthorized-access"), is{unauthorized: true, fromLink: true}},
		"hub deleted while reading":     {onEvent("amqp:not-found"), is{notFound: true, fromLink: true}},
		"busy while reading":            {onEvent("com.microsoft:server-busy"), is{busy: true, fromLink: true}},
		"an error of the service's own": {onEvent("amqp:internal-error"), is{fromLink: true}},
		"connection closed":             {onEvent("amqp:connection:forced"), is{fromLink: true}},
		"connection cut": {func(s *scene) error {
			s.retry.MaxRetries = -1 // it would connect again
			p := s.opened()
			time.AfterFunc(time.Second, s.srv.DropConnections)
			return s.receive(p)
		}, is{fromLink: true}},
		"undecodable": {func(s *scene) error {
			s.sendDecimal()
			return s.read()
		}, is{undecodable: true, fromLink: true}},
		"cancelled": {func(s *scene) error {
			p := s.opened()
			ctx, cancel := context.WithCancel(s.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := p.ReceiveEvents(ctx, 1, nil)
			return err
		}, is{context: true, fromLink: true}},
		"too large": {func(s *scene) error {
			p := s.producer(nil)
			s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Condition: "amqp:link:message-size-exceeded"})
			return s.send(p, nil, &azeventhubs.EventData{})
		}, is{invalid: true, fromLink: true}},
		"busy, sending": {
			on(eventhubstest.OnPublish, "com.microsoft:server-busy", (*scene).sendOne), is{busy: true, fromLink: true},
		},
		"timeout, sending": {
			on(eventhubstest.OnPublish, "com.microsoft:timeout", (*scene).sendOne), is{busy: true, fromLink: true},
		},
		"cancelled by the service": {
			on(eventhubstest.OnPublish, "com.microsoft:operation-cancelled", (*scene).sendOne), is{busy: true, fromLink: true}},

		// of questions
		"question, unauthorized": {on(eventhubstest.OnManagement, "amqp:unauthorized-access", (*scene).askHub),
			is{unauthorized: true}},
		"question, wrong key":   {wrongKey((*scene).askHub), is{unauthorized: true}},
		"question, no such hub": {noHub((*scene).askHub), is{notFound: true}},
		"question, not found": {
			on(eventhubstest.OnManagement, "amqp:not-found", (*scene).askPartition), is{notFound: true},
		},
		"question, busy": {
			on(eventhubstest.OnManagement, "com.microsoft:server-busy", (*scene).askPartition), is{busy: true},
		},
		"question, timeout": {on(eventhubstest.OnManagement, "com.microsoft:timeout", (*scene).askHub), is{busy: true}},
		"question, 500":     {on(eventhubstest.OnManagement, "amqp:internal-error", (*scene).askHub), is{busy: true}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(s *scene) {
				err := c.provoke(s)
				require.Error(s, err)
				require.Equal(s, c.want, says(err), "%T %v", err, err)
			})
		})
	}
}

// TestErrorsOfNoSDK are none of these, whatever their texts are like.
func TestErrorsOfNoSDK(t *testing.T) {
	require.Equal(t, is{}, says(os.ErrNotExist))
	require.Equal(t, is{context: true}, says(context.Canceled))
}

// on has an operation fail with a condition.
func on(op eventhubstest.Operation, condition string, do func(*scene) error) func(*scene) error {
	return func(s *scene) error {
		s.srv.Fault(eventhubstest.Fault{On: op, Condition: condition})
		return do(s)
	}
}

// onEvent has a link that is open fail with a condition when an event comes.
func onEvent(condition string) func(*scene) error {
	return func(s *scene) error {
		p := s.opened()
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, Condition: condition})
		sent := make(chan error, 1)
		time.AfterFunc(time.Second, func() { sent <- s.srv.Send(context.Background(), "hub", eventhubs.Event{}) })
		err := s.receive(p)
		require.NoError(s, <-sent)
		return err
	}
}

// wrongKey has clients sign with a key that the server doesn't know.
func wrongKey(do func(*scene) error) func(*scene) error {
	return replaced(eventhubstest.DefaultKey, "d3Jvbmc=", do)
}

func noHub(do func(*scene) error) func(*scene) error {
	return replaced("EntityPath=hub", "EntityPath=none", do)
}

func TestThief(t *testing.T) {
	bubble(t, func(s *scene) {
		name, epoch, ok := sdkerr.Thief(s.stolen("somebody else"))
		require.True(s, ok)
		require.Equal(s, "somebody else", name)
		require.Zero(s, epoch)
		s.outrank("a monitor")
		name, epoch, ok = sdkerr.Thief(s.read())
		require.True(s, ok)
		require.Equal(s, "a monitor", name)
		require.EqualValues(s, 7, epoch)
		_, _, ok = sdkerr.Thief(context.Canceled)
		require.False(s, ok)
	})
}

// TestLimit asks for a batch that is larger than the link allows.
func TestLimit(t *testing.T) {
	bubble(t, func(s *scene) {
		_, err := s.producer(nil).NewEventDataBatch(s.Context(), &azeventhubs.EventDataBatchOptions{MaxBytes: 1 << 40})
		require.EqualValues(s, 1<<20, sdkerr.Limit(err), "%v", err)
		require.Zero(s, sdkerr.Limit(s.read()))
		require.Zero(s, sdkerr.Limit(nil))
	})
}

// TestIsStorageRefusal asks the storage account for a listing, as checkpoint stores do.
func TestIsStorageRefusal(t *testing.T) {
	for code, refusal := range map[string]bool{
		"AuthorizationFailure": true, "AuthenticationFailed": true, "NoAuthenticationInformation": true,
		"ContainerNotFound": true, "ServerBusy": false, "InternalError": false, "ContainerBeingDeleted": false,
	} {
		t.Run(code, func(t *testing.T) {
			bubble(t, func(s *scene) {
				s.srv.BlobFault(eventhubstest.BlobFault{Operation: "ListBlobs", Code: code})
				err := s.list()
				require.Error(s, err)
				require.Equal(s, refusal, sdkerr.IsStorageRefusal(err), "%v", err)
			})
		})
	}
}
