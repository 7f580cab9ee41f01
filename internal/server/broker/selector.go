package broker

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// selector says where in a partition a reader begins. The zero value means after the latest event.
type selector struct {
	by        selectBy
	value     int64
	inclusive bool
}

type selectBy int

const (
	latest selectBy = iota
	byOffset
	bySequence
	byTime
)

const selectorFilter = "apache.org:selector-filter:string"

// selectorSyntax matches what the SDKs write. .NET omits the quotes.
var selectorSyntax = regexp.MustCompile(
	`^\s*amqp\.annotation\.(x-opt-offset|x-opt-sequence-number|x-opt-enqueued-time)\s*(>=?)\s*('[^']*'|[^'\s]+)\s*$`,
)

// earliest is where a reader without a filter begins.
var earliest = selector{by: byOffset, value: -1}

// selectorOf returns what the filters of a receiving link select.
func selectorOf(filters amqp.Map) (selector, *amqp.Error) {
	v := filters.Get(selectorFilter)
	if d, ok := v.(amqp.Described); ok {
		v = d.Value
	}
	if v == nil {
		return earliest, nil
	}
	expression, ok := v.(string)
	if !ok {
		return selector{},
			amqp.Errorf(amqp.CondNotAllowed, "the filter %s is a %T, and has to be a string", selectorFilter, v)
	}
	s, err := parseSelector(expression)
	if err != nil {
		return s, amqp.Errorf(condArgumentError, "%v", err)
	}
	return s, nil
}

func parseSelector(expression string) (selector, error) {
	m := selectorSyntax.FindStringSubmatch(expression)
	if m == nil {
		return selector{}, fmt.Errorf("the filter %q is not understood", expression)
	}
	value := strings.Trim(m[3], "'")
	s := selector{inclusive: m[2] == ">="}
	switch m[1] {
	case "x-opt-offset":
		if value == "@latest" {
			return selector{}, nil
		}
		s.by = byOffset
	case "x-opt-sequence-number":
		s.by = bySequence
	case "x-opt-enqueued-time":
		s.by = byTime
	}
	var err error
	if s.value, err = strconv.ParseInt(value, 10, 64); err != nil || s.value == 1<<63-1 {
		return selector{}, fmt.Errorf("the filter %q has no number in range", expression)
	}
	return s, nil
}
