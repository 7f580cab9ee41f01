package broker_test

import (
	"strconv"
	"strings"
	"testing"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

var keyCounts = [...]int{1, 2, 3, 5, 32, 1000}

// keyVectors are keys, and their partitions in hubs with the numbers of partitions in keyCounts. The hash is
// generate_hash_code of the Python SDK (azure-eventhub 5.15.0, _buffered_producer/_partition_resolver.py) of the key in
// UTF-8. Tests in the .NET and Java SDKs have the same hashes for the keys from "7" to "-4189…". The partition is
// abs(hash % partitions) with the % of .NET and Java, which keeps the sign of the hash. Python's % doesn't, so its
// buffered producer disagrees with theirs on negative hashes.
var keyVectors = []struct {
	key string
	in  [len(keyCounts)]int
}{
	{"", [...]int{0, 0, 0, 0, 0, 0}},
	{"a", [...]int{0, 0, 2, 0, 28, 220}},
	{"ab", [...]int{0, 1, 2, 3, 13, 93}},
	{"abc", [...]int{0, 1, 1, 1, 17, 161}},
	{"abcd", [...]int{0, 0, 1, 3, 6, 398}},
	{"abcde", [...]int{0, 1, 2, 2, 1, 137}},
	{"abcdef", [...]int{0, 0, 1, 0, 10, 810}},
	{"abcdefg", [...]int{0, 0, 2, 4, 8, 24}},
	{"abcdefgh", [...]int{0, 0, 0, 0, 26, 170}},
	{"abcdefghi", [...]int{0, 1, 1, 0, 21, 485}},
	{"abcdefghij", [...]int{0, 1, 1, 2, 17, 137}},
	{"abcdefghijk", [...]int{0, 0, 0, 1, 20, 676}},
	{"abcdefghijkl", [...]int{0, 1, 0, 3, 5, 373}},
	{"abcdefghijklm", [...]int{0, 1, 1, 0, 15, 855}},
	{"abcdefghijklmnopqrstuvwx", [...]int{0, 0, 1, 3, 4, 788}},
	{"abcdefghijklmnopqrstuvwxy", [...]int{0, 1, 2, 1, 17, 321}},
	{"device-7", [...]int{0, 0, 2, 2, 2, 322}},
	{"0", [...]int{0, 1, 2, 3, 17, 433}},
	{"-1", [...]int{0, 0, 1, 1, 10, 786}},
	{"00000000-0000-0000-0000-000000000000", [...]int{0, 0, 2, 4, 24, 344}},
	{"7", [...]int{0, 1, 2, 3, 31, 263}},
	{"131", [...]int{0, 0, 1, 2, 2, 562}},
	{"7149583486996073602", [...]int{0, 1, 2, 2, 17, 977}},
	{"FWfAT", [...]int{0, 1, 0, 1, 5, 341}},
	{"sOdeEAsyQoEuEFPGerWO", [...]int{0, 1, 2, 3, 7, 503}},
	{"!c*_!I@1^c", [...]int{0, 0, 0, 2, 12, 372}},
	{"p4*!jioeO/z-!-;w:dh", [...]int{0, 0, 2, 4, 0, 104}},
	{"$0cb", [...]int{0, 1, 1, 4, 29, 269}},
	{"-4189260826195535198", [...]int{0, 1, 0, 3, 5, 453}},
	{strings.Repeat("x", 64), [...]int{0, 1, 0, 1, 15, 871}},
	{strings.Repeat("x", 127), [...]int{0, 1, 1, 4, 13, 389}},
	{strings.Repeat("x", 128), [...]int{0, 0, 2, 1, 8, 896}},
	{" ", [...]int{0, 0, 0, 1, 30, 366}},
	{"A B C", [...]int{0, 1, 1, 0, 15, 335}},
	{"/hub/1", [...]int{0, 0, 0, 1, 6, 166}},
	{"Grüße", [...]int{0, 0, 0, 2, 0, 312}},
	{"键", [...]int{0, 0, 0, 2, 24, 272}},
	{"パーティション", [...]int{0, 1, 2, 3, 27, 803}},
	{"ключ-раздела", [...]int{0, 1, 0, 4, 25, 209}},
	{"🚀", [...]int{0, 1, 0, 3, 5, 133}},
	{"🚀🚀🚀", [...]int{0, 0, 2, 0, 4, 700}},
	{"naïve café, déjà vu", [...]int{0, 0, 0, 1, 14, 486}},
	{"\x00", [...]int{0, 1, 1, 1, 17, 161}},
	{"a\x00b", [...]int{0, 0, 1, 3, 8, 448}},
	{"zzzzzzzzzzzz", [...]int{0, 0, 2, 0, 30, 670}},
	{"zzzzzzzzzzzzzzzzzzzzzzzz", [...]int{0, 1, 0, 2, 31, 287}},
}

// A key belongs to the same partition as on the service, whether it is sent with one event or with a batch.
func TestPartitionOfKey(t *testing.T) {
	var hubs []broker.Hub
	for _, n := range keyCounts {
		hubs = append(hubs, broker.Hub{Name: "hub" + strconv.Itoa(n), Partitions: n})
	}
	s := serve(t, broker.Options{Hubs: hubs})
	c := s.open(t)
	for i, h := range hubs {
		sender := c.sender(h.Name)
		for _, v := range keyVectors {
			m := goamqp.NewMessage([]byte(v.key))
			m.Annotations = goamqp.Annotations{"x-opt-partition-key": v.key}
			require.NoError(t, sender.Send(ctx(t), m, nil))
		}
		for _, v := range keyVectors {
			require.Contains(t, keysIn(t, s, h.Name, v.in[i]), v.key, "partition %d of %d", v.in[i], h.Partitions)
		}
	}

	producer := s.producer(t, "hub32")
	for _, v := range keyVectors[1:] { // the SDK accepts no empty key
		before := len(keysIn(t, s, "hub32", v.in[4]))
		sendBatch(t, producer, batchOf{key: v.key, bodies: []string{"a", "b"}})
		require.Equal(t, []string{v.key, v.key}, keysIn(t, s, "hub32", v.in[4])[before:])
	}
}

// keysIn returns the keys of the events in a partition.
func keysIn(t *testing.T, s *namespace, hub string, partition int) (keys []string) {
	t.Helper()
	events, err := s.Events(hub, strconv.Itoa(partition))
	require.NoError(t, err)
	for _, e := range events {
		require.True(t, e.HasKey)
		keys = append(keys, e.Key)
	}
	return keys
}

// Messages without a key go to the partitions in turn.
func TestRoundRobin(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	c.send("hub", strings.Split("0 1 2 3 0 1 2 3 0 1 2 3", " ")...)
	for _, id := range s.Partitions("hub") {
		require.Equal(t, []string{id, id, id}, bodies(t, s, id))
	}
	producer := s.producer(t, "hub")
	for _, id := range s.Partitions("hub") { // a batch stays together
		sendBatch(t, producer, batchOf{bodies: []string{"x", "y"}})
		require.Equal(t, []string{id, id, id, "x", "y"}, bodies(t, s, id))
	}
}
