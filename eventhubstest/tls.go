package eventhubstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"time"
)

const (
	httpHeaderTimeout = 10 * time.Second
	httpCloseTimeout  = 500 * time.Millisecond
	certificateLife   = 24 * 365 * time.Hour
	// certificateLifeInMemory is longer, for tests whose clock runs fast.
	certificateLifeInMemory = 100 * certificateLife
	certificateName         = "localhost"
)

// discardLog discards what net/http logs about clients that break off: it does not belong in the log of the program
// that runs the server.
var discardLog = log.New(io.Discard, "", 0)

// authority is a CA created for one server, and the certificate that it issued to that server.
type authority struct {
	pem    []byte
	server tls.Certificate
}

func newAuthority(life time.Duration) (*authority, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ca := &x509.Certificate{
		// The name and the serial number are unique. Otherwise programs that trust the CAs of two servers would confuse them.
		SerialNumber: serial, Subject: pkix.Name{CommonName: "eventhubstest CA " + serial.Text(16)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	if ca, err = x509.ParseCertificate(caDER); err != nil { // has the key's identifier, which Python 3.13 requires
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if serial, err = newSerial(); err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "eventhubstest"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{certificateName, "*.servicebus.windows.net", "*.blob.core.windows.net"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	return &authority{
		pem:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		server: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
	}, nil
}

// newSerial returns a serial number for a certificate: 127 random bits, so it is positive, and unlike any other.
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}
