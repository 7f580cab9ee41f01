package blob

import (
	"crypto/hmac"
	"errors"
	"net/http"
	"strings"
	"time"
)

// maxSkew is how much a signed request's date may differ from the account's
// clock.
const maxSkew = 15 * time.Minute

// challenge asks for a token of Azure Storage. The SDKs read the resource from
// it.
const challenge = "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize " +
	"resource_id=https://storage.azure.com"

// authenticate admits a request, or returns why not. No answer repeats the
// credential that the client sent.
func (a *Account) authenticate(c *call, r *http.Request) *failure {
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		if len(c.query["sig"]) > 0 {
			return failed(codeAuthenticationFailed).because("shared access signatures are not supported here: use the shared " +
				"key or a bearer token")
		}
		return failed(codeNoAuthenticationInformation).with("WWW-Authenticate", challenge)
	}
	version := r.Header.Get("x-ms-version")
	if version == "" {
		return failed(codeMissingRequiredHeader).because("header: x-ms-version")
	}
	if !validVersion(version) {
		return failed(codeInvalidHeaderValue).because("x-ms-version must be a date, 2015-02-21 or later")
	}
	scheme, credential, _ := strings.Cut(authorization, " ")
	switch strings.ToLower(scheme) {
	case "sharedkey":
		return a.checkSharedKey(c, credential)
	case "bearer":
		return a.checkBearer(strings.TrimSpace(credential), r)
	}
	return failed(codeAuthenticationFailed).because("the authentication scheme is not supported here: use SharedKey or " +
		"Bearer")
}

func (a *Account) checkBearer(token string, r *http.Request) *failure {
	if r.TLS == nil {
		return failed(codeAuthenticationFailed).because("Authentication scheme Bearer is not allowed with HTTP.")
	}
	refused := failed(codeInvalidAuthenticationInfo).with("WWW-Authenticate", challenge)
	if a.options.Bearer == nil {
		return refused.because("this account accepts no bearer tokens")
	}
	switch err := a.options.Bearer(token, r); {
	case errors.Is(err, ErrNoRole):
		return failed(codeAuthorizationPermissionMismatch)
	case err != nil:
		return refused.because("%s", err)
	}
	return nil
}

// ErrNoRole is what Options.Bearer returns for the token of an identity that has no role for the account. It is
// answered with 403.
var ErrNoRole = errors.New("the identity has no role for this storage account")

func (a *Account) checkSharedKey(c *call, credential string) *failure {
	account, signature, ok := strings.Cut(strings.TrimSpace(credential), ":")
	if !ok {
		fail := failed(codeInvalidAuthenticationInfo).because("the value of Authorization is not SharedKey account:signature")
		fail.status = http.StatusBadRequest
		return fail
	}
	date := c.header.Get("x-ms-date")
	if date == "" {
		date = c.header.Get("Date")
	}
	sent, err := http.ParseTime(date)
	if err != nil {
		return failed(codeAuthenticationFailed).because("x-ms-date or Date must give the request's time in RFC 1123 form")
	}
	if skew := a.options.Now().Sub(sent); skew > maxSkew || skew < -maxSkew {
		return failed(codeAuthenticationFailed).because(
			"the request's date is more than 15 minutes from the server's: %q", httpTime(sent),
		)
	}
	if account != a.options.Account {
		return failed(codeAuthenticationFailed).because("the request is signed for another account")
	}
	toSign := c.stringToSign(a.options.Account)
	if !hmac.Equal([]byte(sign(a.options.Key, toSign)), []byte(signature)) {
		return failed(codeAuthenticationFailed).because(
			"The MAC signature found in the HTTP request is not the same as any computed signature. Server used following "+
				"string to sign: %q", toSign)
	}
	return nil
}
