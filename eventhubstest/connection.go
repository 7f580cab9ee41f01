package eventhubstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// ConnectionString returns a connection string for an event hub of the server, with the key of its first rule. If hub
// is empty, the string is for the whole namespace and names no event hub.
func (s *Server) ConnectionString(hub string) string {
	return s.connectionString(keyOf(s.rules[0]), hub)
}

// RuleConnectionString is ConnectionString with the rule of that name. It returns the empty string if there is no such
// rule.
func (s *Server) RuleConnectionString(rule, hub string) string {
	r, ok := s.rule(rule)
	if !ok {
		return ""
	}
	return s.connectionString(keyOf(r), hub)
}

// SASConnectionString is RuleConnectionString with a shared access signature in place of the key. The signature is
// valid for that event hub until it expires.
func (s *Server) SASConnectionString(rule, hub string, expires time.Time) string {
	r, ok := s.rule(rule)
	if !ok {
		return ""
	}
	resource := url.QueryEscape("sb://" + s.namespace() + "/" + hub)
	until := strconv.FormatInt(expires.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(r.Key))
	mac.Write([]byte(resource + "\n" + until))
	signature := url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	token := fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%s&skn=%s", resource, signature, until,
		url.QueryEscape(r.Name))
	return s.connectionString("SharedAccessSignature="+token, hub)
}

func (s *Server) rule(name string) (Rule, bool) {
	for _, r := range s.rules {
		if r.Name == name {
			return r, true
		}
	}
	return Rule{}, false
}

func keyOf(r Rule) string {
	return fmt.Sprintf("SharedAccessKeyName=%s;SharedAccessKey=%s", r.Name, r.Key)
}

func (s *Server) connectionString(secret, hub string) string {
	c := fmt.Sprintf("Endpoint=sb://%s;%s", s.namespace(), secret)
	if s.tls == nil {
		c += ";UseDevelopmentEmulator=true" // makes the SDKs connect without TLS
	}
	if hub != "" {
		c += ";EntityPath=" + hub
	}
	return c
}
