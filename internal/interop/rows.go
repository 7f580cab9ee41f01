package main

import "context"

// row is an operation that every client is tried with.
type row struct {
	name string
	// at says in which variants it is run.
	at  []variant
	run func(ctx context.Context, s *scene) error
}

// variant is one of the ways in which a row is run: a transport, or whose storage account holds the checkpoints.
type variant string

const (
	plain   variant = "plain"
	overTLS variant = "TLS"
	local   variant = "local blobs"
	azurite variant = "Azurite"
)

var (
	transports = []variant{plain, overTLS}
	accounts   = []variant{local, azurite}
)

func rows() (all []row) {
	add := func(name string, run func(context.Context, *scene) error) {
		all = append(all, row{name, transports, run})
	}
	add("properties of the event hub", hubRow)
	add("properties of a partition", partitionRow)
	add("send a batch", sendBatch)
	add("receive from the earliest", receiveFromStart(func(*scene, []int64) start { return start{Earliest: true} }, 0))
	return all
}
