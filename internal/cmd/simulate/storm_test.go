package simulate_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const (
	storms        = 2 // that rage at the same time, at most
	betweenStorms = 20 * time.Minute
	longestStorm  = 8 * time.Minute
	mostAdded     = 4 // partitions

	betweenCalms, longestCalm = 8 * time.Hour, time.Hour
)

// storm is something that goes wrong for a while. begin returns what ends it.
type storm struct {
	name  string
	begin func(ctx context.Context) (calm func())
}

// forecast keeps new storms from beginning for hours, now and then. All that was sent has to be handled soon then.
func (s *simulation) forecast(ctx context.Context) {
	r := s.draws("forecast")
	for sleep(ctx, r.time(betweenCalms)) {
		s.fair.Store(true)
		s.judge.notes("", "fair weather from now on")
		sleep(ctx, 2*unreadBound+r.time(longestCalm))
		s.fair.Store(false)
		s.judge.notes("", "storms from now on")
	}
}

// rage makes things go wrong, one after another, until ctx ends.
func (s *simulation) rage(ctx context.Context, name string) {
	r := s.draws(name)
	for sleep(ctx, r.time(betweenStorms)) {
		storm, lasts := s.storm(r), r.time(longestStorm)
		if s.fair.Load() {
			continue
		}
		s.judge.notes("", "storm: %s, for %v", storm.name, lasts)
		over := s.trouble()
		calm := storm.begin(ctx)
		sleep(ctx, lasts)
		calm()
		over()
		s.judge.notes("", "calm after the storm: %s", storm.name)
	}
}

// storm draws a storm. In half of them exchanges with the namespace go wrong.
func (s *simulation) storm(r random) storm {
	partition := strconv.Itoa(r.upTo(partitions))
	switch r.upTo(10) {
	case 0, 1, 2, 3, 4:
		return s.fault(r, partition)
	case 5, 6:
		return s.outage(r)
	case 7:
		return storm{"partition " + partition + " is stolen", func(ctx context.Context) func() {
			return s.steal(ctx, partition)
		}}
	}
	return one(r, []storm{
		{"connections are cut", s.at(s.server.DropConnections)},
		{"connections go silent", s.at(s.server.SilenceConnections)},
		{"connections to storage go silent", s.at(s.server.SilenceBlobConnections)},
		{"nobody can connect", func(context.Context) func() { return s.server.IgnoreDials() }},
		{"a partition is added", s.at(s.addPartition)},
	})
}

// at returns the begin function of a storm that does something at one moment, and needs no end.
func (s *simulation) at(do func()) func(context.Context) func() {
	return func(context.Context) func() { do(); return func() {} }
}

func (s *simulation) addPartition() {
	if s.added.Add(1) <= mostAdded {
		require.NoError(s.t, s.server.AddPartitions(hub, 1))
	}
}

// operations are the exchanges that go wrong. The frequent ones are listed twice.
var operations = []eventhubstest.Operation{
	eventhubstest.OnConnect, eventhubstest.OnSASL, eventhubstest.OnOpen, eventhubstest.OnBegin,
	eventhubstest.OnAttach, eventhubstest.OnAttach, eventhubstest.OnToken, eventhubstest.OnToken,
	eventhubstest.OnHubProperties, eventhubstest.OnPartitionProperties, eventhubstest.OnManagement,
	eventhubstest.OnPublish, eventhubstest.OnPublish, eventhubstest.OnReceive, eventhubstest.OnReceive,
	eventhubstest.OnDetach, eventhubstest.OnEnd, eventhubstest.OnClose,
}

// failures are the ways in which exchanges go wrong. A refused position is not among them: checkpoints have to move
// back then.
var failures = []eventhubstest.Fault{
	{Hang: true}, {Hang: true}, {After: true}, {After: true}, {Delay: 90 * time.Second}, {Delay: 5 * time.Second},
	{DropConnection: true}, {DropConnection: true, After: true}, {SilenceConnection: true},
	{Condition: "com.microsoft:server-busy"}, {Condition: "com.microsoft:timeout"}, {Condition: "amqp:internal-error"},
	{Condition: "amqp:link:detach-forced"}, {Condition: "amqp:connection:forced"},
	{Condition: "amqp:unauthorized-access"}, {Condition: "amqp:not-found"}, {Condition: "amqp:link:stolen"},
}

var links = []eventhubstest.LinkKind{
	"", eventhubstest.SenderLink, eventhubstest.ReaderLink, eventhubstest.TokenLink, eventhubstest.ManagementLink,
}

// fault makes exchanges of one kind fail in one way: all of them, or some; of all partitions, or of one.
func (s *simulation) fault(r random, partition string) storm {
	f := one(r, failures)
	f.On, f.Link = one(r, operations), one(r, links)
	if f.On != eventhubstest.OnAttach && f.On != eventhubstest.OnDetach && f.On != eventhubstest.OnToken {
		f.Link = ""
	}
	switch f.On {
	case eventhubstest.OnReceive, eventhubstest.OnPartitionProperties:
		if r.oneIn(2) {
			f.Partition = partition
		}
	}
	f.Times, f.Skip = r.upTo(2)*(1+r.upTo(10)), r.upTo(3)
	return storm{"the namespace: " + set(f), func(context.Context) func() { return s.server.Fault(f) }}
}

// outages are the ways in which storage fails.
var outages = []eventhubstest.BlobFault{
	{Status: 503}, {Status: 500, Code: "InternalError"}, {Status: 403}, {Status: 429}, {Hang: true},
	{DropConnection: true}, {Delay: 5 * time.Second}, {Delay: 90 * time.Second},
	{Status: 500, After: true}, {Hang: true, After: true},
	{Operation: "ListBlobs", Status: 500}, {Operation: "ListBlobs", Hang: true},
	{NameContains: "/checkpoint/", Status: 503}, {NameContains: "/checkpoint/", Hang: true},
	{NameContains: "/checkpoint/", Status: 412, Times: 8},
	{NameContains: "/checkpoint/", Status: 412, After: true, Times: 8},
	{NameContains: "/ownership/", Status: 503}, {NameContains: "/ownership/", Hang: true},
	{NameContains: "/ownership/", Status: 412, After: true, Times: 8},
	{NameContains: "/ownership-request/", Status: 503}, {NameContains: "/ownership-request/", Hang: true},
}

// outage makes storage fail.
func (s *simulation) outage(r random) storm {
	f := one(r, outages)
	return storm{"storage: " + set(f), func(context.Context) func() { return s.server.BlobFault(f) }}
}

// set lists the fields of a fault that are set.
func set(fault any) string {
	fields := strings.Fields(strings.Trim(fmt.Sprintf("%+v", fault), "{}"))
	return strings.Join(slices.DeleteFunc(fields, func(f string) bool {
		_, value, _ := strings.Cut(f, ":")
		return slices.Contains([]string{"", "0", "0s", "false", "<nil>", "map[]"}, value)
	}), " ")
}
