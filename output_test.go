package eventhubs_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// spoken is all that is printed, logged or returned as an error.
type spoken struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *spoken) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// print prints a value in every way there is. Errors are printed with all that they wrap.
func (s *spoken) print(v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t"} {
		_, _ = fmt.Fprintf(s, verb+"\n", v)
	}
	_, _ = fmt.Fprintf(s, "%+v %#v\n", struct{ V any }{v}, []any{v})
	if b, err := json.Marshal(v); err == nil {
		_, _ = s.Write(b)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(s, nil), slog.NewJSONHandler(s, nil)} {
		slog.New(h).Info("value", "v", v, slog.Group("g", "v", v))
	}
	if err, ok := v.(error); ok && errors.Unwrap(err) != nil {
		s.print(errors.Unwrap(err))
	}
}

// fails prints an error, which has to be there.
func (s *spoken) fails(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	s.print(err)
}

// require fails the test if a secret was spoken, as it is or in disguise.
func (s *spoken) require(t *testing.T, secrets map[string]string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.text.String()
	require.Greater(t, len(text), 10_000, "there has to be something to look at")
	for what, secret := range secrets {
		require.NotEmpty(t, secret, what)
		for _, form := range []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), fmt.Sprintf("%x", secret),
			base64.StdEncoding.EncodeToString([]byte(secret)),
		} {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("%s was spoken: …%s", what, text[max(at-300, 0):min(at+len(form)+50, len(text))])
			}
		}
	}
}

// remembering notes the tokens that a credential gives.
type remembering struct {
	azcore.TokenCredential
	mu     sync.Mutex
	tokens []string
}

func (r *remembering) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := r.TokenCredential.GetToken(ctx, o)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = append(r.tokens, token.Token)
	return token, err
}

