package blob_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// list reads all pages.
func list(
	t *testing.T, c *container.Client, o *container.ListBlobsFlatOptions,
) (items []*container.BlobItem, pages int) {
	t.Helper()
	for pager := c.NewListBlobsFlatPager(o); pager.More(); pages++ {
		page, err := pager.NextPage(ctx(t))
		require.NoError(t, err)
		items = append(items, page.Segment.BlobItems...)
	}
	return items, pages
}

func TestListPages(t *testing.T) {
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	var want []string
	for i := range 120 {
		name := fmt.Sprintf("hub/ownership/%d", i)
		want = append(want, name)
		require.NoError(t, s.Put("box", name, nil, map[string]string{"ownerid": "me"}))
	}
	require.NoError(t, s.Put("box", "hub/ownershiq", nil, nil))
	require.NoError(t, s.Put("box", "hub/owner", nil, nil))
	slices.Sort(want)
	for _, test := range []struct{ size, pages int }{{0, 1}, {120, 1}, {119, 2}, {10, 12}, {50, 3}, {9000, 1}} {
		o := &container.ListBlobsFlatOptions{Prefix: ptr("hub/ownership/")}
		if test.size > 0 {
			o.MaxResults = ptr(int32(test.size))
		}
		items, pages := list(t, c, o)
		require.Equal(t, test.pages, pages)
		var got []string
		for _, item := range items {
			got = append(got, *item.Name)
			require.Nil(t, item.Metadata) // not asked for
		}
		require.Equal(t, want, got)
	}
	require.Equal(t, want, s.Names("box", "hub/ownership/"))
	require.Len(t, s.Names("box", ""), 122)
	require.Empty(t, s.Names("none", ""))
}

// An answer has at most 5,000 blobs, whatever the client asks for.
func TestListLargestPage(t *testing.T) {
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	for i := range 5001 {
		require.NoError(t, s.Put("box", fmt.Sprint(i), nil, nil))
	}
	for _, size := range []*int32{nil, ptr(int32(6000))} {
		items, pages := list(t, c, &container.ListBlobsFlatOptions{MaxResults: size})
		require.Len(t, items, 5001)
		require.Equal(t, 2, pages)
	}
}

// A page begins where the previous one ended, even if that blob is gone by
// then.
func TestListWhileBlobsGo(t *testing.T) {
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	for _, name := range []string{"a", "b", "c", "d"} {
		require.NoError(t, s.Put("box", name, nil, nil))
	}
	pager := c.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{MaxResults: ptr(int32(2))})
	_, err := pager.NextPage(ctx(t))
	require.NoError(t, err)
	require.True(t, s.Delete("box", "c"))
	require.False(t, s.Delete("box", "c"))
	page, err := pager.NextPage(ctx(t))
	require.NoError(t, err)
	require.Len(t, page.Segment.BlobItems, 1)
	require.Equal(t, "d", *page.Segment.BlobItems[0].Name)
	require.False(t, pager.More())
}

func TestListProperties(t *testing.T) {
	onlyOurs(t, "fails if a name has a control character")
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	names := []string{"hub/$Default/<&>\"' é+%", "control\x01\n +%", "\uFFFE"}
	for _, name := range names {
		_, err := c.NewBlockBlobClient(name).Upload(ctx(t), body("12345"), nil)
		require.NoError(t, err)
		_, err = c.NewBlobClient(name).SetMetadata(
			ctx(t), map[string]*string{"ownerid": ptr(""), "Text": ptr("<&>\"' ]]>")}, nil,
		)
		require.NoError(t, err)
	}
	items, _ := list(t, c, &container.ListBlobsFlatOptions{Include: container.ListBlobsInclude{Metadata: true}})
	slices.Sort(names)
	require.Len(t, items, len(names))
	for i, item := range items {
		require.Equal(t, names[i], *item.Name)
		require.Equal(t, map[string]*string{"ownerid": ptr(""), "text": ptr("<&>\"' ]]>")}, item.Metadata)
		kept, _ := s.Get("box", names[i])
		require.Equal(t, strings.Trim(kept.ETag, `"`), string(*item.Properties.ETag))
		require.Equal(t, kept.LastModified, item.Properties.LastModified.UTC())
		require.Equal(t, kept.Created, item.Properties.CreationTime.UTC())
		require.Equal(t, int64(5), *item.Properties.ContentLength)
		require.Equal(t, container.BlobTypeBlockBlob, *item.Properties.BlobType)
		require.Len(t, item.Properties.ContentMD5, 16)
	}
}

// The parser of the JavaScript SDK does not know numeric entities.
func TestListHasNoNumericEntities(t *testing.T) {
	s := bearer(t, blob.Options{})
	const odd = `'"&#39;<>`
	require.NoError(t, s.Put("box", odd, nil, map[string]string{"k": odd + "\t."}))
	r, err := http.NewRequestWithContext(ctx(t), "GET", s.url("box?restype=container&comp=list&include=metadata"), nil)
	require.NoError(t, err)
	r.Header.Set("x-ms-version", "2024-11-04")
	r.Header.Set("Authorization", "Bearer good")
	_, content := s.send(t, r)
	const want = `&apos;&quot;&amp;#39;&lt;&gt;`
	require.Contains(t, string(content), "<Name>"+want+"</Name>")
	require.Contains(t, string(content), "<k>"+want+"\t.</k>")
}

func TestListByDelimiter(t *testing.T) {
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	for _, name := range []string{"a/1", "a/2", "b", "c/d/1", "c/e", "z"} {
		require.NoError(t, s.Put("box", name, nil, nil))
	}
	for prefix, want := range map[string][]string{
		"":   {"a/", "b", "c/", "z"},
		"c/": {"c/d/", "c/e"},
	} {
		for _, size := range []int32{1, 2, 3, 100} {
			var got []string
			pager := c.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{MaxResults: &size, Prefix: &prefix})
			for pager.More() {
				page, err := pager.NextPage(ctx(t))
				require.NoError(t, err)
				for _, p := range page.Segment.BlobPrefixes {
					got = append(got, *p.Name)
				}
				for _, b := range page.Segment.BlobItems {
					got = append(got, *b.Name)
				}
			}
			slices.Sort(got)
			require.Equal(t, want, got)
		}
	}
}

func TestRefusedLists(t *testing.T) {
	s := bearer(t, blob.Options{})
	_, e := s.raw(t, "GET", "box?restype=container&comp=list", "")
	require.Equal(t, "ContainerNotFound", e.Code)
	require.NoError(t, s.CreateContainer("box"))
	for query, code := range map[string]string{
		"":                                  "",
		"&include=metadata&include=copy":    "",
		"&include=":                         "",
		"&maxresults=0":                     "OutOfRangeQueryParameterValue",
		"&maxresults=-1":                    "OutOfRangeQueryParameterValue",
		"&maxresults=many":                  "InvalidQueryParameterValue",
		"&maxresults=99999999999999999999":  "InvalidQueryParameterValue",
		"&marker=%21":                       "InvalidQueryParameterValue",
		"&include=metadata,everything":      "InvalidQueryParameterValue",
		"&maxresults=1&MaxResults=2":        "",
		"&prefix=%FF&delimiter=%00&marker=": "",
	} {
		resp, e := s.raw(t, "GET", "box?restype=container&comp=list"+query, "")
		require.Equal(t, code, e.Code, query)
		require.Equal(t, code == "", resp.StatusCode == 200, query)
	}
}
