package broker

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// grant is what a token allows, and until when.
type grant struct {
	rights  func() []Right // at the time of the call: an identity's roles can change
	expires time.Time
}

// covers reports whether the grant gives a right at a time. An empty right means any.
func (g grant) covers(right Right, now time.Time) bool {
	if !now.Before(g.expires) {
		return false
	}
	return slices.ContainsFunc(g.rights(), func(r Right) bool { return right == "" || r == right || r == RightManage })
}

// putToken handles a request to $cbs.
func (p *peer) putToken(m *amqp.Message) question {
	audience, _ := m.ApplicationProperties.Get("name").(string)
	path := pathOf(audience)
	q := question{op: OnToken, answer: func() *amqp.Message { return p.takeToken(m, path) }}
	if len(path) <= maxPath {
		q.on = entityOf(path)
	}
	return q
}

// Limits on the tokens of a connection.
const (
	maxTokens = 20_000
	maxPath   = 1000 // bytes of the path that a token is for
	maxToken  = 64 << 10
	tokenSize = 200 // roughly what a token takes in memory, without the path
)

func (p *peer) takeToken(m *amqp.Message, path string) *amqp.Message {
	if op, _ := m.ApplicationProperties.Get("operation").(string); op != "put-token" {
		return refusalf(amqp.CondNotAllowed, "the operation has to be put-token")
	}
	token, _ := m.Value.(string)
	kind, _ := m.ApplicationProperties.Get("type").(string)
	if len(path) > maxPath {
		return refusalf(condArgumentError, "the name of what the token is for is too long")
	}
	if len(token) > maxToken {
		return refusalf(condArgumentError, "the token is too long")
	}
	g, err := p.broker.checkToken(kind, token, path)
	if err != nil {
		return refusalf(amqp.CondUnauthorized, "%v", err)
	}
	if hub := entityOf(path).hub; hub != "" && p.broker.hub(hub) == nil { // last, so that only valid tokens tell
		return refusal(notFound("sb://" + p.conn.Hostname() + "/" + hub))
	}
	p.trust()
	p.tokensMu.Lock()
	defer p.tokensMu.Unlock()
	if _, renewed := p.tokens[path]; !renewed && (len(p.tokens) >= maxTokens || p.conn.Take(tokenSize+len(path)) != nil) {
		return refusalf(amqp.CondResourceLimitExceeded, "too many tokens on one connection")
	}
	p.tokens[path] = g
	p.watchExpiry(g.expires)
	return status(202, "Accepted")
}

// checkToken returns what a token allows. The text of its error goes to the peer.
func (b *Broker) checkToken(kind, token, path string) (grant, error) {
	switch {
	case kind == "servicebus.windows.net:sastoken":
		return b.checkSAS(token, path)
	case kind == "jwt" && b.directory != nil:
		identity, expires, err := b.directory.Check(token)
		return grant{func() []Right { return b.directory.Rights(identity) }, expires}, err
	}
	return grant{}, errors.New("tokens of the type '" + kind + "' are not taken")
}

// allowed reports whether a token gives a right on a path. An empty right means any.
func (p *peer) allowed(path string, right Right) bool {
	p.tokensMu.Lock()
	defer p.tokensMu.Unlock()
	return p.allowedLocked(path, right, time.Now())
}

// allowedLocked is allowed with the lock held. It looks for a token for the path itself or for what contains it.
func (p *peer) allowedLocked(path string, right Right, now time.Time) bool {
	if len(path) > maxPath { // no token is for such a path, and it may have a million parts
		return false
	}
	for {
		if g, ok := p.tokens[path]; ok && g.covers(right, now) {
			return true
		}
		if right == "" {
			if g, ok := p.tokens[path+"/$management"]; ok && g.covers(right, now) {
				return true
			}
		}
		if path == "" {
			return false
		}
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
}

// watchExpiry sets the timer to when a token expires, unless it goes off earlier anyway.
func (p *peer) watchExpiry(expires time.Time) {
	if p.ended || p.expiry != nil && !expires.Before(p.expiryAt) {
		return
	}
	if p.expiry != nil {
		p.expiry.Stop()
	}
	p.expiry, p.expiryAt = time.AfterFunc(time.Until(expires), p.expire), expires
}

// expire closes the links that no valid token covers any more.
func (p *peer) expire() {
	p.forgetExpired(time.Now())
	p.closeUncovered(func(opened) *amqp.Error {
		return amqp.Errorf(amqp.CondUnauthorized, "ExpiredToken: the token has expired. TrackingId:%s", trackingID())
	})
}

// forgetExpired removes the tokens that have expired.
func (p *peer) forgetExpired(now time.Time) {
	p.tokensMu.Lock()
	defer p.tokensMu.Unlock()
	if p.expiry != nil {
		p.expiry.Stop()
		p.expiry = nil
	}
	for path, g := range p.tokens {
		if now.Before(g.expires) {
			p.watchExpiry(g.expires)
		} else {
			delete(p.tokens, path)
			p.conn.Give(tokenSize + len(path))
		}
	}
}

// closeUncovered closes the links that no token covers, with the reason that why returns.
func (p *peer) closeUncovered(why func(opened) *amqp.Error) {
	now := time.Now()
	p.closeLinks(func(o opened) bool { return !p.allowedLocked(o.target.path, o.right, now) }, why)
}
