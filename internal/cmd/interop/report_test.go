package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPageKeepsWhatWasWrittenByHand(t *testing.T) {
	empty := &table{}
	generated := empty.markdown()
	require.Equal(t, generated, empty.page(""))
	require.Equal(t, generated, empty.page("an older page"))
	require.Equal(t, generated+"\n"+byHand+"\n\n## Mine\n", empty.page("an older page\n\n"+byHand+"\n\n## Mine\n"))
}

func TestTranscriptIsInThePage(t *testing.T) {
	rows := []row{{name: "a", at: transports}, {name: "b", at: transports, shows: "Title", about: "About."}}
	told := &table{rows: rows, columns: []*column{{name: "x"}, {name: "y"}}, results: map[cell]result{
		{1, 1, overTLS}: {outcome: passing, transcript: []string{"$ command", "output"}},
	}}
	require.Contains(t, told.markdown(), "\n## Title\n\nAbout.\n\n```console\n$ command\noutput\n```\n")
}
