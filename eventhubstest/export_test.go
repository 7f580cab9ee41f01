package eventhubstest

import "net"

// NewDelayConn, NewAMQPConn and MaxUnderway are here for the package's own tests.
var NewDelayConn = newDelayConn

func NewAMQPConn(nc net.Conn) net.Conn { return newAMQPConn(nc) }

const MaxUnderway = maxUnderway

// NewHTTPListener is here for the same.
var NewHTTPListener = newHTTPListener
