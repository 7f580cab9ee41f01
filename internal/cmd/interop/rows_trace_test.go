package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestContinues(t *testing.T) {
	before := span{Name: "send", TraceID: "1", SpanID: "a"}
	require.NoError(t, continues(span{TraceID: "1", SpanID: "b", ParentID: "a"}, before))
	require.Error(t, continues(span{TraceID: "2", SpanID: "b", ParentID: "a"}, before), "another trace")
	require.Error(t, continues(span{TraceID: "1", SpanID: "b", ParentID: "c"}, before), "another parent")
	require.Error(t, continues(span{}, span{}), "no span at all")
}

func TestFollows(t *testing.T) {
	before := span{Name: "send", TraceID: "1", SpanID: "a"}
	linked := span{TraceID: "2", SpanID: "b", Links: []spanID{{"1", "a"}}}
	s := &scene{}
	require.NoError(t, s.follows("js", linked, before))
	require.Error(t, s.follows("js", span{TraceID: "2", SpanID: "b"}, before))
	require.Error(t, s.follows("python", linked, before), "only batches link")
}
