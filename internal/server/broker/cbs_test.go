package broker_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

func TestPutToken(t *testing.T) {
	hour := time.Now().Add(time.Hour)
	const hub = "amqps://host/hub"
	for name, tt := range map[string]struct {
		audience, token string
		code            int32
		why             string
	}{
		"good":                  {hub, sas("amqps://host/hub", "root", rootKey, hour), 202, "Accepted"},
		"another scheme":        {hub, sas("sb://host/hub", "root", rootKey, hour), 202, ""},
		"port":                  {"amqp://host:5672/hub", sas("sb://host/hub", "root", rootKey, hour), 202, ""},
		"names in another case": {"amqps://host/HUB/Partitions/0", sas("SB://HOST/hUb", "root", rootKey, hour), 202, ""},
		"path as audience":      {"hub", sas("sb://host/hub", "root", rootKey, hour), 202, ""},
		"whole namespace":       {hub, sas("sb://host/", "root", rootKey, hour), 202, ""},
		"host only":             {hub, sas("host", "root", rootKey, hour), 202, ""},
		"host and path":         {hub, sas("host/hub", "root", rootKey, hour), 202, ""},
		"part of the hub":       {hub + "/Partitions/1", sas(hub, "root", rootKey, hour), 202, ""},
		"narrower than asked":   {hub, sas(hub+"/Partitions/1", "root", rootKey, hour), 401, "InvalidAudience"},
		"another hub":           {hub, sas("amqps://host/hub2", "root", rootKey, hour), 401, "InvalidAudience"},
		"a hub with its prefix": {hub + "2", sas(hub, "root", rootKey, hour), 401, "InvalidAudience"},
		"wrong key":             {hub, sas(hub, "root", "x", hour), 401, "InvalidSignature"},
		"no key":                {hub, sas(hub, "root", "", hour), 401, "InvalidSignature"},
		"unknown rule":          {hub, sas(hub, "nobody", rootKey, hour), 401, "InvalidSignature"},
		"unknown rule, no key":  {hub, sas(hub, "nobody", "", hour), 401, "InvalidSignature"},
		"expired":               {hub, sas(hub, "root", rootKey, time.Now().Add(-time.Second)), 401, "ExpiredToken"},
		"expiry of 1970":        {hub, signed("host", "root", rootKey, "0"), 401, "ExpiredToken"},
		"expiry not a number":   {hub, signed("host", "root", rootKey, "soon"), 401, "MalformedToken"},
		"expiry past int64":     {hub, signed("host", "root", rootKey, "99999999999999999999"), 401, "MalformedToken"},
		"expiry changed": {
			hub, strings.Replace(sas(hub, "root", rootKey, hour), "&se=1", "&se=2", 1), 401, "InvalidSignature",
		},
		"no signature":         {hub, "SharedAccessSignature sr=host&se=1999999999&skn=root", 401, "InvalidSignature"},
		"signature not base64": {hub, "SharedAccessSignature sr=host&sig=!&se=1999999999&skn=root", 401, "InvalidSignature"},
		"escapes broken":       {hub, "SharedAccessSignature sr=%zz&sig=%zz&se=1&skn=%zz", 401, "InvalidSignature"},
		"not a SAS":            {hub, "Bearer x", 401, "InvalidSignature"},
		"empty":                {hub, "", 401, "InvalidSignature"},
		"no such hub": {
			"sb://host/None/Partitions/0", sas("sb://host/", "root", rootKey, hour), 404,
			"/none' could not be found. TrackingId:",
		},
		"no such hub, wrong key": {"sb://host/none", sas("sb://host/none", "root", "x", hour), 401, "InvalidSignature"},
		"long audience":          {hub + "/" + strings.Repeat("x", 2000), sas(hub, "root", rootKey, hour), 400, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := serve(t, broker.Options{}).dial(t).putAnswer(tt.audience, tt.token)
			code, description := statusOf(answer)
			require.Equal(t, tt.code, code, description)
			require.Contains(t, description, tt.why)
			require.NotContains(t, description, rootKey)
			requireErrorCondition(t, answer, tt.code)
		})
	}
}

// requireErrorCondition checks that a refusal has a condition: JavaScript's client looks at that first.
func requireErrorCondition(t *testing.T, answer *goamqp.Message, code int32) {
	t.Helper()
	condition := answer.ApplicationProperties["error-condition"]
	switch code {
	case 200, 202:
		require.Nil(t, condition)
	case 401:
		require.EqualValues(t, "amqp:unauthorized-access", condition)
	case 404:
		require.EqualValues(t, "amqp:not-found", condition)
	default:
		require.Contains(t, []any{
			"amqp:not-allowed", "com.microsoft:argument-error", "com.microsoft:argument-out-of-range",
		}, condition)
	}
}

