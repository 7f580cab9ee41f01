package eventhubstest_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// environment returns what WriteTrust returns, as a map and as it is.
func environment(t *testing.T, s *eventhubstest.Server) (map[string]string, []string) {
	t.Helper()
	env, err := s.WriteTrust(filepath.Join(t.TempDir(), "new"))
	require.NoError(t, err)
	out := map[string]string{}
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		out[name] = value
	}
	return out, env
}

// The CA is trusted in addition to what the machine trusts, even if a variable names the machine's file.
func TestWriteTrust(t *testing.T) {
	other := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
	machine := filepath.Join(t.TempDir(), "machine.pem")
	require.NoError(t, os.WriteFile(machine, other.CA(), 0o600))
	t.Setenv("SSL_CERT_FILE", machine)
	t.Setenv("PYTHONPATH", "mine")
	t.Setenv("JAVA_TOOL_OPTIONS", "-Dmine=1")
	s := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
	env, _ := environment(t, s)
	require.Len(t, env, 4)
	for _, path := range []string{env["SSL_CERT_FILE"], env["NODE_EXTRA_CA_CERTS"]} {
		require.True(t, filepath.IsAbs(path), path)
	}
	only, err := os.ReadFile(env["NODE_EXTRA_CA_CERTS"])
	require.NoError(t, err)
	require.Equal(t, s.CA(), only)
	all, err := os.ReadFile(env["SSL_CERT_FILE"])
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(all))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	for _, server := range []*eventhubstest.Server{other, s} { // two CAs in one file
		_, rest, _ := strings.Cut(server.BlobConfig("c").ConnectionString, "BlobEndpoint=")
		answer, err := client.Get(strings.TrimSuffix(rest, ";"))
		require.NoError(t, err)
		answer.Body.Close()
	}
	folder, mine, _ := strings.Cut(env["PYTHONPATH"], string(os.PathListSeparator))
	require.Equal(t, "mine", mine)
	require.FileExists(t, filepath.Join(folder, "sitecustomize.py"))
	require.True(t, strings.HasPrefix(env["JAVA_TOOL_OPTIONS"], "-Dmine=1 -Djavax.net.ssl.trustStore=/"))
}

func TestWriteTrustRefused(t *testing.T) {
	_, err := eventhubstest.Start(t, nil).WriteTrust(t.TempDir())
	require.ErrorContains(t, err, "set Options.TLS")
	s := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = s.WriteTrust(file)
	require.ErrorContains(t, err, "eventhubstest: write the CA: mkdir "+file)
	_, err = s.WriteTrust("")
	require.EqualError(t, err, "eventhubstest: write the CA: name a folder")
}

// Programs in Python, Node.js and Java trust the CA, if they are installed.
func TestTrustedByOthers(t *testing.T) {
	// Python finds a package certifi here, and somebody else's module sitecustomize.
	python := t.TempDir()
	for name, text := range map[string]string{
		"certifi.py": "def where(): return 'elsewhere'", "sitecustomize.py": "print('hidden')",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(python, name), []byte(text), 0o600))
	}
	s := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
	older, _ := environment(t, s)
	t.Setenv("PYTHONPATH", older["PYTHONPATH"]+string(os.PathListSeparator)+python)
	env, entries := environment(t, s)
	for name, c := range map[string]struct{ program, args, prints string }{
		"Python": {"python3", "-c|import certifi; print(certifi.where())", "hidden\n" + env["SSL_CERT_FILE"]},
		"Java":   {"keytool", "-list|-storepass|changeit|-keystore|" + storeOf(env), "trustedCertEntry"},
	} {
		t.Run(name, func(t *testing.T) {
			program, err := exec.LookPath(c.program)
			if err != nil {
				t.Skip("it is not installed")
			}
			cmd := exec.CommandContext(ctx(t), program, strings.Split(c.args, "|")...)
			cmd.Env = append(os.Environ(), entries...)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), c.prints)
		})
	}
}

func storeOf(env map[string]string) string {
	_, rest, _ := strings.Cut(env["JAVA_TOOL_OPTIONS"], "trustStore=")
	store, _, _ := strings.Cut(rest, " ")
	return store
}
