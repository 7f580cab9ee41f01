package blob

import (
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const (
	metadataPrefix = "x-ms-meta-"
	maxMetadata    = 8 << 10 // bytes, names and values together
)

// metadata is the metadata of a blob or container. Names are in lower case:
// header names have no case, and net/http doesn't keep the one that was sent.
type metadata map[string]string

// metadataFrom reads the x-ms-meta- headers of a request.
func metadataFrom(h http.Header) (metadata, *failure) {
	m := make(metadata)
	for header, values := range h {
		name, ok := strings.CutPrefix(strings.ToLower(header), metadataPrefix)
		if !ok {
			continue
		}
		if _, twice := m[name]; twice || len(values) != 1 {
			return nil, failed(codeInvalidMetadata).because("a name is given twice")
		}
		m[name] = strings.Trim(values[0], " \t")
	}
	return m, m.check()
}

// check applies Azure's rules: names are C# identifiers, values are ASCII, and
// the whole is at most 8 KiB.
func (m metadata) check() *failure {
	for name, value := range m {
		if name == "" {
			return failed(codeEmptyMetadataKey)
		}
		if !identifier(name) || !printable(value) {
			return failed(codeInvalidMetadata)
		}
	}
	if m.size() > maxMetadata {
		return failed(codeMetadataTooLarge)
	}
	return nil
}

func (m metadata) size() (n int64) {
	for name, value := range m {
		n += int64(len(name) + len(value))
	}
	return n
}

func identifier(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// addTo adds the metadata as headers. It does not use http.Header.Set, so that
// the names stay in lower case on the wire: Python reads them as they come.
func (m metadata) addTo(h http.Header) {
	for name, value := range m {
		h[metadataPrefix+name] = []string{value}
	}
}

// MarshalXML writes one element for each name, as listings do. An empty value
// is an empty element.
func (m metadata) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if err := e.EncodeElement(m[name], xml.StartElement{Name: xml.Name{Local: name}}); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}
