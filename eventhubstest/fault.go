package eventhubstest

import (
	"time"

	"github.com/go-eventhubs/eventhubs/internal/blob"
	"github.com/go-eventhubs/eventhubs/internal/broker"
)

// Operation is what a [Fault] happens to.
type Operation string

// The operations of the namespace that can go wrong.
const (
	OnConnect    Operation = "connect"    // a new connection
	OnToken      Operation = "token"      // signing in: a token that is put on $cbs
	OnManagement Operation = "management" // asking for properties of an event hub or a partition
	OnAttach     Operation = "attach"     // opening a link to send or to receive
	OnPublish    Operation = "publish"    // a message that arrives: one event or a batch
	OnReceive    Operation = "receive"    // an event that is about to be delivered
)

// Fault is something that goes wrong in the namespace: what, where, how often and how.
// Of several faults that fit, the one declared first happens. A fault that sets nothing but Delay holds the operation up, and lets it go on then.
type Fault struct {
	On Operation
	// Hub and Partition say where; empty means all of them. A token is for a hub, and a link of a sender or a message may be for any
	// partition: such an operation only meets faults that name none.
	Hub, Partition string
	// ConsumerGroup says which readers it happens to; empty means all, and senders too.
	ConsumerGroup string
	// Skip is how many operations go well before it happens.
	Skip int
	// Times is how often it happens; 0 means until it is taken back.
	Times int
	// Delay comes before it. A message that is only held up is stored at once, so that order is kept, and acknowledged late.
	Delay time.Duration
	// Condition is the AMQP error, such as "com.microsoft:server-busy". It reaches the client the way that the service would send it:
	// "amqp:connection:…" closes the connection, "amqp:link:…" detaches the link, and anything else refuses the operation; a reader's
	// link is detached in that case, and a new connection is closed. Requests for tokens and properties are answered with the status
	// code that stands for it.
	Condition   string
	Description string
	// DropConnection closes the socket without a word, in place of an error.
	DropConnection bool
	// After has a message be stored before the fault happens. With nothing else set, only the answer is lost: that goes for requests
	// for tokens and properties too. For other operations it means nothing.
	After bool
}

// Fault declares something that goes wrong from now on, and returns what takes it back.
func (s *Server) Fault(f Fault) (remove func()) {
	return s.broker.AddFault(broker.Fault{
		On: broker.Operation(f.On), Hub: f.Hub, Partition: f.Partition, ConsumerGroup: f.ConsumerGroup, Skip: f.Skip, Times: f.Times,
		Delay: f.Delay, Condition: f.Condition, Description: f.Description, DropConnection: f.DropConnection, After: f.After,
	})
}

// BlobFault is something that goes wrong in the storage account.
// A fault with neither Status, Code nor Hang holds the operation up, and lets it go on then.
type BlobFault struct {
	// Operation is "CreateContainer", "GetContainerProperties", "ListBlobs", "PutBlob", "SetBlobMetadata", "GetBlob",
	// "GetBlobProperties" or "DeleteBlob"; empty means all.
	Operation string
	// Container is the container's name; empty means all.
	Container string
	// NameContains is part of a blob's name, such as "/ownership/", or of the prefix of a listing; empty means all.
	NameContains string
	// Times is how often it happens; 0 means until it is taken back.
	Times int
	// Status and Code are the HTTP status and Azure's error code, such as 503 and "ServerBusy". One of them is enough.
	Status int
	Code   string
	// Delay comes before it.
	Delay time.Duration
	// Hang never answers: the client has to give up.
	Hang bool
	// After has the operation be done first, so that only its answer is lost.
	After bool
}

// BlobFault declares something that goes wrong from now on, and returns what takes it back.
func (s *Server) BlobFault(f BlobFault) (remove func()) {
	return s.store.AddFault(blob.Fault(f))
}
