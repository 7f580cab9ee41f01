package checkpoint

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// tryTimeout bounds one try of a call, unless the client options say otherwise. azcore sets no bound of its own,
// and a connection that has gone silent would keep a consumer from renewing its claims.
const tryTimeout = 20 * time.Second

// Account says which container of which storage account a store keeps its blobs in, and how to sign in: a URL with
// a SAS, a URL with a credential, or a connection string. White space and quotes around its strings are dropped, as
// pasting adds them.
type Account struct {
	URL              string
	Container        string
	ConnectionString string
	Credential       azcore.TokenCredential

	// DefaultCredential makes the credential if there is none.
	DefaultCredential func() (azcore.TokenCredential, error)

	Client azcore.ClientOptions
}

// client checks the account and makes the container client that it describes. Nothing is sent.
func (a Account) client() (*container.Client, Auth, error) {
	a.URL, a.ConnectionString = signin.Pasted(a.URL), signin.Pasted(a.ConnectionString)
	a.Container = signin.Pasted(a.Container)
	if err := a.checkFields(); err != nil {
		return nil, 0, fmt.Errorf("blob config: %w", err)
	}
	if a.Client.Retry.TryTimeout == 0 {
		a.Client.Retry.TryTimeout = tryTimeout
	}
	a.Client.PerCallPolicies = append([]policy.Policy{answerCall{}}, a.Client.PerCallPolicies...)
	a.Client.PerRetryPolicies = append([]policy.Policy{answerTry{}}, a.Client.PerRetryPolicies...)
	if a.ConnectionString != "" {
		return a.fromConnectionString()
	}
	return a.fromURL()
}

func (a Account) fromConnectionString() (*container.Client, Auth, error) {
	auth := AuthKey
	if !strings.Contains(a.ConnectionString, "AccountKey=") {
		auth = AuthSAS
	}
	options := &container.ClientOptions{ClientOptions: a.Client}
	client, err := container.NewClientFromConnectionString(a.ConnectionString, a.Container, options)
	if err != nil {
		return nil, 0, fmt.Errorf("blob config: ConnectionString: %w", err)
	}
	return client, auth, nil
}

func (a Account) fromURL() (*container.Client, Auth, error) {
	account, sas, err := a.splitURL()
	if err != nil {
		return nil, 0, fmt.Errorf("blob config: %w", err)
	}
	address, auth := account+"/"+a.Container, AuthToken
	switch {
	case sas != "":
		address, auth = address+"?"+sas, AuthSAS
	default:
		credential := a.Credential
		if credential == nil {
			if credential, err = a.DefaultCredential(); err != nil {
				return nil, 0, err
			}
		}
		sign := newTokenPolicy(credential, a.Client.InsecureAllowCredentialWithHTTP)
		a.Client.PerRetryPolicies = append([]policy.Policy{sign}, a.Client.PerRetryPolicies...)
	}
	// To azblob it is a client without credentials: the address or the policy has what signs its calls.
	client, err := container.NewClientWithNoCredential(address, &container.ClientOptions{ClientOptions: a.Client})
	return client, auth, err
}

// containerName is the service's rule, without the special containers ($root, $web, $logs), which can't hold what we
// store.
var containerName = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])*$`)

// checkFields finds settings that are missing, exclude each other, or are something else than they should be.
func (a Account) checkFields() error {
	switch {
	case a.URL == "" && a.ConnectionString == "":
		return errors.New("neither AccountURL nor ConnectionString is set: set one")
	case a.URL != "" && a.ConnectionString != "":
		return errors.New("AccountURL and ConnectionString are both set: set one")
	case a.Credential != nil && a.ConnectionString != "":
		return errors.New("Credential and ConnectionString are both set: Credential goes with AccountURL")
	case a.Container == "":
		return errors.New("Container is empty: name the container that holds the checkpoints")
	case !containerName.MatchString(a.Container) || len(a.Container) < 3 || len(a.Container) > 63:
		return fmt.Errorf("Container %q is not a container's name: 3 to 63 lower-case letters, digits and single "+
			"hyphens between them", WithoutSecrets(a.Container))
	}
	if a.ConnectionString != "" {
		return checkConnectionString(a.ConnectionString)
	}
	return nil
}

// foreign recognizes the connection strings of other services.
func foreign(s string) string {
	lower := strings.ToLower(s)
	switch {
	case strings.Contains(lower, "endpoint=sb://"):
		return "Event Hubs"
	case strings.Contains(lower, "hostname=") && strings.Contains(lower, "sharedaccesskey"):
		return "an IoT Hub"
	}
	return ""
}

const whereConnectionString = `take the storage account's, from "Access keys" in the portal`

