package signin_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// final is an error that the SDKs don't try again after.
type final struct{ error }

func (final) NonRetriable()   {}
func (f final) Unwrap() error { return f.error }

type credential func(ctx context.Context) (azcore.AccessToken, error)

func (c credential) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return c(ctx)
}

func TestFailures(t *testing.T) { synctest.Test(t, testFailures) }

func testFailures(t *testing.T) {
	why := errors.New("no identity")
	var fails error
	c := signin.Credential(credential(func(ctx context.Context) (azcore.AccessToken, error) {
		deadline, bounded := ctx.Deadline()
		require.True(t, bounded, "azeventhubs sets no bound")
		require.Less(t, time.Until(deadline), 2*time.Minute)
		return azcore.AccessToken{Token: "t"}, fails
	}))
	get := func(ctx context.Context) (azcore.AccessToken, error) {
		return c.GetToken(ctx, policy.TokenRequestOptions{})
	}
	isFinal := func(err error) bool {
		var marker interface{ NonRetriable() }
		return errors.As(err, &marker)
	}
	var marked *signin.Error

	fails = final{why}
	_, err := get(t.Context())
	require.ErrorAs(t, err, &marked)
	require.ErrorIs(t, err, why)
	require.EqualError(t, err, "no identity")
	require.True(t, isFinal(err), "who can't sign in at all is told at once")

	fails = nil
	token, err := get(t.Context())
	require.NoError(t, err)
	require.Equal(t, "t", token.Token)

	fails = final{why}
	began := time.Now()
	_, err = get(t.Context())
	require.Equal(t, time.Second, time.Since(began), "the SDK asks again at once")
	require.ErrorAs(t, err, &marked)
	require.ErrorIs(t, err, fails)
	require.EqualError(t, err, "no identity")
	require.False(t, isFinal(err), "a token that can't be renewed now is tried again")

	fails = context.DeadlineExceeded
	_, err = get(t.Context())
	require.NotErrorIs(t, err, context.DeadlineExceeded, "no context of the caller's has ended")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = get(gone)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, errors.As(err, new(*signin.Error)))
}
