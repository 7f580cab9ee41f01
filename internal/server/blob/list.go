package blob

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const maxPage = 5000 // items in one answer

// includable are the values of List Blobs' include. All but metadata and
// deleted name what no blob has here.
var includable = []string{
	"copy", "deleted", "deletedwithversions", "immutabilitypolicy", "legalhold", "metadata",
	"permissions", "snapshots", "tags", "uncommittedblobs", "versions",
}

// listing is one request to list blobs.
type listing struct {
	prefix, delimiter string
	marker            string // as the client sent it
	from              string // the first name of the page, from the marker
	max               int    // as the client sent it, or 0
	metadata          bool
	deleted           bool // include deleted blobs and snapshots, which soft delete keeps
}

func listingFrom(c *call) (listing, *failure) {
	l := listing{prefix: c.param("prefix"), delimiter: c.param("delimiter"), marker: c.param("marker")}
	from, err := base64.RawURLEncoding.DecodeString(l.marker)
	if err != nil {
		return l, failed(codeInvalidQueryParameterValue).because("parameter: marker")
	}
	l.from = string(from)
	if text := c.param("maxresults"); text != "" {
		l.max, err = strconv.Atoi(text)
		if err != nil {
			return l, failed(codeInvalidQueryParameterValue).because("parameter: maxresults")
		}
		if l.max < 1 {
			return l, failed(codeOutOfRangeQueryParameter).because("parameter: maxresults")
		}
	}
	var deleted, snapshots bool
	for _, values := range c.query["include"] {
		for value := range strings.SplitSeq(values, ",") {
			if value != "" && !slices.Contains(includable, value) {
				return l, failed(codeInvalidQueryParameterValue).because("parameter: include")
			}
			l.metadata = l.metadata || value == "metadata"
			deleted = deleted || value == "deleted"
			snapshots = snapshots || value == "snapshots"
		}
	}
	l.deleted = deleted && snapshots
	return l, nil
}

// item is one entry of a page: a blob, or the common prefix of several names up
// to the delimiter.
type item struct {
	prefix string
	blob   *Blob
}

// page returns the items of a page, and the name at which the next page begins:
// "" if there is none. The caller holds the account's lock.
func (l listing) page(c *container) (items []item, next string) {
	limit := maxPage
	if l.max > 0 {
		limit = min(l.max, maxPage)
	}
	i, _ := slices.BinarySearch(c.names, max(l.prefix, l.from))
	group := ""
	for _, name := range c.names[i:] {
		rest, ok := strings.CutPrefix(name, l.prefix)
		if !ok {
			break
		}
		if group != "" && strings.HasPrefix(name, group) {
			continue
		}
		if len(items) == limit {
			return items, name
		}
		group = ""
		if l.delimiter != "" {
			if head, _, found := strings.Cut(rest, l.delimiter); found {
				group = l.prefix + head + l.delimiter
				items = append(items, item{prefix: group})
				continue
			}
		}
		items = append(items, item{blob: c.blobs[name]})
	}
	return items, ""
}

func (a *Account) listBlobs(c *call) (*response, *failure) {
	l, fail := listingFrom(c)
	if fail != nil {
		return nil, fail
	}
	items, next, fail := a.collect(c, l)
	if fail != nil {
		return nil, fail
	}
	result := enumeration{
		ServiceEndpoint: c.endpoint,
		ContainerName:   c.container,
		Prefix:          l.prefix,
		Marker:          l.marker,
		MaxResults:      l.max,
		Delimiter:       l.delimiter,
		NextMarker:      base64.RawURLEncoding.EncodeToString([]byte(next)),
	}
	for _, it := range items {
		if it.blob == nil {
			result.Blobs.Items = append(result.Blobs.Items, prefixElement{Name: nameOf(it.prefix)})
			continue
		}
		if l.deleted && it.blob.overwritten != "" {
			kept := elementOf(it.blob, false) // one entry stands for all versions that soft delete keeps
			kept.Deleted, kept.Snapshot = true, it.blob.overwritten
			result.Blobs.Items = append(result.Blobs.Items, kept)
		}
		result.Blobs.Items = append(result.Blobs.Items, elementOf(it.blob, l.metadata))
	}
	resp := newResponse(http.StatusOK)
	resp.header.Set("Content-Type", "application/xml")
	resp.body = marshal(result)
	return resp, nil
}

func (a *Account) collect(c *call, l listing) ([]item, string, *failure) {
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	held, fail := a.find(c)
	if fail != nil {
		return nil, "", fail
	}
	items, next := l.page(held)
	return items, next, nil
}

// The XML of a listing.
type (
	enumeration struct {
		XMLName         xml.Name `xml:"EnumerationResults"`
		ServiceEndpoint string   `xml:",attr"`
		ContainerName   string   `xml:",attr"`
		Prefix          string
		Marker          string
		MaxResults      int    `xml:",omitempty"`
		Delimiter       string `xml:",omitempty"`
		Blobs           struct{ Items []any }
		NextMarker      string
	}
	prefixElement struct {
		XMLName xml.Name `xml:"BlobPrefix"`
		Name    nameElement
	}
	blobElement struct {
		XMLName    xml.Name `xml:"Blob"`
		Name       nameElement
		Deleted    bool   `xml:",omitempty"`
		Snapshot   string `xml:",omitempty"`
		Properties properties
		Metadata   *metadata `xml:",omitempty"`
	}
	nameElement struct {
		Encoded bool   `xml:",attr,omitempty"`
		Text    string `xml:",chardata"`
	}
	properties struct {
		CreationTime       string `xml:"Creation-Time"`
		LastModified       string `xml:"Last-Modified"`
		ETag               string `xml:"Etag"`
		ContentLength      int    `xml:"Content-Length"`
		ContentType        string `xml:"Content-Type"`
		ContentMD5         string `xml:"Content-MD5"`
		BlobType           string
		AccessTier         string
		AccessTierInferred bool
		LeaseStatus        string
		LeaseState         string
		ServerEncrypted    bool
	}
)

// nameOf returns the element of a name. A name that XML can't hold is
// percent-encoded and marked so.
func nameOf(name string) nameElement {
	if strings.ContainsFunc(name, func(r rune) bool {
		return r < ' ' || r == '\uFFFD' || r == '\uFFFE' || r == '\uFFFF'
	}) {
		return nameElement{Encoded: true, Text: strings.ReplaceAll(url.QueryEscape(name), "+", "%20")}
	}
	return nameElement{Text: name}
}

// elementOf returns the element of a blob. ETags have no quotation marks in
// listings.
func elementOf(b *Blob, withMetadata bool) blobElement {
	e := blobElement{
		Name: nameOf(b.Name),
		Properties: properties{
			CreationTime:       httpTime(b.Created),
			LastModified:       httpTime(b.LastModified),
			ETag:               strings.Trim(b.ETag, `"`),
			ContentLength:      len(b.Content),
			ContentType:        b.ContentType,
			ContentMD5:         b.md5,
			BlobType:           "BlockBlob",
			AccessTier:         "Hot",
			AccessTierInferred: true,
			LeaseStatus:        "unlocked",
			LeaseState:         "available",
			ServerEncrypted:    true,
		},
	}
	if withMetadata {
		m := metadata(b.Metadata)
		e.Metadata = &m
	}
	return e
}
