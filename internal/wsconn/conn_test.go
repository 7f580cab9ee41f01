package wsconn_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/wsconn"
)

// patience is how long a test waits for what has to happen. It is never waited out when all is well.
const patience = 10 * time.Second

// pair returns a Conn, and the WebSocket at its other end.
func pair(t *testing.T) (*wsconn.Conn, *websocket.Conn) {
	t.Helper()
	accepted := make(chan *websocket.Conn, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
		}
		accepted <- ws
	}))
	t.Cleanup(srv.Close)
	socket, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, socket.SetDeadline(time.Now().Add(patience)))
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return socket, nil
	}}
	ws, _, err := websocket.Dial(t.Context(), srv.URL, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport},
	})
	require.NoError(t, err)
	peer := <-accepted
	c := wsconn.New(ws, socket)
	t.Cleanup(func() {
		_ = c.Close()
		_ = peer.CloseNow()
	})
	return c, peer
}

func write(t *testing.T, ws *websocket.Conn, kind websocket.MessageType, message string) {
	t.Helper()
	require.NoError(t, ws.Write(t.Context(), kind, []byte(message)))
}

// Messages form a stream: where they end is not seen, and one may be longer than a single Read.
func TestStream(t *testing.T) {
	c, peer := pair(t)
	n, err := c.Read(nil)
	require.NoError(t, err)
	require.Zero(t, n)
	for _, message := range []string{"one", "", "", "two, three"} {
		write(t, peer, websocket.MessageBinary, message)
	}
	got := make([]byte, 4)
	n, err = c.Read(got)
	require.NoError(t, err)
	require.Equal(t, "one", string(got[:n]), "it doesn't wait for more")
	for _, want := range []string{"two,", " thr"} {
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}

	_, err = c.Write([]byte("four"))
	require.NoError(t, err)
	kind, message, err := peer.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, websocket.MessageBinary, kind)
	require.Equal(t, "four", string(message))
}

func TestTextIsRefused(t *testing.T) {
	c, peer := pair(t)
	write(t, peer, websocket.MessageText, "text")
	_, err := c.Read(make([]byte, 4))
	require.ErrorContains(t, err, "where only binary ones are expected")
}

// However the peer closes the connection, Read returns io.EOF.
func TestEnd(t *testing.T) {
	for name, end := range map[string]func(*websocket.Conn){
		"closed":     func(ws *websocket.Conn) { _ = ws.Close(websocket.StatusNormalClosure, "") },
		"going away": func(ws *websocket.Conn) { _ = ws.Close(websocket.StatusGoingAway, "") },
		"dropped":    func(ws *websocket.Conn) { _ = ws.CloseNow() },
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := pair(t)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				end(peer)
			}()
			_, err := c.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			<-ended
		})
	}
}

// A deadline that passes fails Read alone: the peer can still be sent something.
func TestDeadline(t *testing.T) {
	c, peer := pair(t)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NotErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	_, err = c.Write([]byte("good-bye"))
	require.NoError(t, err)
	_, message, err := peer.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, "good-bye", string(message))
}

// Close doesn't wait for a peer that says nothing, and ends a Read.
func TestClose(t *testing.T) {
	c, _ := pair(t)
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	began := time.Now()
	require.NoError(t, c.Close())
	require.Less(t, time.Since(began), 2*time.Second)
	require.Error(t, <-ended)
}
