package eventhubs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestWhatGoesWellIsLoggedAtDebug follows a partition from its taking to its giving back.
func TestWhatGoesWellIsLoggedAtDebug(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 5)
	r := s.receive("only", calm(), nothing)
	s.untilAll()
	r.stop()
	for _, what := range []string{`msg="eventhubs: partition taken"`, `msg="eventhubs: checkpoint written"`, `msg="eventhubs: partition given back"`} {
		require.Equal(t, 1, s.log.count("level=DEBUG", what, "event_hub=hub", "group=$Default", "owner=only", "partition=0"), what)
	}
	require.Equal(t, 1, s.log.count("checkpoint written", "sequence=4"))
	for _, level := range []string{"INFO", "WARN", "ERROR"} {
		require.Zero(t, s.log.count("level="+level), level)
	}
}

// failCheckpoints has the first so many writes of new checkpoints fail; 0 means all.
func (s *scene) failCheckpoints(times int) {
	for _, operation := range []string{"PutBlob", "SetBlobMetadata"} {
		s.srv.BlobFault(eventhubstest.BlobFault{NameContains: "/checkpoint/", Operation: operation, Status: 503, Times: times})
	}
}

// TestFailingCheckpointsAreTold has three writes fail, of those that go on beside reading.
func TestFailingCheckpointsAreTold(t *testing.T) {
	s := newScene(t, 1)
	s.failCheckpoints(3)
	s.send("0", 5)
	o := calm()
	o.CheckpointInterval = 20 * time.Millisecond
	s.receive("only", o, nothing)
	s.until("it is told that they can be written again", func() bool {
		return s.log.count("level=INFO", "checkpoints can be written again", "partition=0", "sequence=4") == 1
	})
	failed := s.log.count("level=WARN", "a checkpoint could not be written", "partition=0")
	require.Equal(t, 2, failed, "the first and the second")
	require.EqualValues(t, 4, s.checkpoint("0"))
}

// TestLossAtTheLastCheckpointIsNoError has a partition be taken while its last checkpoint can't be written.
func TestLossAtTheLastCheckpointIsNoError(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 5)
	o := quick()
	s.failCheckpoints(0)
	r := s.receive("only", o, nothing)
	s.untilAll()
	r.cancel()
	s.until("the last checkpoint is tried", func() bool { return s.log.count("a checkpoint could not be written", "failures=4") == 1 })
	takeInStore(t, s, s.store, "0")
	require.NoError(t, r.result())
	require.Equal(t, 1, s.log.count("level=INFO", "the partition was lost before its last checkpoint was written", "partition=0"))
	require.Zero(t, s.log.count("level=ERROR"))
}
