package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// wrongKey wants every kind of operation to be refused.
func wrongKey(ctx context.Context, s *scene) error {
	at := s.at()
	at.Connection = strings.Replace(at.Connection,
		"SharedAccessKey="+eventhubstest.DefaultKey, "SharedAccessKey=anotherKey", 1)
	return s.everythingRefused(ctx, at)
}

func (s *scene) everythingRefused(ctx context.Context, at target) error {
	_, err := s.client.hubProperties(ctx, at)
	if err := refused(err, kindUnauthorized); err != nil {
		return fmt.Errorf("properties: %w", err)
	}
	err = s.client.send(ctx, at, batch{Events: numbered(1), Partition: "0"})
	if err := refused(err, kindUnauthorized); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	_, err = s.client.receive(ctx, at, fromStart("0", 1))
	if err := refused(err, kindUnauthorized); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	return nil
}

// signed signs in with a signature instead of the key: one that is valid, and one that has expired.
func signed(ctx context.Context, s *scene) error {
	if _, err := s.client.hubProperties(ctx, s.signedUntil(time.Now().Add(time.Hour))); err != nil {
		return err
	}
	return s.everythingRefused(ctx, s.signedUntil(time.Now().Add(-time.Minute)))
}

func (s *scene) signedUntil(expires time.Time) target {
	at := s.at()
	endpoint, rest, _ := strings.Cut(at.Connection, ";")
	_, more, _ := strings.Cut(rest, "SharedAccessKey="+eventhubstest.DefaultKey)
	resource := strings.TrimPrefix(endpoint, "Endpoint=") + "/" + s.hub
	signed := signature(resource, eventhubstest.DefaultRule, eventhubstest.DefaultKey, expires)
	at.Connection = endpoint + ";SharedAccessSignature=" + signed + more
	return at
}
