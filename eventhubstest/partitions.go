package eventhubstest

import "fmt"

// AddPartitions adds n partitions to an event hub while it is in use, as Premium and Dedicated namespaces can. Clients
// find them by asking for the hub's properties. Events that name no partition go to the new partitions as well, and
// keys are spread over all. Open links stay open. It is an error if there is no such hub, or if it would have more than
// 10,000 partitions.
func (s *Server) AddPartitions(hub string, n int) error {
	if err := s.broker.AddPartitions(hub, n); err != nil {
		return fmt.Errorf("eventhubstest: add partitions: %w", err)
	}
	return nil
}

// Reset deletes an event hub and creates it again, with as many partitions and the same consumer groups. The new hub is
// empty, its sequence numbers and offsets start over, and its properties say when it was created. Links to the old hub
// are detached with "amqp:not-found". Connections and tokens stay. Checkpoints of the old hub lie past the end of the
// new partitions, where readers are refused with "com.microsoft:argument-error". It is an error if there is no such
// hub.
func (s *Server) Reset(hub string) error {
	if err := s.broker.Reset(hub); err != nil {
		return fmt.Errorf("eventhubstest: reset: %w", err)
	}
	return nil
}
