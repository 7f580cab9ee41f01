package broker_test

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// A filter that parses means the same with more spaces.
func FuzzSelector(f *testing.F) {
	for _, s := range []string{
		earliest, "amqp.annotation.x-opt-offset >= '@latest'", "amqp.annotation.x-opt-sequence-number > 5",
		" amqp.annotation.x-opt-enqueued-time>='-1' ",
		"amqp.annotation.x-opt-offset > '", "amqp.annotation.x-opt-offset > '''", "", "\x00",
		"amqp.annotation.x-opt-offset > '9223372036854775807'",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		by, value, inclusive, err := broker.ParseSelector(s)
		if err != nil {
			return
		}
		if value+1 < value {
			t.Fatalf("%q: %d can't be counted up", s, value)
		}
		by2, value2, inclusive2, err := broker.ParseSelector(strings.ReplaceAll(" "+s+" ", ">", " > "))
		if !strings.Contains(s, ">=") && (err != nil || by != by2 || value != value2 || inclusive != inclusive2) {
			t.Fatalf("%q: %d %d %v, and with more spaces %d %d %v %v", s, by, value, inclusive, by2, value2, inclusive2, err)
		}
	})
}

// A message that is accepted can be delivered, is well formed, and ends with the bytes that were sent.
func FuzzUnpack(f *testing.F) {
	full := &goamqp.Message{
		Header: &goamqp.MessageHeader{Durable: true}, DeliveryAnnotations: goamqp.Annotations{"d": int64(1)},
		Annotations: goamqp.Annotations{
			"x-opt-partition-key": "k", "mine": []any{int32(1), map[string]any{"a": nil}}, int64(7): []string{"x"},
		},
		Properties: &goamqp.MessageProperties{MessageID: "id"}, ApplicationProperties: map[string]any{"a": true},
		Data: [][]byte{[]byte("a"), {}}, Footer: goamqp.Annotations{"f": "f"},
	}
	for _, m := range []*goamqp.Message{full, {Value: "x"}, {Sequence: [][]any{{int64(1)}, {}}}, {Data: [][]byte{{}}}} {
		b, err := m.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(false, b)
		batch, err := (&goamqp.Message{Annotations: m.Annotations, Data: [][]byte{b, b}}).MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(true, batch)
	}
	f.Add(false, []byte{})
	// A footer before a null body, and delivery annotations at the end.
	f.Add(false, []byte{0, 0x53, 0x78, 0xc1, 1, 0, 0, 0x53, 0x75, 0x40, 0, 0x53, 0x71, 0xc1, 1, 0})
	f.Add(true, []byte{0, 0x53, 0x75, 0xa0, 0})
	f.Fuzz(func(t *testing.T, batch bool, payload []byte) {
		format := uint32(0)
		if batch {
			format = 0x80013700
		}
		events, delivered, err := broker.Unpack(format, payload)
		if err != nil {
			return
		}
		for i, message := range delivered {
			if !bytes.Contains(payload, events[i].Bare) || !bytes.HasSuffix(message, events[i].Bare) {
				t.Fatal("the bare message has changed")
			}
			again, redelivered, err := broker.Unpack(0, message)
			if err != nil {
				t.Fatalf("%x is delivered as %x: %v", payload, message, err)
			}
			if !bytes.Equal(redelivered[0], message) || again[0].Key != events[i].Key {
				t.Fatalf("%x is delivered as %x, and that as %x", payload, message, redelivered[0])
			}
		}
	})
}

// A token is accepted only if it was signed with the key. Anything wrong with a token leads to a refusal, and to
// nothing worse.
func FuzzSAS(f *testing.F) {
	b, err := broker.New(broker.Options{
		Hubs:  []broker.Hub{{Name: "hub", Partitions: 1}},
		Rules: []broker.Rule{{Name: "root", Key: rootKey, Rights: []broker.Right{broker.RightManage}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	expires := time.Now().Add(240 * time.Hour)
	for _, audience := range []string{"sb://host/hub", "host", "sb://host/hub/Partitions/0", "amqps://host:5671/HUB"} {
		token := sas(audience, "root", rootKey, expires)
		f.Add(token, "hub")
		f.Add(token, "hub/partitions/0")
	}
	for _, expiry := range []string{"0", "-1", "9223372036854775807", "-9223372036854775808", "1e9", ""} {
		f.Add(signed("host", "root", rootKey, expiry), "hub")
	}
	f.Add("SharedAccessSignature ", "")
	f.Add("SharedAccessSignature sr&sig&se&skn=%zz&&=", "hub")
	f.Fuzz(func(t *testing.T, token, path string) {
		if _, err := b.CheckSAS(token, path); err != nil {
			if strings.Contains(err.Error(), rootKey) {
				t.Fatal("the error holds the key")
			}
			return
		}
		fields := map[string]string{}
		for _, field := range strings.Split(strings.TrimPrefix(token, "SharedAccessSignature "), "&") {
			k, v, _ := strings.Cut(field, "=")
			fields[k] = v
		}
		text, _ := url.QueryUnescape(fields["sig"])
		if got, err := base64.StdEncoding.DecodeString(text); err != nil ||
			!bytes.Equal(got, signature(fields["sr"], rootKey, fields["se"])) {
			t.Fatalf("%q is taken", token)
		}
	})
}