// Peers may get the types and names in a request wrong.
func TestPutTokenMalformed(t *testing.T) {
	c := serve(t, broker.Options{}).dial(t)
	good := sas("hub", "root", rootKey, time.Now().Add(time.Hour))
	const kind = "servicebus.windows.net:sastoken"
	for name, tt := range map[string]struct {
		m    *goamqp.Message
		code int32
	}{
		"nothing": {&goamqp.Message{Value: good}, 400},
		"another operation": {
			&goamqp.Message{Value: good, ApplicationProperties: map[string]any{
				"operation": "get-token", "type": kind, "name": "hub",
			}},
			400,
		},
		"wrong types": {
			&goamqp.Message{Value: good, ApplicationProperties: map[string]any{
				"operation": int32(5), "type": true, "name": []byte("hub"),
			}},
			400,
		},
		"another type": {
			&goamqp.Message{Value: good, ApplicationProperties: map[string]any{
				"operation": "put-token", "type": "jwt", "name": "hub",
			}},
			401,
		},
		"type of no type": {
			&goamqp.Message{Value: good, ApplicationProperties: map[string]any{
				"operation": "put-token", "type": int64(1), "name": "hub",
			}},
			401,
		},
		"body a number": {
			&goamqp.Message{
				Value: int64(5), ApplicationProperties: map[string]any{"operation": "put-token", "type": kind, "name": "hub"},
			},
			401,
		},
		"body in data": {
			&goamqp.Message{
				Data:                  [][]byte{[]byte(good)},
				ApplicationProperties: map[string]any{"operation": "put-token", "type": kind, "name": "hub"},
			},
			401,
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer := c.request("$cbs", tt.m)
			code, description := statusOf(answer)
			require.Equal(t, tt.code, code, description)
			requireErrorCondition(t, answer, tt.code)
		})
	}
	code, _ := c.put("hub", good)
	require.Equal(t, int32(202), code, "the connection stays usable")
}

// A connection has one pair of links to $cbs, as on Azure, so that clients that leak them fail here, too.
func TestOnePairOfTokenLinks(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		const opened = "$cbs node has already been opened."
		c := s.open(t)
		send, read := attachSender("$cbs"), attachReader("$cbs")
		attach := func(how func(*testing.T, *namespace, *client) func(context.Context) error) error {
			return how(t, s, c)(ctx(t))
		}
		sender, err := c.session().NewSender(ctx(t), "$cbs", nil)
		require.NoError(t, err)
		requireCondition(t, attach(send), "amqp:not-allowed", "A link to connection '", opened)
		receiver, err := c.session().NewReceiver(ctx(t), "hub/$cbs", nil)
		require.NoError(t, err)
		requireCondition(t, attach(read), "amqp:not-allowed", opened)
		s.open(t) // another connection has its own

		require.NoError(t, sender.Close(ctx(t)))
		require.NoError(t, receiver.Close(ctx(t)))
		for range 3 {
			c.authorize("sb://host/", "root", rootKey)
		}
		for range 2 {
			require.NoError(t, attachSender("$management")(t, s, c)(ctx(t)))
			require.NoError(t, attachReader("$management")(t, s, c)(ctx(t)))
		}

		// A link that is not detached yet remains the only one.
		sender = c.sender("$cbs")
		s.AddFault(broker.Fault{On: broker.OnDetach, Link: broker.TokenLink, Times: 1, Delay: time.Second})
		detached := make(chan error, 1)
		go func() { detached <- sender.Close(ctx(t)) }()
		synctest.Wait()
		requireCondition(t, attach(send), "amqp:not-allowed", opened)
		require.NoError(t, <-detached)
		require.NoError(t, attach(send))
	})
}

func TestRights(t *testing.T) {
	s := serve(t, broker.Options{})
	for rule, tt := range map[string]struct {
		key          string
		send, listen bool
	}{
		"sender": {"s", true, false}, "listener": {"l", false, true}, "root": {rootKey, true, true},
	} {
		t.Run(rule, func(t *testing.T) {
			c := s.dial(t)
			c.authorize("sb://host/hub", rule, tt.key)
			check := func(allowed bool, right string, err error) {
				t.Helper()
				if allowed {
					require.NoError(t, err)
					return
				}
				requireCondition(t, err, "amqp:unauthorized-access", "'"+right+"' claim(s) are required")
			}
			for _, address := range []string{"hub", "hub/Partitions/0"} {
				_, err := c.sess.NewSender(ctx(t), address, nil)
				check(tt.send, "Send", err)
			}
			_, err := c.reader(group, "", nil)
			check(tt.listen, "Listen", err)
		})
	}
}