// No key, signature or token is in anything that is printed, logged or returned, whether all goes well or nothing does.
func TestNoSecrets(t *testing.T) {
	const (
		key        = "Q0FOQVJZLWV2ZW50LWh1YnMta2V5"
		storageKey = "Q0FOQVJZLXN0b3JhZ2Uta2V5Q0FOQVJZLXN0b3JhZ2Uta2V5Q0FOQVJZLXN0b3JhZ2Uta2V5Q0FOQVJZLXN0b3JhZ2U="
		blobSAS    = "sv=2022-11-02&se=2099-01-01T00%3A00%3A00Z&sr=c&sp=rwl&sig=Q0FOQVJZLXN0b3JhZ2Utc2ln"
		password   = "CANARY-password"
	)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := &spoken{}
	logger := slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
	defer eventhubs.LogSDK(logger)()
	srv := eventhubstest.Start(t, &eventhubstest.Options{
		TLS:   true,
		Rules: []eventhubstest.Rule{{Name: "all", Key: key, Rights: []eventhubstest.Right{eventhubstest.RightManage}}},
		Hubs:  []eventhubstest.Hub{{Name: "hub", Partitions: 1}},
	})
	credential := &remembering{TokenCredential: srv.Credential()}
	signed := srv.SASConnectionString("all", "hub", time.Now().Add(time.Hour))
	expired := srv.SASConnectionString("all", "hub", time.Now().Add(-time.Hour))
	passwordless := srv.PasswordlessConfig("hub")
	passwordless.Credential = credential

	configs := map[string]eventhubs.Config{
		"key":               srv.Config("hub"),
		"signature":         {ConnectionString: signed},
		"token":             passwordless,
		"expired signature": {ConnectionString: expired},
		"wrong hub": {
			ConnectionString: strings.Replace(srv.ConnectionString("hub"), "EntityPath=hub", "EntityPath=none", 1),
		},
		"in the wrong field":  {Namespace: signed, EventHub: "hub"},
		"in the wrong fields": {Namespace: "contoso.servicebus.windows.net", EventHub: srv.ConnectionString("")},
		"in the endpoint":     {ConnectionString: signed, Endpoint: srv.ConnectionString("")},
		"two hubs":            {ConnectionString: signed, EventHub: "other"},
		"two namespaces":      {ConnectionString: signed, Namespace: srv.ConnectionString("")},
		"two credentials":     {ConnectionString: signed, Credential: credential},
		"malformed":           {ConnectionString: "SharedAccessKey=" + key, EventHub: "hub"},
		"white space":         {ConnectionString: strings.Replace(signed, "sig=", "sig="+key+" ", 1), EventHub: "hub"},
		"an IoT Hub's": {
			ConnectionString: "HostName=contoso.azure-devices.net;SharedAccessKey=" + key,
			EventHub:         "hub",
		},
		"storage's": {ConnectionString: "AccountName=contoso;AccountKey=" + storageKey, EventHub: "hub"},
		"storage's as a hub": {
			Namespace: "contoso.servicebus.windows.net",
			EventHub:  "AccountName=c;AccountKey=" + storageKey,
		},
		"no semicolon":      {ConnectionString: strings.Replace(srv.ConnectionString(""), ";", " ", 1), EventHub: "hub"},
		"a key in the path": {ConnectionString: srv.ConnectionString("") + ";EntityPath=hub SharedAccessKey=" + key},
		"half":              {ConnectionString: signed[:len(signed)-5] + "%zz;" + key, EventHub: "hub"},
	}
	works := map[string]bool{"key": true, "signature": true, "token": true}
	for name, cfg := range configs {
		cfg.TLSConfig, cfg.Logger, cfg.Retry = passwordless.TLSConfig, logger, quickRetry
		s.print(cfg)
		s.print(&cfg)
		p, err := eventhubs.NewProducer(cfg, nil)
		if err != nil {
			require.False(t, works[name], "%s: %v", name, err)
			s.print(err)
			_, err = eventhubs.NewConsumer(cfg, memory(), nil)
			s.fails(t, err)
			continue
		}
		c, err := eventhubs.NewConsumer(cfg, memory(), nil)
		require.NoError(t, err)
		s.print(p)
		s.print(c)
		err = p.Send(ctx, eventhubs.Event{Body: []byte("x")})
		require.Equal(t, works[name], err == nil, "%s: %v", name, err)
		if !works[name] {
			s.print(err)
			s.fails(t, c.Receive(ctx, nothing))
		} else {
			receiving, stop := context.WithCancel(ctx)
			require.NoError(
				t, c.Receive(receiving, func(context.Context, *eventhubs.ReceivedEvent) error { stop(); return nil }),
			)
		}
		require.NoError(t, p.Close(ctx))
		require.NoError(t, c.Close(ctx))
	}

	account := srv.PasswordlessBlobConfig("c").AccountURL
	well := srv.PasswordlessBlobConfig("checkpoints")
	well.Credential = credential
	stores := map[string]eventhubs.BlobConfig{
		"key":   srv.BlobConfig("checkpoints"),
		"token": well,
		"wrong key": {
			ConnectionString: "AccountName=devstoreaccount1;AccountKey=" + storageKey + ";BlobEndpoint=" + account + ";",
			Container:        "checkpoints",
		},
		"key that isn't one": {
			ConnectionString: "AccountName=devstoreaccount1;AccountKey=%" + storageKey + ";BlobEndpoint=" + account + ";",
			Container:        "checkpoints",
		},
		"signature": {AccountURL: account + "?" + blobSAS, Container: "checkpoints"},
		"signature, string": {
			ConnectionString: "BlobEndpoint=" + account + ";SharedAccessSignature=" + blobSAS,
			Container:        "checkpoints",
		},
		"nobody listens":   {AccountURL: "https://127.0.0.1:1/devstoreaccount1?" + blobSAS, Container: "checkpoints"},
		"wrong field":      {AccountURL: "AccountName=devstoreaccount1;AccountKey=" + storageKey, Container: "checkpoints"},
		"wrong fields":     {AccountURL: account, Container: "AccountName=devstoreaccount1;AccountKey=" + storageKey},
		"password":         {AccountURL: "https://user:" + password + "@127.0.0.1/", Container: "checkpoints"},
		"password, no URL": {AccountURL: "https://user:" + password + "@127.0.0.1:x/", Container: "checkpoints"},
		"both": {
			AccountURL:       account + "?" + blobSAS,
			ConnectionString: "AccountKey=" + storageKey,
			Container:        "checkpoints",
		},
	}
	for name, cfg := range stores {
		cfg.Logger, cfg.ClientOptions.Transport = logger, well.ClientOptions.Transport
		cfg.ClientOptions.Retry = policy.RetryOptions{MaxRetries: -1}
		s.print(cfg)
		s.print(&cfg)
		store, err := eventhubs.NewBlobCheckpointStore(ctx, cfg)
		require.Equal(t, works[name] && name != "signature", err == nil, "%s: %v", name, err)
		if err != nil {
			s.print(err)
			continue
		}
		s.print(store)
	}

	secrets := map[string]string{
		"the key":                    key,
		"the storage key":            storageKey,
		"the storage signature":      "Q0FOQVJZLXN0b3JhZ2Utc2ln",
		"the password":               password,
		"the emulator's storage key": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq",
	}
	for name, connection := range map[string]string{"the signature": signed, "the expired signature": expired} {
		_, rest, _ := strings.Cut(connection, "&sig=")
		escaped, _, _ := strings.Cut(rest, "&")
		signature, err := url.QueryUnescape(escaped)
		require.NoError(t, err)
		secrets[name] = signature
	}
	require.NotEmpty(t, credential.tokens)
	for i, token := range credential.tokens {
		secrets[fmt.Sprint("token ", i)] = token
		secrets[fmt.Sprint("signature of token ", i)] = token[strings.LastIndexByte(token, '.')+1:]
	}
	s.require(t, secrets)
}

