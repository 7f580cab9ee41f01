// Package eventhubstest is an Event Hubs namespace in one Go process: to Event Hubs what net/http/httptest is to HTTP.
//
// Programs talk to it over a real socket, in real AMQP 1.0, with Microsoft's own SDKs in any language; nothing is mocked. Beside
// it runs the part of Azure Blob Storage that a checkpoint store needs. So a program that uses Event Hubs can be run and tested
// without Azure, without Docker and without the network:
//
//	srv := eventhubstest.Start(t, nil)
//	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
//
// Events are kept in memory, up to a bound for each partition, and are gone when the server is closed. It is made for tests and
// for development on one machine: it listens on loopback, and its keys are known to everyone.
package eventhubstest
