package signin

import (
	"slices"
	"strings"
	"unicode"
)

// Pasted returns a setting without what often surrounds it in a secret, a file or a web page: white space, invisible
// characters such as a byte order mark, and a pair of quotes.
func Pasted(s string) string {
	s = strings.TrimFunc(s, invisible)
	for _, quote := range []string{`"`, `'`} {
		if len(s) >= 2 && strings.HasPrefix(s, quote) && strings.HasSuffix(s, quote) {
			return strings.TrimFunc(s[1:len(s)-1], invisible)
		}
	}
	return s
}

// hasInvisible reports whether there is white space in a setting, or a character that can't be seen.
func hasInvisible(s string) bool { return strings.ContainsFunc(s, invisible) }

func invisible(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }

// Host returns the host, or host:port, of a setting that may be a URL, such as the "Service Bus endpoint" that the
// Azure portal shows for a namespace: https://contoso.servicebus.windows.net:443/. The port of such a URL is that of
// HTTPS, and is dropped. What cannot be a host is returned unchanged.
func Host(s string) string {
	s = Pasted(s)
	scheme, host, ok := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case !ok:
		host = s
	case !slices.Contains([]string{"sb", "amqps", "https", "wss"}, scheme):
		return s
	}
	host = strings.TrimSuffix(host, "/")
	if scheme == "https" || scheme == "wss" {
		host = strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ".")
}