func checkConnectionString(s string) error {
	if service := foreign(s); service != "" {
		return fmt.Errorf("ConnectionString is one of %s: %s", service, whereConnectionString)
	}
	if strings.Contains(s, "UseDevelopmentStorage=") {
		return errors.New("ConnectionString: azblob does not know UseDevelopmentStorage: " +
			"write out the emulator's AccountName, AccountKey and BlobEndpoint")
	}
	for part := range strings.SplitSeq(s, ";") {
		if strings.ContainsFunc(part, unicode.IsSpace) {
			// Only the name of the part is shown: it may be the key.
			name, _, _ := strings.Cut(part, "=")
			return fmt.Errorf("ConnectionString has white space in the part %q: copy it again", WithoutSecrets(name))
		}
	}
	return nil
}

// splitURL takes the URL apart: the account's endpoint without a slash at its end, and the SAS.
func (a Account) splitURL() (endpoint, sas string, err error) {
	shown := WithoutSecrets(a.URL)
	wrong := func(format string, args ...any) (string, string, error) {
		return "", "", fmt.Errorf("AccountURL %q "+format, append([]any{shown}, args...)...)
	}
	if strings.Contains(a.URL, "AccountName=") || strings.Contains(a.URL, "AccountKey=") {
		return "", "", errors.New("AccountURL is a connection string: it belongs in ConnectionString")
	}
	if service := foreign(a.URL); service != "" {
		return "", "", fmt.Errorf("AccountURL is a connection string of %s: take the storage account's URL", service)
	}
	if !strings.Contains(a.URL, "://") {
		return wrong("has no scheme: write https://%s", shown)
	}
	if strings.ContainsFunc(a.URL, unicode.IsSpace) {
		return wrong("has white space in it")
	}
	u, err := url.Parse(a.URL)
	if err != nil {
		return wrong("is not a URL") // the parser's own error would print the whole of it
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case u.Scheme == "sb" || strings.Contains(host, ".servicebus."):
		return wrong("is that of an Event Hubs namespace: take the storage account's, such as " +
			"https://contoso.blob.core.windows.net")
	case otherEndpoint.MatchString(host):
		return wrong("is not the account's blob endpoint: did you mean https://%s?",
			otherEndpoint.ReplaceAllString(host, "$1.blob.$3"))
	case u.Scheme != "https" && u.Scheme != "http":
		return wrong("has the scheme %q: it must be https", u.Scheme)
	case u.Host == "":
		return wrong("has no host")
	case u.User != nil:
		return wrong("has a user or password in it: use a SAS, Credential or ConnectionString")
	case namesContainer(u):
		return wrong("has a container in it: name it in Container")
	case u.RawQuery != "" && !u.Query().Has("sig"):
		return wrong("has a query that is not a SAS")
	case u.RawQuery != "" && a.Credential != nil:
		return wrong("has a SAS, and Credential is set too: use one")
	case u.RawQuery == "" && u.Scheme == "http" && !a.Client.InsecureAllowCredentialWithHTTP:
		return wrong("is plain http, over which azcore sends no token: use https, or a connection string")
	}
	return strings.TrimSuffix(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"), u.RawQuery, nil
}

// otherEndpoint is the host of one of an account's endpoints that don't serve blobs.
var otherEndpoint = regexp.MustCompile(`^([^.]+)\.(dfs|file|queue|table|web)\.(.*core\..*)$`)

// namesContainer reports whether a URL has more in its path than the account.
func namesContainer(u *url.URL) bool {
	path := strings.Trim(u.Path, "/")
	if path == "" {
		return false
	}
	return strings.Contains(u.Host, ".blob.") || strings.Contains(path, "/") // an emulator has the account in its path
}

// WithoutSecrets is an account's or container's URL as it may be shown: without its SAS, and nothing of it if there
// is a password in it. What follows is cut off if it is a connection string in the wrong place.
func WithoutSecrets(address string) string {
	if strings.Contains(address, "@") {
		return "(not shown)"
	}
	if i := strings.IndexAny(address, "?#;="); i >= 0 {
		address = address[:i]
	}
	return address
}
