package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEventOf(t *testing.T) {
	for line, want := range map[string]string{
		`Received the event: "First event" from the partition with ID: "0"`:     "First event", // Python, Java
		`Received event "First event" from partition 0 (sequence number 1)`:     "First event", // ours
		`Received event "\"First event\"" from partition 0 (sequence number 1)`: "First event", // JavaScript sent it
		`Received the event: ""First event"" from the partition with ID: "0"`:   "First event",
	} {
		got, ok := eventOf(line)
		require.True(t, ok, line)
		require.Equal(t, want, got, line)
	}
	_, ok := eventOf("Stopped receiving")
	require.False(t, ok)
}

func TestWithoutValue(t *testing.T) {
	for line, want := range map[string]string{
		"export EVENT_HUB_NAME='hub'":              "export EVENT_HUB_NAME='hub'",
		"export SSL_CERT_FILE='/tmp/x/roots.pem'":  "export SSL_CERT_FILE='…'",
		"export IDENTITY_HEADER='secret'":          "export IDENTITY_HEADER='…'",
		"# The emulator is ready; Ctrl-C ends it.": "# The emulator is ready; Ctrl-C ends it.",
	} {
		require.Equal(t, want, withoutValue(line))
	}
}
