package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// split reads "a,b". White space around an item is dropped.
func split(list string) []string {
	items := strings.Split(list, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// parseHubs reads "orders:4,audit:1".
func parseHubs(hubs, groups string) (out []eventhubstest.Hub, err error) {
	for _, h := range split(hubs) {
		name, count, ok := strings.Cut(h, ":")
		hub := eventhubstest.Hub{Name: name}
		if ok {
			if hub.Partitions, err = strconv.Atoi(count); err != nil || hub.Partitions < 1 {
				return nil, fmt.Errorf("-hubs %q: %q is not a number of partitions", hubs, count)
			}
		}
		if groups != "" {
			hub.ConsumerGroups = split(groups)
		}
		out = append(out, hub)
	}
	return out, nil
}

// parseRules reads "sender:Send,worker:Send+Listen". The rule that may do everything comes first.
func parseRules(rules string) ([]eventhubstest.Rule, error) {
	out := []eventhubstest.Rule{{
		Name: eventhubstest.DefaultRule, Key: eventhubstest.DefaultKey,
		Rights: []eventhubstest.Right{eventhubstest.RightManage},
	}}
	if rules == "" {
		return out, nil
	}
	for _, r := range split(rules) {
		name, rights, ok := strings.Cut(r, ":")
		if !ok {
			return nil, fmt.Errorf("-rules %q: %q does not say what it allows: write name:Send, name:Listen or name:Send+Listen",
				rules, r)
		}
		rule := eventhubstest.Rule{Name: name, Key: eventhubstest.DefaultKey}
		for _, right := range strings.Split(rights, "+") {
			rule.Rights = append(rule.Rights, eventhubstest.Right(strings.TrimSpace(right)))
		}
		out = append(out, rule)
	}
	return out, nil
}

// quote quotes a value for a shell.
func quote(value string) string { return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'" }
