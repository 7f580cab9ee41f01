package blob

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// sign returns the signature of the Shared Key scheme.
func sign(key []byte, s string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(s))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// stringToSign returns what a client signs, according to "Authorize with Shared
// Key" in Azure's documentation, for versions from 2015-02-21 on.
func (c *call) stringToSign(account string) string {
	length := c.header.Get("Content-Length")
	if length == "" && c.length > 0 {
		length = strconv.FormatInt(c.length, 10)
	}
	if length == "0" {
		length = ""
	}
	date := c.header.Get("Date")
	if c.header.Get("x-ms-date") != "" {
		date = ""
	}
	return strings.Join([]string{
		c.method,
		c.header.Get("Content-Encoding"),
		c.header.Get("Content-Language"),
		length,
		c.header.Get("Content-MD5"),
		c.header.Get("Content-Type"),
		date,
		c.header.Get("If-Modified-Since"),
		c.header.Get("If-Match"),
		c.header.Get("If-None-Match"),
		c.header.Get("If-Unmodified-Since"),
		c.header.Get("Range"),
		c.canonicalHeaders() + c.canonicalResource(account),
	}, "\n")
}

// canonicalHeaders returns the x-ms- headers, one per line.
func (c *call) canonicalHeaders() string {
	lines := make(map[string]string)
	var names []string
	for name, values := range c.header {
		lower := strings.ToLower(name)
		if !strings.HasPrefix(lower, "x-ms-") {
			continue
		}
		if _, twice := lines[lower]; !twice {
			names = append(names, lower)
		}
		trimmed := make([]string, len(values))
		for i, v := range values {
			trimmed[i] = textproto.TrimString(v)
		}
		lines[lower] = strings.Join(trimmed, ",")
	}
	slices.SortFunc(names, compareHeaderNames)

	var b strings.Builder
	for _, name := range names {
		b.WriteString(name + ":" + lines[name] + "\n")
	}
	return b.String()
}

// canonicalResource returns the account's name, the path as it was sent, and
// the query's parameters. In URLs of the emulators' style the account's name
// comes twice, because the path has it, too.
func (c *call) canonicalResource(account string) string {
	var b strings.Builder
	b.WriteString("/" + account + c.path)
	names := make([]string, 0, len(c.query))
	for name := range c.query {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		values := slices.Sorted(slices.Values(c.query[name]))
		b.WriteString("\n" + name + ":" + strings.Join(values, ","))
	}
	return b.String()
}

// headerNameOrder is the order of characters by which the service sorts header
// names. It differs from ASCII: '_' comes before digits and letters, and
// hyphens (and apostrophes) count only between names that are equal without
// them. See azblob, internal/exported/shared_key_credential.go.
const headerNameOrder = "!#$%&*.^_`|~+0123456789abcdefghijklmnopqrstuvwxyz"

// compareHeaderNames orders header names in lower case as the service does.
func compareHeaderNames(x, y string) int {
	if order := slices.Compare(weights(x), weights(y)); order != 0 {
		return order
	}
	// They differ in hyphens only: the name whose hyphen comes first sorts last.
	for i := range min(len(x), len(y)) {
		if x[i] == y[i] {
			continue
		}
		if y[i] == '-' {
			return -1
		}
		if x[i] == '-' {
			return 1
		}
	}
	if len(x) != len(y) {
		return len(x) - len(y)
	}
	return strings.Compare(x, y)
}

func weights(name string) []int {
	w := make([]int, 0, len(name))
	for i := range len(name) {
		if name[i] != '-' && name[i] != '\'' {
			w = append(w, strings.IndexByte(headerNameOrder, name[i]))
		}
	}
	return w
}
