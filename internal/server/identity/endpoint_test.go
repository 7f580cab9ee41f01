package identity_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/identity"
)

func TestEndpoint(t *testing.T) {
	d := open(t, time.Hour)
	const good = "/msi/token?api-version=2019-08-01&resource=https://eventhubs.azure.net"
	ask := func(method, target, secret string) (int, map[string]any) {
		r := httptest.NewRequest(method, target, nil)
		r.Header.Set("X-IDENTITY-HEADER", secret)
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		var body map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		return w.Code, body
	}
	code, body := ask(http.MethodGet, good+"&client_id=sender", d.Secret())
	require.Equal(t, 200, code)
	require.Equal(t, "https://eventhubs.azure.net", body["resource"])
	require.Equal(t, "sender", body["client_id"])
	require.Equal(t, "Bearer", body["token_type"])
	who, expires, err := d.Check(body["access_token"].(string), identity.EventHubs)
	require.NoError(t, err)
	require.Equal(t, "sender", who)
	require.Equal(t, json.Number(body["expires_on"].(string)), json.Number(jsonOf(t, expires.Unix())))

	for name, tt := range map[string]struct {
		method, target, secret string
		code                   int
		why                    string
	}{
		"no secret":    {"GET", good, "", 403, "the header X-IDENTITY-HEADER is missing or wrong"},
		"wrong secret": {"GET", good, "x", 403, "the header X-IDENTITY-HEADER is missing or wrong"},
		"POST":         {"POST", good, d.Secret(), 405, "use GET"},
		"no version": {
			"GET", "/?resource=https://eventhubs.azure.net", d.Secret(), 400, "api-version has to be 2019-08-01",
		},
		"unknown resource":   {"GET", "/?api-version=2019-08-01&resource=x", d.Secret(), 400, "there is no such resource"},
		"no resource":        {"GET", "/?api-version=2019-08-01", d.Secret(), 400, "there is no such resource"},
		"unknown identity":   {"GET", good + "&client_id=nobody", d.Secret(), 400, "there is no such identity"},
		"identity by object": {"GET", good + "&object_id=sender", d.Secret(), 400, "identities are known by client_id here"},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := ask(tt.method, tt.target, tt.secret)
			require.Equal(t, tt.code, code)
			require.Equal(t, tt.why, body["message"])
			require.NotContains(t, body, "access_token")
		})
	}

	d.AddFault(identity.Fault{Times: 2})
	remove := d.AddFault(identity.Fault{Status: 429, Delay: time.Millisecond})
	for _, want := range []int{500, 500, 429, 429} {
		code, _ = ask(http.MethodGet, good, d.Secret())
		require.Equal(t, want, code)
	}
	remove()
	remove()
	code, _ = ask(http.MethodGet, good, d.Secret())
	require.Equal(t, 200, code)
}

func jsonOf(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}
