package eventhubstest

import (
	"cmp"
	"crypto/sha1"
	"crypto/x509"
	_ "embed"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// sitecustomize makes Python trust the CA. Python's AMQP client trusts only the file that package certifi names, and
// certifi reads no environment variable (azure-eventhub, _pyamqp/client.py). Python runs a module of this name before
// any program.
//
//go:embed trust.py
var sitecustomize []byte

// WriteTrust makes programs in other processes trust CA, without a change to them or to the machine. It writes files to
// a folder, which it creates if it does not exist, and returns the environment variables that name them: entries like
// those of os.Environ. These programs still trust what the machine trusts. The server needs TLS.
//
//   - SSL_CERT_FILE: Go on Linux and the BSDs, and all that uses OpenSSL
//   - NODE_EXTRA_CA_CERTS: Node.js
//   - JAVA_TOOL_OPTIONS: Java. It is appended to this process's own value, and so takes precedence.
//   - PYTHONPATH: Python, except with its flags -E, -I and -S. It comes before this process's own value.
func (s *Server) WriteTrust(folder string) ([]string, error) {
	if s.tls == nil {
		return nil, errors.New("eventhubstest: write the CA: there is none: set Options.TLS")
	}
	if folder == "" {
		return nil, errors.New("eventhubstest: write the CA: name a folder")
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("eventhubstest: write the CA: %w", err)
	}
	var (
		roots  = append(systemRoots(), s.tls.pem...)
		ca     = filepath.Join(folder, "ca.pem")
		all    = filepath.Join(folder, "roots.pem")
		store  = filepath.Join(folder, "roots.jks")
		python = filepath.Join(folder, "python")
	)
	if err := os.MkdirAll(python, 0o755); err != nil {
		return nil, fmt.Errorf("eventhubstest: write the CA: %w", err)
	}
	for _, f := range []struct {
		path    string
		content []byte
	}{
		{ca, s.tls.pem}, {all, roots}, {store, trustStore(certificates(roots), time.Now())},
		{filepath.Join(python, "sitecustomize.py"), sitecustomize},
	} {
		if err := os.WriteFile(f.path, f.content, 0o644); err != nil {
			return nil, fmt.Errorf("eventhubstest: write the CA: %w", err)
		}
	}
	java := "-Djavax.net.ssl.trustStore=" + quoted(store) + " -Djavax.net.ssl.trustStoreType=JKS"
	return []string{
		"SSL_CERT_FILE=" + all,
		"NODE_EXTRA_CA_CERTS=" + ca,
		"JAVA_TOOL_OPTIONS=" + joined(os.Getenv("JAVA_TOOL_OPTIONS"), java, " "),
		"PYTHONPATH=" + joined(python, os.Getenv("PYTHONPATH"), string(os.PathListSeparator)),
	}, nil
}

func joined(first, second, separator string) string {
	return strings.Trim(first+separator+second, separator)
}

// quoted returns a path in the form that JAVA_TOOL_OPTIONS needs.
func quoted(path string) string {
	if strings.ContainsAny(path, " \t") {
		return strconv.Quote(path)
	}
	return path
}

// rootFiles are the files of trusted certificates of various systems (crypto/x509, root_linux.go and others).
var rootFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt", // Debian
	"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora
	"/etc/ssl/ca-bundle.pem",             // openSUSE
	"/etc/ssl/cert.pem",                  // Alpine, macOS, the BSDs
}

// systemRoots returns the certificates, in PEM, that this machine trusts, or nil if they are not in a file.
func systemRoots() []byte {
	for _, name := range append([]string{os.Getenv("SSL_CERT_FILE")}, rootFiles...) {
		if b, err := os.ReadFile(filepath.Clean(cmp.Or(name, os.DevNull))); err == nil && len(b) > 0 {
			return append(b, '\n')
		}
	}
	return nil
}

// certificates returns the readable certificates of a PEM file, in DER.
func certificates(file []byte) (der [][]byte) {
	for {
		var block *pem.Block
		if block, file = pem.Decode(file); block == nil {
			return der
		}
		if _, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			der = append(der, block.Bytes)
		}
	}
}

// trustStore returns a Java key store that trusts some certificates, in the format that every version of Java reads
// (JKS, sun.security.provider.JavaKeyStore). Its password is the usual one, so programs need not name it.
func trustStore(certificates [][]byte, made time.Time) []byte {
	const (
		magic, version, trusted = 0xfeedfeed, 2, 2
		kind                    = "X.509"
		password                = "changeit"
	)
	text := func(b []byte, s string) []byte { return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) }
	b := binary.BigEndian.AppendUint32(nil, magic)
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(certificates)))
	for i, c := range certificates {
		b = binary.BigEndian.AppendUint32(b, trusted)
		b = text(b, "root"+strconv.Itoa(i))
		b = binary.BigEndian.AppendUint64(b, uint64(made.UnixMilli()))
		b = text(b, kind)
		b = binary.BigEndian.AppendUint32(b, uint32(len(c)))
		b = append(b, c...)
	}
	digest := sha1.New()
	for _, c := range utf16.Encode([]rune(password)) {
		digest.Write(binary.BigEndian.AppendUint16(nil, c))
	}
	digest.Write([]byte("Mighty Aphrodite"))
	digest.Write(b)
	return digest.Sum(b)
}
