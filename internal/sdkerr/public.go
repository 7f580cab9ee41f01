package sdkerr

import (
	"errors"
	"strings"
)

// The public package's errors of these names, which also say more there.
var (
	ErrNotAuthorized = errors.New("not authorized")
	ErrNotFound      = errors.New("not found")
)

const prefix = "eventhubs: "

// Public is an error as it leaves the library: it begins with the library's name, and matches ErrNotAuthorized or
// ErrNotFound if that is what it means.
func Public(err error) error {
	switch {
	case err == nil:
		return nil
	case NeedsRight(err):
		return Mark(err, ErrNotAuthorized)
	case NeedsName(err):
		return Mark(err, ErrNotFound)
	}
	return Mark(err, nil)
}

// Mark is an error that begins with the library's name, and also matches kind.
func Mark(err, kind error) error { return &publicError{err, kind} }

type publicError struct{ err, kind error }

func (e *publicError) Error() string        { return prefix + WithoutPrefix(e.err).Error() }
func (e *publicError) Unwrap() error        { return e.err }
func (e *publicError) Is(target error) bool { return e.kind != nil && target == e.kind }

// WithoutPrefix is an error without the library's name before it, so that another error of the library can wrap it.
func WithoutPrefix(err error) error { return prefixless{err} }

type prefixless struct{ err error }

func (p prefixless) Error() string { return strings.TrimPrefix(p.err.Error(), prefix) }
func (p prefixless) Unwrap() error { return p.err }