// TestLogsAreReadable looks at the log in JSON of a handler that fails and a store that is down: durations are texts.
func TestLogsAreReadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(
			t, &eventhubstest.Options{InMemory: true, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}},
		)
		require.NoError(t, srv.Send(t.Context(), "hub", eventhubs.Event{Body: []byte("a")}))
		var log records
		cfg, blobs := srv.Config("hub"), srv.BlobConfig("checkpoints")
		cfg.Logger, blobs.Logger = log.logger(), log.logger()
		store, err := eventhubs.NewBlobCheckpointStore(t.Context(), blobs)
		require.NoError(t, err)
		c, err := eventhubs.NewConsumer(cfg, store, nil)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		time.AfterFunc(time.Minute, func() {
			repair := srv.BlobFault(eventhubstest.BlobFault{Status: 503})
			srv.DropConnections()
			time.AfterFunc(5*time.Minute, repair)
		})
		require.NoError(t, c.Receive(ctx, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
			if e.Attempt < 5 {
				return context.DeadlineExceeded
			}
			select { // it stalls
			case <-time.After(10 * time.Minute):
			case <-ctx.Done():
			}
			return nil
		}))
		require.NoError(t, c.Close(t.Context()))
		require.NotEmpty(t, log.about("the handler failed"))
		require.NotEmpty(t, log.about("stalled"))
		require.NotEmpty(t, log.about("store answers again"))
		for _, line := range log.about("") {
			for name, value := range line {
				switch name {
				case "again_in", "after", "for", "since", "took":
					d, err := time.ParseDuration(value.(string))
					require.NoError(t, err, "%v", line)
					require.Equal(t, d.Round(time.Millisecond), d, "%v", line)
				}
				if n, ok := value.(float64); ok {
					require.Less(t, n, 1e6, "%s in %v may be nanoseconds", name, line)
				}
			}
		}
	})
}

// asking is a slog.Handler that uses the client that it logs for.
type asking struct{ ask func() }

func (a *asking) Enabled(context.Context, slog.Level) bool { return true }
func (a *asking) WithAttrs([]slog.Attr) slog.Handler       { a.ask(); return a }
func (a *asking) WithGroup(string) slog.Handler            { a.ask(); return a }

func (a *asking) Handle(context.Context, slog.Record) error {
	a.ask()
	return nil
}

// TestLoggerUsesTheClient fails if something is logged under a lock: virtual time is then frozen.
func TestLoggerUsesTheClient(t *testing.T) {
	t.Run("consumer", func(t *testing.T) {
		inMemory(t, eventhubstest.Options{}, func(s *scene.Scene) {
			var c *eventhubs.Consumer
			var asked atomic.Int64
			cfg := s.Config
			cfg.Logger = slog.New(&asking{func() {
				if asked.Add(1); c != nil {
					c.Status()
				}
			}})
			c = newConsumer(s.T, cfg, memory(), &eventhubs.ConsumerOptions{
				Backoff: func(int, error) time.Duration { return time.Minute },
			})
			s.Server.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, DropConnection: true, Times: 1})
			ctx, stop := context.WithTimeout(s.T.Context(), 10*time.Minute)
			defer stop()
			s.Send(1, "0", "1")
			require.NoError(s.T, c.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
				if e.Attempt == 1 {
					return errors.New("not yet")
				}
				return nil
			}))
			require.Greater(s.T, asked.Load(), int64(10))
		})
	})
	t.Run("producer", func(t *testing.T) {
		inMemory(t, eventhubstest.Options{}, func(s *scene.Scene) {
			ended, cancel := context.WithCancel(s.T.Context())
			cancel()
			var p *eventhubs.Producer
			var asked atomic.Int64
			cfg := s.Config
			cfg.Logger = slog.New(&asking{func() {
				if asked.Add(1); p != nil {
					_ = p.Send(ended, eventhubs.Event{})
				}
			}})
			p = newProducer(s.T, cfg)
			require.NoError(s.T, p.Send(s.T.Context(), eventhubs.Event{}))
			s.Server.Fault(eventhubstest.Fault{
				On: eventhubstest.OnPublish, Condition: "com.microsoft:server-busy", Times: 3,
			})
			require.NoError(s.T, p.Send(s.T.Context(), eventhubs.Event{}))
			require.Greater(s.T, asked.Load(), int64(2))
		})
	})
}
