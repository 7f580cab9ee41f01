package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// The files that users take.
const (
	dashboard = "../../dashboards/grafana.json"
	alerts    = "../../dashboards/alerts.yaml"
	document  = "../../../docs/observability.md"
)

var (
	metricName = regexp.MustCompile(`\b(?:messaging|eventhubs)_\w+`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
	suffix     = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// TestDashboard checks that each metric and each label is exported that the dashboard and the alert rules use, and that
// the document explains each metric that is exported, and no other.
func TestDashboard(t *testing.T) {
	t.Parallel()
	families, labels := exported(t)
	used := map[string]bool{}
	for _, expression := range append(dashboardExpressions(t), alertExpressions(t)...) {
		for _, name := range metricName.FindAllString(quoted.ReplaceAllString(expression, ""), -1) {
			base := suffix.ReplaceAllString(name, "")
			used[base] = used[base] || families[base]
			require.True(t, families[base] || families[name] || labels[name], "%s is not exported: %s", name, expression)
		}
	}
	for name := range families {
		require.True(t, used[name], "neither the dashboard nor a rule shows %s", name)
	}

	text, err := os.ReadFile(document)
	require.NoError(t, err)
	explained := map[string]bool{}
	for _, name := range metricName.FindAllString(string(text), -1) {
		require.True(t, families[suffix.ReplaceAllString(name, "")] || labels[name], "the document invents %s", name)
		explained[name] = true
	}
	for name := range families {
		require.True(t, explained[name], "the document does not explain %s", name)
	}
	for _, alert := range alertNames(t) {
		require.Contains(t, string(text), "`"+alert+"`", "the document says what to do about each alert")
	}
}

func dashboardExpressions(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile(dashboard)
	require.NoError(t, err)
	var d struct {
		Templating struct{ List []struct{ Query string } }
		Panels     []struct {
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &d))
	for _, v := range d.Templating.List {
		all = append(all, v.Query)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	require.Greater(t, len(all), 20)
	return all
}

type rule struct {
	Alert, Expr string
	Annotations map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile(alerts)
	require.NoError(t, err)
	var file struct{ Groups []struct{ Rules []rule } }
	require.NoError(t, yaml.Unmarshal(text, &file))
	require.Len(t, file.Groups, 1)
	return file.Groups[0].Rules
}

func alertNames(t *testing.T) (all []string) {
	for _, r := range rules(t) {
		all = append(all, r.Alert)
	}
	return all
}

func alertExpressions(t *testing.T) (all []string) {
	for _, r := range rules(t) {
		all = append(all, r.Expr, r.Annotations["summary"])
	}
	return all
}

// exported has everything happen that is measured, in virtual time, and returns the names of the metrics and labels.
func exported(t *testing.T) (families, labels map[string]bool) {
	t.Helper()
	families, labels = map[string]bool{}, map[string]bool{}
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		meters, err := newMeters(registry)
		require.NoError(t, err)
		defer func() { require.NoError(t, meters.Shutdown(context.Background())) }()
		happen(t, eventhubsotel.Options{MeterProvider: meters}, func() {
			all, err := registry.Gather()
			require.NoError(t, err)
			for _, f := range all {
				families[f.GetName()] = true
				for _, m := range f.GetMetric() {
					for _, l := range m.GetLabel() {
						labels[l.GetName()] = true
					}
				}
			}
		})
	})
	delete(families, "target_info")
	t.Logf("exported: %s", strings.Join(slices.Sorted(maps.Keys(families)), " "))
	return families, labels
}

// happen calls gather when everything has happened.
func happen(t *testing.T, o eventhubsotel.Options, gather func()) {
	srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true})
	cfg, ctx := srv.Config("hub"), t.Context()
	telemetry := eventhubsotel.New(cfg, &o)
	p, err := eventhubs.NewProducer(cfg, nil)
	require.NoError(t, err)
	defer p.Close(context.Background())
	require.NoError(t, telemetry.Sender(p).Send(ctx, eventhubs.Event{PartitionID: "0"}))
	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Condition: "amqp:not-allowed", Times: 1})
	require.Error(t, telemetry.Sender(p).Send(ctx, eventhubs.Event{}))

	store := telemetry.CheckpointStore(eventhubs.NewMemoryCheckpointStore())
	failed := false
	handler := telemetry.Handler(func(context.Context, *eventhubs.ReceivedEvent) error {
		if !failed {
			failed = true
			return errors.New("once")
		}
		return nil
	})
	for range 2 {
		c, err := eventhubs.NewConsumer(cfg, store, &eventhubs.ConsumerOptions{LagInterval: time.Second})
		require.NoError(t, err)
		defer telemetry.Observe(c)()
		ended := make(chan error, 1)
		go func() { ended <- c.Receive(ctx, handler) }()
		defer func() {
			require.NoError(t, c.Close(context.Background()))
			require.NoError(t, <-ended)
		}()
		time.Sleep(time.Minute)
	}
	_, err = store.ClaimOwnership(ctx, []azeventhubs.Ownership{{}}, nil) // which fails
	require.Error(t, err)
	gather()
}
