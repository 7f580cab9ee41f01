package eventhubstest

// NewDelayConn and MaxUnderway are here for the package's own tests.
var NewDelayConn = newDelayConn

const MaxUnderway = maxUnderway

// NewBlobListener is here for the same.
var NewBlobListener = newBlobListener
