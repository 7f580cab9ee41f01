package signin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// ConnectionString has the parts of a connection string of Event Hubs.
type ConnectionString struct {
	Namespace  string // host, or host:port
	EntityPath string // "": it has none, or an empty one
	Emulator   bool   // one that is spoken to without TLS
	Signature  bool   // it has a shared access signature in place of a key

	rest []string // the parts that are neither Endpoint nor EntityPath
}

// errMalformed quotes nothing of the string, which may be a key.
var errMalformed = errors.New(`is malformed: copy it from the portal; it reads ` +
	`"Endpoint=sb://…/;SharedAccessKeyName=…;SharedAccessKey=…" and may end in ";EntityPath=…"`)

// ParseConnectionString parses a connection string. White space around the string and its parts is dropped. The errors
// say what is wrong, and hold no secret.
func ParseConnectionString(s string) (ConnectionString, error) {
	var c ConnectionString
	s = Pasted(s)
	if service := foreign(s); service != "" {
		return c, errors.New("is " + service)
	}
	for part := range strings.SplitSeq(s, ";") {
		if part = strings.TrimFunc(part, invisible); part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return c, errMalformed
		}
		key, value = strings.TrimFunc(key, invisible), strings.TrimFunc(value, invisible)
		switch {
		case strings.EqualFold(key, "EntityPath"):
			if err := checkHub("EntityPath", value); err != nil {
				return c, fmt.Errorf("is malformed: %w", err)
			}
			c.EntityPath = value
		case hasInvisible(strings.TrimPrefix(value, "SharedAccessSignature ")): // with which a signature begins
			return c, fmt.Errorf("has white space or an invisible character in its %s: copy it again", known(key))
		case strings.EqualFold(key, "Endpoint"):
			c.Namespace = Host(value)
		default:
			c.rest = append(c.rest, key+"="+value)
		}
	}
	p, err := azeventhubs.ParseConnectionString(c.SDK())
	if err != nil || p.FullyQualifiedNamespace != c.Namespace ||
		isEmpty(p.SharedAccessKey) || isEmpty(p.SharedAccessKeyName) || isEmpty(p.SharedAccessSignature) {
		return c, errMalformed // the SDK's reason can have a part of the string in it
	}
	c.Emulator, c.Signature = p.Emulator, p.SharedAccessSignature != nil
	return c, nil
}

// SDK returns the connection string for the SDK: without an EntityPath, as the event hub is named beside it, and with
// c's current Namespace.
func (c ConnectionString) SDK() string {
	return strings.Join(append([]string{"Endpoint=sb://" + c.Namespace}, c.rest...), ";")
}

// WithoutEntityPath returns a connection string without its EntityPath.
func WithoutEntityPath(s string) string {
	var parts []string
	for part := range strings.SplitSeq(Pasted(s), ";") {
		key, _, _ := strings.Cut(part, "=")
		if !strings.EqualFold(strings.TrimFunc(key, invisible), "EntityPath") {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ";")
}

// foreign says which other service a connection string is for, and what to use instead. "": none.
func foreign(s string) string {
	keys := map[string]bool{}
	for part := range strings.SplitSeq(Pasted(s), ";") {
		if key, _, ok := strings.Cut(part, "="); ok {
			keys[strings.ToLower(strings.TrimFunc(key, invisible))] = true
		}
	}
	switch {
	case keys["hostname"]:
		return "an IoT Hub's: use that of its Event Hub-compatible endpoint, " +
			`which the portal shows under "Built-in endpoints"`
	case keys["accountendpoint"]:
		return "a Cosmos DB account's: use that of the Event Hubs namespace"
	case keys["accountname"], keys["accountkey"], keys["blobendpoint"], keys["usedevelopmentstorage"]:
		return "a storage account's: it belongs in BlobConfig.ConnectionString (BLOB_STORAGE_CONNECTION_STRING)"
	}
	return ""
}

// isConnectionString reports whether a setting is a connection string of Event Hubs, whatever else it should be.
func isConnectionString(s string) bool {
	s = strings.ToLower(s)
	return strings.Contains(s, "endpoint=") && strings.Contains(s, "sharedaccess")
}

func isEmpty(s *string) bool { return s != nil && *s == "" }

// known returns a key if it may be shown: anything else may be a secret in the wrong place.
func known(key string) string {
	for _, k := range []string{"Endpoint", "SharedAccessKeyName", "SharedAccessKey", "SharedAccessSignature"} {
		if strings.EqualFold(k, key) {
			return k
		}
	}
	return "parts"
}
