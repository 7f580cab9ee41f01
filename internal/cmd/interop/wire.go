package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	goamqp "github.com/Azure/go-amqp"
)

// batchFormat is the message format of a message whose data sections each hold an event.
const batchFormat = 0x80013700

// sendEncoded sends encoded events to a partition without an SDK: no SDK can send every type of AMQP.
func sendEncoded(ctx context.Context, at target, partition string, events ...[]byte) error {
	session, done, err := signIn(ctx, at)
	if err != nil {
		return err
	}
	defer done()
	sender, err := session.NewSender(ctx, at.Hub+"/Partitions/"+partition, nil)
	if err != nil {
		return err
	}
	return sender.Send(ctx, &goamqp.Message{Format: batchFormat, Data: events}, nil)
}

// signIn opens a session that may do anything on an event hub. done closes its connection.
func signIn(ctx context.Context, at target) (session *goamqp.Session, done func(), err error) {
	cs, err := azeventhubs.ParseConnectionString(at.Connection)
	if err != nil {
		return nil, nil, err
	}
	trusted, err := trust(at)
	if err != nil {
		return nil, nil, err
	}
	address, scheme := strings.TrimSuffix(strings.TrimPrefix(cs.Endpoint, "sb://"), "/"), "amqp://"
	if trusted != nil {
		host, _, _ := strings.Cut(address, ":")
		trusted.ServerName, scheme = host, "amqps://"
	}
	options := &goamqp.ConnOptions{SASLType: goamqp.SASLTypeAnonymous(), TLSConfig: orDefault(trusted)}
	conn, err := goamqp.Dial(ctx, scheme+address, options)
	if err != nil {
		return nil, nil, err
	}
	done = func() { _ = conn.Close() }
	resource := "sb://" + address + "/" + at.Hub
	token := signature(resource, *cs.SharedAccessKeyName, *cs.SharedAccessKey, time.Now().Add(time.Hour))
	if session, err = conn.NewSession(ctx, nil); err == nil {
		err = putToken(ctx, session, resource, token)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return session, done, nil
}

func orDefault(c *tls.Config) *tls.Config {
	if c == nil {
		return &tls.Config{}
	}
	return c
}

func putToken(ctx context.Context, session *goamqp.Session, audience, token string) error {
	const answers = "answers"
	receiver, err := session.NewReceiver(ctx, "$cbs", &goamqp.ReceiverOptions{TargetAddress: answers})
	if err != nil {
		return err
	}
	sender, err := session.NewSender(ctx, "$cbs", nil)
	if err != nil {
		return err
	}
	replyTo := answers
	err = sender.Send(ctx, &goamqp.Message{
		Value:      token,
		Properties: &goamqp.MessageProperties{MessageID: "token", ReplyTo: &replyTo},
		ApplicationProperties: map[string]any{
			"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience,
		},
	}, nil)
	if err != nil {
		return err
	}
	m, err := receiver.Receive(ctx, nil)
	if err != nil {
		return err
	}
	if status := m.ApplicationProperties["status-code"]; status != int32(202) {
		return fmt.Errorf("put a token: %v %v", status, m.ApplicationProperties["status-description"])
	}
	return errors.Join(receiver.AcceptMessage(ctx, m), sender.Close(ctx), receiver.Close(ctx))
}

// signature is a shared access signature.
func signature(resource, rule, key string, expires time.Time) string {
	escaped, expiry := url.QueryEscape(resource), fmt.Sprint(expires.Unix())
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(escaped + "\n" + expiry))
	return fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%s&skn=%s", escaped,
		url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil))), expiry, rule)
}
