package blob_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

func TestNewRefuses(t *testing.T) {
	for _, o := range []blob.Options{
		{Account: "ab"}, {Account: strings.Repeat("a", 25)}, {Account: "With-Hyphen"},
		{MaxBlobSize: -1}, {MaxBlobs: -1}, {MaxBytes: -1},
	} {
		_, err := blob.New(o)
		require.Error(t, err, "%+v", o)
	}
}

// Memory is bounded, for requests and for Put, and deleting makes room.
func TestBounds(t *testing.T) {
	s := start(t, blob.Options{MaxBlobs: 2, MaxBytes: 1000})
	c := s.created(t, "box")
	require.NoError(t, s.Put("box", "a", nil, nil))
	require.NoError(t, s.Put("box", "b", nil, nil))
	require.NoError(t, s.Put("box", "b", nil, nil)) // replaces the other one
	_, err := c.NewBlockBlobClient("c").Upload(ctx(t), body(""), nil)
	requireCode(t, err, 503, "ServerBusy")
	require.True(t, s.Delete("box", "a"))
	_, err = c.NewBlockBlobClient("c").Upload(ctx(t), body(""), nil)
	require.NoError(t, err)

	_, err = c.NewBlockBlobClient("c").Upload(ctx(t), body(strings.Repeat("x", 900)), nil)
	require.NoError(t, err)
	require.NoError(t, s.Put("box", "c", []byte(strings.Repeat("y", 900)), nil)) // replaces the other one
	_, err = c.NewBlobClient("b").SetMetadata(ctx(t), map[string]*string{"a": ptr(strings.Repeat("x", 100))}, nil)
	requireCode(t, err, 503, "ServerBusy")
	require.Error(t, s.Put("box", "b", []byte(strings.Repeat("x", 100)), nil))
	_, err = c.Delete(ctx(t), nil)
	require.NoError(t, err)
	require.NoError(t, s.Put("box", "b", []byte(strings.Repeat("x", 900)), nil))

	for i := range 999 {
		require.NoError(t, s.CreateContainer(fmt.Sprintf("box%d", i)))
	}
	require.ErrorContains(t, s.CreateContainer("one-more"), "full")
	_, err = s.client(t, "one-more").Create(ctx(t), nil)
	requireCode(t, err, 503, "ServerBusy")
	require.NoError(t, s.CreateContainer("box")) // it exists already
}

func TestPutRefuses(t *testing.T) {
	s := start(t, blob.Options{MaxBlobSize: 10})
	require.Error(t, s.Put("No", "b", nil, nil))
	require.Error(t, s.Put("box", "", nil, nil))
	require.Error(t, s.Put("box", "b", make([]byte, 11), nil))
	require.ErrorContains(t, s.Put("box", "b", nil, map[string]string{"a-b": ""}), "InvalidMetadata")
	require.Empty(t, s.Names("box", ""))
}

// The methods that inspect an account copy what they take and return.
func TestCopies(t *testing.T) {
	s := start(t, blob.Options{})
	content, meta := []byte("abc"), map[string]string{"k": "v"}
	require.NoError(t, s.Put("box", "b", content, meta))
	content[0], meta["k"] = 'x', "x"
	got, _ := s.Get("box", "b")
	got.Content[1], got.Metadata["k"] = 'x', "x"
	again, _ := s.Get("box", "b")
	require.Equal(t, "abc", string(again.Content))
	require.Equal(t, map[string]string{"k": "v"}, again.Metadata)
	require.Equal(t, time.UTC, again.LastModified.Location())
}

// No ETag of one account is an ETag of the next.
func TestETagsOfTwoAccounts(t *testing.T) {
	seen := make(map[string]bool)
	for range 3 {
		s := start(t, blob.Options{})
		for i := range 3 {
			require.NoError(t, s.Put("box", fmt.Sprint(i), nil, nil))
			b, _ := s.Get("box", fmt.Sprint(i))
			require.False(t, seen[b.ETag])
			seen[b.ETag] = true
		}
	}
}