// A token covers what it names, and everything that is part of it.
func TestTokenIsForItsEntity(t *testing.T) {
	s := serve(t, broker.Options{Hubs: []broker.Hub{{Name: "hub", Partitions: 2}, {Name: "hub2", Partitions: 2}}})
	c := s.dial(t)
	c.authorize("amqps://host/hub/Partitions/0", "root", rootKey)
	_, err := c.sess.NewSender(ctx(t), "hub/Partitions/0", nil)
	require.NoError(t, err)
	for _, address := range []string{"hub", "hub/Partitions/1", "hub2", "hub2/Partitions/0"} {
		_, err := c.sess.NewSender(ctx(t), address, nil)
		requireCondition(t, err, "amqp:unauthorized-access")
	}
	c.authorize("amqps://host/hub2", "root", rootKey)
	_, err = c.sess.NewSender(ctx(t), "hub2/Partitions/1", nil)
	require.NoError(t, err)
}

// A client without a token gets the same answer whether or not an entity exists.
func TestUnauthorizedLearnNothing(t *testing.T) {
	c := serve(t, broker.Options{}).dial(t)
	// The description ends with an id that differs each time.
	same := func(err error, name string) string {
		requireCondition(t, err, "amqp:unauthorized-access")
		text, _, _ := strings.Cut(err.Error(), "TrackingId")
		return strings.ReplaceAll(text, name, "*")
	}
	for _, suffix := range []string{"", "/Partitions/0", "/Partitions/99", "/Partitions/x", "/nonsense"} {
		_, there := c.sess.NewSender(ctx(t), "hub"+suffix, nil)
		_, absent := c.sess.NewSender(ctx(t), "none"+suffix, nil)
		require.Equal(t, same(absent, "none"), same(there, "hub"))
	}
	for _, suffix := range []string{
		"", "/ConsumerGroups/$Default/Partitions/0", "/ConsumerGroups/no/Partitions/0",
		"/ConsumerGroups/$Default/Partitions/99",
	} {
		_, there := c.reader("hub"+suffix, "", nil)
		_, absent := c.reader("none"+suffix, "", nil)
		require.Equal(t, same(absent, "none"), same(there, "hub"))
	}
	for _, kind := range []string{"com.microsoft:eventhub", "com.microsoft:partition", "nonsense"} {
		var told []string
		for _, name := range []string{"hub", "none"} {
			code, description := statusOf(c.request("$management", &goamqp.Message{ApplicationProperties: map[string]any{
				"operation": "READ", "type": kind, "name": name, "partition": "99",
			}}))
			require.Equal(t, int32(401), code)
			told = append(told, strings.ReplaceAll(description.(string), name, "*"))
		}
		require.Equal(t, told[0], told[1])
	}
}

// roles is a directory in which a token is the name of its identity. "expired" is a token that has expired.
type roles struct {
	mu sync.Mutex
	of map[string][]broker.Right
}

func (r *roles) Check(token string) (string, time.Time, error) {
	if token == "expired" {
		return "", time.Time{}, errors.New("ExpiredToken: The token is expired.")
	}
	return token, time.Now().Add(time.Hour), nil
}

func (r *roles) Rights(identity string) []broker.Right {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[identity]
}

func (r *roles) set(identity string, rights ...broker.Right) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[identity] = rights
}

// An identity may do what its roles allow at the time. Its links end when the roles are removed.
func TestDirectory(t *testing.T) {
	d := &roles{of: map[string][]broker.Right{
		"sender": {broker.RightSend}, "both": {broker.RightSend, broker.RightListen},
	}}
	s := serve(t, broker.Options{Directory: d})
	put := func(c *client, token string) (any, any) {
		return statusOf(c.request("$cbs", &goamqp.Message{
			Value:                 token,
			ApplicationProperties: map[string]any{"operation": "put-token", "type": "jwt", "name": "amqps://host/hub"},
		}))
	}
	code, why := put(s.dial(t), "expired")
	require.Equal(t, int32(401), code)
	require.Equal(t, "ExpiredToken: The token is expired.", why)

	nobody := s.dial(t) // its token is accepted, but allows nothing
	code, _ = put(nobody, "nobody")
	require.Equal(t, int32(202), code)
	_, err := nobody.sess.NewSender(ctx(t), "hub", nil)
	requireCondition(t, err, "amqp:unauthorized-access", "'Send' claim(s) are required")
	managed, _ := statusOf(nobody.request("$management", &goamqp.Message{
		ApplicationProperties: map[string]any{"operation": "READ", "type": "com.microsoft:eventhub", "name": "hub"},
	}))
	require.Equal(t, int32(401), managed)

	c := s.dial(t)
	code, _ = put(c, "sender")
	require.Equal(t, int32(202), code)
	_, err = c.reader(group, "", nil)
	requireCondition(t, err, "amqp:unauthorized-access", "'Listen' claim(s) are required")
	d.set("sender", broker.RightSend, broker.RightListen)
	reader := c.mustRead(group, earliest, nil)
	c.sender("hub")

	d.set("sender", broker.RightSend)
	s.RightsChanged()
	e := ended(t, reader)
	require.Equal(t, goamqp.ErrCondUnauthorizedAccess, e.Condition)
	require.Contains(t, e.Description, "'Listen' claim(s) are required")
	c.send("hub", "the sender's link is still there")
}
