package eventhubs_test

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

// TestMain fails when the tests leave goroutines behind. The program is also what a test starts as another process.
func TestMain(m *testing.M) {
	if os.Getenv(passwordlessEnv) != "" {
		os.Exit(bePasswordless())
	}
	eventhubs.LogSDK(nil)() // which has to be called first before there are clients
	leaktest.Main(m)
}

// patience is how long a test on real sockets waits for what has to happen. It passes only when something is wrong.
const patience = time.Minute

// quickRetry has the SDK give up soon.
var quickRetry = azeventhubs.RetryOptions{
	MaxRetries: 3, RetryDelay: 10 * time.Millisecond, MaxRetryDelay: 50 * time.Millisecond,
}

// fakeCredential is a credential that nothing asks for a token.
type fakeCredential struct{}

func (fakeCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func nothing(context.Context, *eventhubs.ReceivedEvent) error { return nil }

func memory() eventhubs.CheckpointStore { return eventhubs.NewMemoryCheckpointStore() }

func newProducer(t testing.TB, cfg eventhubs.Config) *eventhubs.Producer {
	t.Helper()
	p, err := eventhubs.NewProducer(cfg, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.WithoutCancel(t.Context()))) })
	return p
}

func newConsumer(
	t testing.TB, cfg eventhubs.Config, store eventhubs.CheckpointStore, o *eventhubs.ConsumerOptions,
) *eventhubs.Consumer {
	t.Helper()
	c, err := eventhubs.NewConsumer(cfg, store, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(context.WithoutCancel(t.Context()))) })
	return c
}

// inMemory runs a test in virtual time, in a scene whose server has these options.
func inMemory(t *testing.T, o eventhubstest.Options, test func(s *scene.Scene)) {
	t.Helper()
	t.Parallel()
	o.InMemory = true
	synctest.Test(t, func(t *testing.T) { test(scene.Open(t, o)) })
}

// sendAndReceive sends an event, and returns when it was handled.
func sendAndReceive(t testing.TB, s *scene.Scene, send, receive eventhubs.Config) {
	t.Helper()
	p, err := eventhubs.NewProducer(send, nil)
	require.NoError(t, err)
	require.NoError(t, p.Send(t.Context(), eventhubs.Event{Body: []byte("event")}))
	require.NoError(t, p.Close(t.Context()))
	r := s.ConsumerWith(receive, memory(), eventhubs.ConsumerOptions{})
	r.Receive(nothing)
	s.UntilHandled()
	r.Stop()
}
