package eventhubstest

import "net"

// These names are for the external tests of this package.
var (
	NewDelayConn    = newDelayConn
	NewHTTPListener = newHTTPListener
)

const MaxUnderway = maxUnderway

func NewAMQPConn(nc net.Conn) net.Conn { return newAMQPConn(nc) }
