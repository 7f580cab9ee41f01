package checkpoint_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
)

// nobody is a credential that gives no token.
type nobody struct{}

func (nobody) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, errors.New("nobody is signed in")
}

// What people paste into the wrong place, or with something missing. No error shows a secret.
func TestAccountMistakes(t *testing.T) {
	const (
		url  = "https://contoso.blob.core.windows.net"
		name = ` is not a container's name: 3 to 63 lower-case letters, digits and single hyphens between them`
		keys = `: take the storage account's, from "Access keys" in the portal`
	)
	key := base64.StdEncoding.EncodeToString([]byte("secret canary"))
	account := "AccountName=a;AccountKey=" + key
	hubs := "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=" + key
	iot := "HostName=contoso.azure-devices.net;SharedAccessKeyName=n;SharedAccessKey=" + key
	for _, c := range []struct {
		url, connection, container string
		cred                       azcore.TokenCredential
		want                       string
	}{
		{want: `neither AccountURL nor ConnectionString is set: set one`},
		{url: " \n", want: `neither AccountURL nor ConnectionString is set: set one`},
		{url: url, connection: account, want: `AccountURL and ConnectionString are both set: set one`},
		{connection: account, cred: nobody{},
			want: `Credential and ConnectionString are both set: Credential goes with AccountURL`},

		{url: url, container: "\t", want: `Container is empty: name the container that holds the checkpoints`},
		{url: url, container: "Check_Points", want: `Container "Check_Points"` + name},
		{url: url, container: "check points", want: `Container "check points"` + name},
		{url: url, container: "ab", want: `Container "ab"` + name},
		{url: url, container: "a--b", want: `Container "a--b"` + name},
		{url: url, container: strings.Repeat("a", 64), want: `Container "` + strings.Repeat("a", 64) + `"` + name},
		{url: url, container: "AccountKey=" + key, want: `Container "AccountKey"` + name},

		{url: "contoso.blob.core.windows.net?sig=" + key,
			want: `AccountURL "contoso.blob.core.windows.net" has no scheme: write https://contoso.blob.core.windows.net`},
		{url: url + "/chk", want: `AccountURL "` + url + `/chk" has a container in it: name it in Container`},
		{url: "http://127.0.0.1:10000/devstoreaccount1/chk",
			want: `AccountURL "http://127.0.0.1:10000/devstoreaccount1/chk" has a container in it: name it in Container`},
		{url: "http://127.0.0.1:10000/devstoreaccount1", cred: nobody{},
			want: `AccountURL "http://127.0.0.1:10000/devstoreaccount1" is plain http, over which azcore sends no token: ` +
				`use https, or a connection string`},
		{url: "sb://contoso.servicebus.windows.net",
			want: `AccountURL "sb://contoso.servicebus.windows.net" is that of an Event Hubs namespace: ` +
				`take the storage account's, such as https://contoso.blob.core.windows.net`},
		{url: "https://Contoso.ServiceBus.windows.net:443/",
			want: `AccountURL "https://Contoso.ServiceBus.windows.net:443/" is that of an Event Hubs namespace: ` +
				`take the storage account's, such as https://contoso.blob.core.windows.net`},
		{url: "https://contoso.dfs.core.windows.net",
			want: `AccountURL "https://contoso.dfs.core.windows.net" is not the account's blob endpoint: ` +
				`did you mean https://contoso.blob.core.windows.net?`},
		{url: "https://contoso.queue.core.chinacloudapi.cn/",
			want: `AccountURL "https://contoso.queue.core.chinacloudapi.cn/" is not the account's blob endpoint: ` +
				`did you mean https://contoso.blob.core.chinacloudapi.cn?`},
		{url: "ftp://contoso", want: `AccountURL "ftp://contoso" has the scheme "ftp": it must be https`},
		{url: "https://", want: `AccountURL "https://" has no host`},
		{url: "https://user:" + key + "@contoso.blob.core.windows.net",
			want: `AccountURL "(not shown)" has a user or password in it: use a SAS, Credential or ConnectionString`},
		{url: "https://contoso .blob.core.windows.net?sig=" + key,
			want: `AccountURL "https://contoso .blob.core.windows.net" has white space in it`},
		{url: "https://contoso%zz?sig=" + key, want: `AccountURL "https://contoso%zz" is not a URL`},
		{url: url + "?comp=list", want: `AccountURL "` + url + `" has a query that is not a SAS`},
		{url: url + "?sig=" + key, cred: nobody{},
			want: `AccountURL "` + url + `" has a SAS, and Credential is set too: use one`},
		{url: "AccountKey=" + key + ";AccountName=a",
			want: `AccountURL is a connection string: it belongs in ConnectionString`},
		{url: hubs, want: `AccountURL is a connection string of Event Hubs: take the storage account's URL`},
		{url: iot, want: `AccountURL is a connection string of an IoT Hub: take the storage account's URL`},

		{connection: hubs, want: `ConnectionString is one of Event Hubs` + keys},
		{connection: iot, want: `ConnectionString is one of an IoT Hub` + keys},
		{connection: "UseDevelopmentStorage=true",
			want: `ConnectionString: azblob does not know UseDevelopmentStorage: ` +
				`write out the emulator's AccountName, AccountKey and BlobEndpoint`},
		{connection: "AccountName=a",
			want: `ConnectionString: connection string needs either AccountKey or SharedAccessSignature`},
		{connection: account + "!", want: `ConnectionString: decode account key: illegal base64 data at input byte 20`},
		{connection: "AccountName=a;AccountKey=" + key[:4] + "\n" + key[4:],
			want: `ConnectionString has white space in the part "AccountKey": copy it again`},
		{connection: "AccountName=a; AccountKey=" + key,
			want: `ConnectionString has white space in the part " AccountKey": copy it again`},
	} {
		a := checkpoint.Account{URL: c.url, ConnectionString: c.connection, Container: c.container, Credential: c.cred}
		if c.container == "" {
			a.Container = "chk"
		}
		_, err := checkpoint.OpenBlobStore(t.Context(), a, checkpoint.BlobOptions{})
		require.EqualError(t, err, "blob config: "+c.want)
		require.NotContains(t, err.Error(), key)
	}
}
