package broker_test

import (
	"testing"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// section returns an encoded section with one entry, whose name and text have one character each.
func section(kind byte) []byte { return []byte{0, 0x53, kind, 0xc1, 7, 2, 0xa3, 1, 'k', 0xa1, 1, 'v'} }

// Messages are accepted and come back if their sections are in the order in which SDKs write them.
func TestSectionsAsSDKsWriteThem(t *testing.T) {
	entry := goamqp.Annotations{"k": "v"}
	data := []byte{0, 0x53, 0x75, 0xa0, 1, 'x'}
	s := serve(t, broker.Options{})
	c := s.open(t)
	sender, r := c.sender("hub/Partitions/0"), c.mustRead(group, earliest, nil)
	for name, m := range map[string]struct {
		sections [][]byte
		check    func(t *testing.T, got *goamqp.Message)
	}{
		"rhea: the footer before the body": {
			sections: [][]byte{section(0x74), section(0x78), data},
			check: func(t *testing.T, got *goamqp.Message) {
				require.Equal(t, entry, got.Footer)
				require.Equal(t, map[string]any{"k": "v"}, got.ApplicationProperties)
				require.Equal(t, [][]byte{{'x'}}, got.Data)
			},
		},
		"pyamqp: delivery annotations at the end": {
			sections: [][]byte{data, section(0x78), section(0x71)},
			check: func(t *testing.T, got *goamqp.Message) {
				require.Equal(t, entry, got.DeliveryAnnotations)
				require.Equal(t, entry, got.Footer)
				require.Equal(t, [][]byte{{'x'}}, got.Data)
			},
		},
		"delivery annotations in their place are not for others": {
			sections: [][]byte{section(0x71), data},
			check: func(t *testing.T, got *goamqp.Message) {
				require.Nil(t, got.DeliveryAnnotations)
				require.Equal(t, [][]byte{{'x'}}, got.Data)
			},
		},
		"rhea: a body of null": {
			sections: [][]byte{{0, 0x53, 0x75, 0x40}},
			check: func(t *testing.T, got *goamqp.Message) {
				require.Equal(t, [][]byte{nil}, got.Data)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var inner []byte
			for _, b := range m.sections {
				inner = append(inner, b...)
			}
			batch := &goamqp.Message{Format: 0x80013700, Data: [][]byte{inner}}
			require.NoError(t, sender.Send(ctx(t), batch, nil))
			m.check(t, next(t, r))
		})
	}
}
