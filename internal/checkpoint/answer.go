package checkpoint

import (
	"errors"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// lastAnswer is why the last try of a call failed, other than by the end of ctx. Once ctx has ended, azcore returns
// that alone (azcore, runtime/policy_retry.go), so that a service that answers 503 looks like one that does not answer.
type lastAnswer struct{ err error }

// cutOffError says that ctx ended before a call that had failed could be retried.
type cutOffError struct{ ctx, answer error }

func (e *cutOffError) Error() string   { return e.answer.Error() + ": " + e.ctx.Error() }
func (e *cutOffError) Unwrap() []error { return []error{e.ctx, e.answer} }

// answerCall is the policy around all tries of a call. It adds the last answer to the end of ctx.
type answerCall struct{}

func (answerCall) Do(r *policy.Request) (*http.Response, error) {
	last := &lastAnswer{}
	r.SetOperationValue(last)
	resp, err := r.Next()
	if ended := r.Raw().Context().Err(); err != nil && last.err != nil && errors.Is(err, ended) {
		err = &cutOffError{err, last.err}
	}
	return resp, err
}

// answerTry is the policy around each try. It notes the last answer.
type answerTry struct{}

func (answerTry) Do(r *policy.Request) (*http.Response, error) {
	resp, err := r.Next()
	var last *lastAnswer
	switch {
	case !r.OperationValue(&last):
	case err == nil && resp.StatusCode >= http.StatusBadRequest:
		last.err = runtime.NewResponseError(resp)
	case err != nil && r.Raw().Context().Err() == nil:
		last.err = err
	}
	return resp, err
}
