package broker

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// checkSAS checks a shared access signature, and that it covers a path. Its form is "SharedAccessSignature sr=<escaped
// audience>&sig=<signature>&se=<expiry>&skn=<rule>".
func (b *Broker) checkSAS(token, path string) (grant, error) {
	rest, ok := strings.CutPrefix(token, "SharedAccessSignature ")
	if !ok {
		return grant{}, errors.New("InvalidSignature: the token is not a shared access signature")
	}
	fields := map[string]string{}
	for _, f := range strings.Split(rest, "&") {
		k, v, _ := strings.Cut(f, "=")
		fields[k] = v
	}
	rule, known := b.rules[unescape(fields["skn"])]
	mac := hmac.New(sha256.New, []byte(rule.Key))
	mac.Write([]byte(fields["sr"] + "\n" + fields["se"]))
	signature, err := base64.StdEncoding.DecodeString(unescape(fields["sig"]))
	if !known || err != nil || !hmac.Equal(signature, mac.Sum(nil)) {
		return grant{}, errors.New("InvalidSignature: The token has an invalid signature.")
	}
	seconds, err := strconv.ParseInt(fields["se"], 10, 64)
	if err != nil {
		return grant{}, errors.New("MalformedToken: the expiry is not a number")
	}
	g := grant{func() []Right { return rule.Rights }, time.Unix(seconds, 0)}
	if !time.Now().Before(g.expires) {
		return grant{},
			errors.New("ExpiredToken: The token is expired. Expiration time: " + g.expires.UTC().Format(time.RFC3339))
	}
	if resource := pathOf(audienceOf(fields["sr"])); resource != "" && path != resource &&
		!strings.HasPrefix(path, resource+"/") {
		return grant{}, errors.New("InvalidAudience: The token was issued for another resource.")
	}
	return g, nil
}

// audienceOf returns the audience that a token names. An audience without a scheme is a host, with or without a path.
func audienceOf(escaped string) string {
	s := unescape(escaped)
	if !strings.Contains(s, "://") {
		s = "sb://" + s
	}
	return s
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}
