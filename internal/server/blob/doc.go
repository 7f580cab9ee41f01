// Package blob is a small Azure Blob Storage server that runs in the process
// and keeps everything in memory. It answers the REST calls that an Event Hubs
// checkpoint store makes, and no others: containers, block blobs written in one
// request, their metadata, and flat or delimited listings.
//
// It answers these as the service does: status, error code, headers, XML,
// ETags, conditional headers, and the checks of the request's signature. It
// refuses what it does not know (leases, snapshots, tags, blocks, shared access
// signatures, customer keys, ...) with an error that names the header or
// parameter. It never ignores something that would change the meaning of a
// request.
//
// An [Account] is an [net/http.Handler]. Serve it directly, not behind an
// [net/http.ServeMux], which rewrites paths that have empty segments. Time limits
// for slow peers are those of the [net/http.Server].
//
// Failures can be declared with [Account.AddFault].
package blob
