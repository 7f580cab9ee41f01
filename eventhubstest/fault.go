package eventhubstest

import (
	"sync/atomic"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// Operation is the exchange between a client and the namespace that a [Fault] happens to.
type Operation string

// The exchanges that can go wrong, in the order in which a client comes to them.
const (
	OnConnect Operation = "connect" // a new connection: the socket is accepted
	OnSASL    Operation = "sasl"    // the client chooses a SASL mechanism
	OnOpen    Operation = "open"    // the connection is opened
	OnBegin   Operation = "begin"   // a session is begun
	OnAttach  Operation = "attach"  // a link is opened: one that carries events, unless Link names another
	OnToken   Operation = "token"   // the client signs in: it puts a token on $cbs
	// OnAttached comes after a link was attached: a fault with a Condition detaches it again.
	OnAttached Operation = "attached"

	OnHubProperties       Operation = "hub-properties"       // asking $management for the properties of an event hub
	OnPartitionProperties Operation = "partition-properties" // asking $management for those of a partition
	OnManagement          Operation = "management"           // asking $management for anything

	OnPublish Operation = "publish" // a message arrives, with one event or a batch; its answer says that it was accepted
	OnReceive Operation = "receive" // an event is about to be delivered
	OnDetach  Operation = "detach"  // a client closes a link: one that carries events, unless Link names another
	OnEnd     Operation = "end"     // a client ends a session
	OnClose   Operation = "close"   // a client closes the connection
)

// LinkKind says what a link is for.
type LinkKind string

// The kinds of links.
const (
	SenderLink     LinkKind = "sender"     // events are sent to the namespace
	ReaderLink     LinkKind = "reader"     // events are read from a partition
	TokenLink      LinkKind = "token"      // one of the two links to $cbs, for tokens
	ManagementLink LinkKind = "management" // one of the two links to $management, for properties
)

// Fault is something that goes wrong in the namespace: where, how often and how. If several faults fit an exchange, the
// one declared first happens.
//
// Condition, Hang, DropConnection and SilenceConnection say how the exchange fails. With none of them, the exchange is
// only late, by Delay; if After is set, its answer is lost. Only the exchange itself is affected: others go on, even on
// the same connection, unless the connection is dropped or goes silent. To have a message refused before it is stored:
//
//	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Condition: "com.microsoft:server-busy", Times: 1})
//
// To have it stored but never answered:
//
//	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Hang: true, After: true, Times: 1})
type Fault struct {
	// On is the exchange that goes wrong.
	On Operation
	// Hub, Partition and ConsumerGroup say where; empty means anywhere. A fault that names one of them happens only to
	// exchanges that name it, too: connections and sessions name nothing, and the links and messages of a sender need not
	// name a partition. A token names the same as the link that it is for.
	Hub, Partition string
	ConsumerGroup  string
	// Link says which links OnAttach, OnAttached and OnDetach apply to; for OnToken it says which links the tokens are
	// for. Empty means links that carry events, and all tokens.
	Link LinkKind
	// Skip is how many exchanges succeed before the fault happens.
	Skip int
	// Times is how often the fault happens; 0 means until it is removed.
	Times int
	// Happened counts how often the fault has happened; nil means no counting. It counts when a fault begins, before its
	// delay.
	Happened *atomic.Int64
	// Delay comes before the fault. A message that is only delayed is stored at once, to keep the order, and acknowledged
	// late.
	Delay time.Duration
	// Condition is the AMQP error, such as "com.microsoft:server-busy". It reaches the client as the service would send
	// it: "amqp:connection:…" closes the connection, "amqp:link:…" detaches the link, and anything else refuses the
	// exchange. A refused delivery detaches the reader's link. A refused connection or session is closed as soon as it is
	// open. Requests for tokens and properties are answered with the condition and the status code that stands for it.
	// SASL has only codes.
	Condition   string
	Description string
	// Hang makes the server never answer: the client has to give up. The connection stays as it is. A reader's link
	// delivers nothing more.
	Hang bool
	// DropConnection closes the socket without sending an error.
	DropConnection bool
	// SilenceConnection makes the connection silent, as when a NAT drops its state: from then on nothing arrives on either
	// side, but the socket stays open until the client, DropConnections or Close closes it.
	SilenceConnection bool
	// After performs the exchange before the fault happens, so that only the answer fails: a message is stored, a token
	// taken, a link attached or detached, an event delivered. With nothing else set, the answer is lost, as with Hang.
	// After makes no difference for other exchanges, because they have no effect beyond the answer. An event gets a
	// millisecond to arrive, or Delay if that is longer; with Options.RoundTrip, set Delay.
	After bool
}

// Fault declares a fault that can happen from now on, and returns a function that removes it. Removing it does not
// release what it already holds up.
func (s *Server) Fault(f Fault) (remove func()) {
	return s.broker.AddFault(broker.Fault{
		On: broker.Operation(f.On), Hub: f.Hub, Partition: f.Partition, ConsumerGroup: f.ConsumerGroup,
		Link: broker.LinkKind(f.Link), Skip: f.Skip, Times: f.Times, Happened: f.Happened, Delay: f.Delay,
		Condition: f.Condition, Description: f.Description, Hang: f.Hang,
		DropConnection: f.DropConnection, SilenceConnection: f.SilenceConnection, After: f.After,
	})
}

// BlobFault is something that goes wrong in the storage account: where, how often and how. If several faults fit an
// operation, the one declared first happens. With neither Status, Code, Hang nor DropConnection, the operation is only
// late, by Delay.
//
// The calls of a checkpoint store can be told apart. CreateContainer creates the container. ListBlobs with NameContains
// "/ownership" or "/checkpoint/" lists. PutBlob with "/ownership/" claims a partition that nobody has held yet.
// SetBlobMetadata with "/ownership/" claims other partitions, and renews claims; with an empty "ownerid" in Metadata,
// it releases them.
type BlobFault struct {
	// Operation is "CreateContainer", "GetContainerProperties", "ListBlobs", "PutBlob", "SetBlobMetadata", "GetBlob",
	// "GetBlobProperties" or "DeleteBlob"; empty means all.
	Operation string
	// Container is the container's name; empty means all.
	Container string
	// NameContains is part of a blob's name, such as "/ownership/", or of the prefix of a listing; empty means all.
	NameContains string
	// Metadata are values that a request has to carry, by name; nil means any.
	Metadata map[string]string
	// Skip is how many operations succeed before the fault happens.
	Skip int
	// Times is how often the fault happens; 0 means until it is removed.
	Times int
	// Happened counts how often the fault has happened; nil means no counting.
	Happened *atomic.Int64
	// Status and Code are the HTTP status and Azure's error code, such as 503 and "ServerBusy". One of them is enough.
	Status int
	Code   string
	// Delay comes before the fault.
	Delay time.Duration
	// Hang makes the server never answer: the client has to give up. To the client it looks like a silent connection.
	Hang bool
	// DropConnection closes the connection instead of answering.
	DropConnection bool
	// After performs the operation first, so that only its answer is lost.
	After bool
}

// BlobFault declares a fault that can happen from now on, and returns a function that removes it.
func (s *Server) BlobFault(f BlobFault) (remove func()) {
	return s.store.AddFault(blob.Fault(f))
}
