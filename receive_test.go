package eventhubs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// TestReceiveResumesAfterTheLastProcessedEvent does so with each of the package's stores.
func TestReceiveResumesAfterTheLastProcessedEvent(t *testing.T) {
	for name, open := range map[string]func(s *scene.Scene) eventhubs.CheckpointStore{
		"blob":   func(s *scene.Scene) eventhubs.CheckpointStore { return s.Store },
		"memory": func(*scene.Scene) eventhubs.CheckpointStore { return memory() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scene.In(t, 4, func(s *scene.Scene) {
				store := open(s)
				for _, who := range []string{"first", "second", "third"} {
					s.Send(5, "0", "1", "2", "3")
					r := s.ConsumerWith(s.Config, store, eventhubs.ConsumerOptions{InstanceID: who})
					r.Receive(nothing)
					s.UntilHandled()
					r.Stop()
				}
				s.Check(0)
			})
		})
	}
}

// TestLogOfAQuietHour has nothing go wrong: what is logged above DEBUG is who has taken which partition.
func TestLogOfAQuietHour(t *testing.T) {
	t.Parallel()
	scene.In(t, 2, func(s *scene.Scene) {
		r := s.Receive("only", eventhubs.ConsumerOptions{}, nothing)
		s.Send(5, "0")
		time.Sleep(time.Hour)
		s.Send(5, "0")
		s.UntilHandled()
		r.Stop()
		attributes := []string{"event_hub=hub", "group=$Default", "owner=only", "partition=0"}
		require.Equal(s.T, 1, s.Log.Count(append(attributes, "level=INFO", `msg="eventhubs: partition taken"`, "held=")...))
		require.Equal(s.T, 2, s.Log.Count("level=INFO"), "one for each partition")
		require.Zero(s.T, s.Log.Count("level=WARN")+s.Log.Count("level=ERROR"))
		require.Equal(s.T, 2, s.Log.Count(append(attributes, "level=DEBUG", `msg="eventhubs: checkpoint written"`)...))
	})
}
