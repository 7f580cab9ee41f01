package signin

import (
	"fmt"
	"net"
	"regexp"
	"strings"
)

// CheckNames refuses what cannot be the name of a host or event hub, and says where it belongs. Empty names pass. The
// errors show names, but only the beginning of a connection string.
func CheckNames(namespace, eventHub, endpoint string) error {
	for _, f := range []struct{ name, value string }{
		{"Namespace", namespace}, {"EventHub", eventHub}, {"Endpoint", endpoint},
	} {
		if service := foreign(f.value); service != "" {
			return fmt.Errorf("%s is a connection string, and %s", f.name, service)
		}
		if isConnectionString(f.value) {
			return fmt.Errorf("%s is a connection string: it belongs in ConnectionString", f.name)
		}
	}
	switch {
	case strings.ContainsAny(namespace, "/;=\"'") || hasInvisible(namespace):
		return fmt.Errorf("Namespace %q is not a host name: write it like contoso.servicebus.windows.net", Redact(namespace))
	case strings.ContainsAny(endpoint, "/;=\"'") || hasInvisible(endpoint):
		return fmt.Errorf("Endpoint %q is not a host or host:port", Redact(endpoint))
	case !hasGoodPort(namespace):
		return fmt.Errorf("Namespace %q has a port that does not exist: leave it out, or write 1 to 65535", namespace)
	case !hasGoodPort(endpoint):
		return fmt.Errorf("Endpoint %q has a port that does not exist: leave it out, or write 1 to 65535", endpoint)
	}
	return checkHub("EventHub", eventHub)
}

// hasGoodPort reports whether a host has no port, or one that can be dialled: a number or a name, such as amqps.
func hasGoodPort(host string) bool {
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		return true
	}
	_, err = net.LookupPort("tcp", port)
	return err == nil
}

func checkHub(field, name string) error {
	return checkName(field, name, "an event hub: it has letters, digits, and the characters . - _")
}

// CheckGroup refuses what cannot be the name of a consumer group.
func CheckGroup(name string) error {
	return checkName("ConsumerGroup", name, `a consumer group: give the last part of it alone, such as "$Default"`)
}

func checkName(field, name, kind string) error {
	switch {
	case hasInvisible(name):
		return fmt.Errorf("%s %q has white space or an invisible character in it", field, Redact(name))
	case strings.ContainsAny(name, "/;=?#\"'"):
		return fmt.Errorf("%s %q is not the name of %s", field, Redact(name), kind)
	}
	return nil
}

// Redact cuts a value that may be a connection string in the wrong field.
func Redact(s string) string {
	if i := strings.IndexAny(s, ";="); i >= 0 {
		return s[:i] + "…"
	}
	return s
}

var (
	signature = regexp.MustCompile(`(?i)\b(sig|SharedAccessKey|AccountKey)=[^&;"\s]+`)
	password  = regexp.MustCompile(`://[^/@\s"]*@`)
)

// WithoutSecrets removes signatures, keys, and passwords in addresses from a text.
func WithoutSecrets(text string) string {
	return password.ReplaceAllString(signature.ReplaceAllString(text, "$1=…"), "://…@")
}
