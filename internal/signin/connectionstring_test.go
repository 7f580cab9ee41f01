package signin_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/signin"
)

const (
	secret    = "c2VjcmV0LWtleS1vZi1hLXRlc3Q="
	host      = "contoso.servicebus.windows.net"
	signature = "SharedAccessSignature sr=" + host + "&sig=" + secret + "&se=1&skn=reader"
	keyed     = "Endpoint=sb://" + host + "/;SharedAccessKeyName=reader;SharedAccessKey=" + secret
	forSDK    = "Endpoint=sb://" + host + ";SharedAccessKeyName=reader;SharedAccessKey=" + secret
)

func TestConnectionString(t *testing.T) {
	replace := func(old, by string) string { return strings.Replace(keyed, old, by, 1) }
	for name, tc := range map[string]struct {
		s    string
		want signin.ConnectionString // "" as its Namespace means host
		sdk  string                  // "" means forSDK
	}{
		"of a namespace":     {s: keyed},
		"of an event hub":    {s: keyed + ";EntityPath=orders", want: signin.ConnectionString{EntityPath: "orders"}},
		"an empty path":      {s: keyed + ";EntityPath="},
		"a semicolon":        {s: keyed + ";EntityPath=orders;", want: signin.ConnectionString{EntityPath: "orders"}},
		"a newline":          {s: keyed + "\n"},
		"Windows's newline":  {s: "\ufeff" + keyed + "\r\n"},
		"quotes":             {s: "\"" + keyed + "\"\n"},
		"single quotes":      {s: "'" + keyed + "'"},
		"a part a line":      {s: strings.ReplaceAll(keyed, ";", ";\n  ")},
		"keys in lower case": {s: replace("Endpoint", "endpoint")},
		"the path first":     {s: "EntityPath=orders;" + keyed, want: signin.ConnectionString{EntityPath: "orders"}},
		"no scheme":          {s: replace("sb://", "")},
		"HTTPS's port":       {s: replace("sb://"+host+"/", "https://"+host+":443/")},
		"a port": {
			replace(host, host+":5671"), signin.ConnectionString{Namespace: host + ":5671"},
			strings.Replace(forSDK, host, host+":5671", 1),
		},
		"an IoT Hub's compatible one": {
			s:    keyed + ";EntityPath=iothub-ehub-1",
			want: signin.ConnectionString{EntityPath: "iothub-ehub-1"},
		},
		"a signature": {
			"Endpoint=sb://" + host + "/;SharedAccessSignature=" + signature, signin.ConnectionString{Signature: true},
			"Endpoint=sb://" + host + ";SharedAccessSignature=" + signature,
		},
		"an emulator": {
			replace(host+"/", "localhost:5672") + ";UseDevelopmentEmulator=true;",
			signin.ConnectionString{Namespace: "localhost:5672", Emulator: true},
			strings.Replace(forSDK, host, "localhost:5672", 1) + ";UseDevelopmentEmulator=true",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := signin.ParseConnectionString(tc.s)
			require.NoError(t, err)
			require.Equal(t, cmp.Or(tc.sdk, forSDK), got.SDK())
			require.Equal(t, cmp.Or(tc.want.Namespace, host), got.Namespace)
			require.Equal(t, tc.want.EntityPath, got.EntityPath)
			require.Equal(t, tc.want.Emulator, got.Emulator)
			require.Equal(t, tc.want.Signature, got.Signature)

			of, err := signin.ParseConnectionString(signin.WithoutEntityPath(tc.s) + ";EntityPath=other")
			require.NoError(t, err)
			require.Equal(t, "other", of.EntityPath)
			require.Equal(t, got.SDK(), of.SDK())
		})
	}
}

func TestBadConnectionString(t *testing.T) {
	const malformed, space = "is malformed: copy it from the portal", "has white space or an invisible character in its "
	replace := func(old, by string) string { return strings.Replace(keyed, old, by, 1) }
	for name, tc := range map[string]struct{ s, want string }{
		"a key":           {secret, malformed},
		"a word":          {"secret", malformed},
		"nothing":         {"", malformed},
		"no key":          {"Endpoint=sb://" + host + "/", malformed},
		"no name of it":   {replace("SharedAccessKeyName=reader;", ""), malformed},
		"an empty key":    {replace(secret, ""), malformed},
		"an empty name":   {replace("reader", ""), malformed},
		"no endpoint":     {replace("Endpoint=sb://"+host+"/;", ""), malformed},
		"a path":          {replace(host+"/", host+"/orders"), malformed},
		"no emulator":     {keyed + ";UseDevelopmentEmulator=maybe", malformed},
		"a broken key":    {replace(secret, "c2Vjc\nmV0"), space + "SharedAccessKey: copy it again"},
		"a tab":           {replace("reader", "rea\tder"), space + "SharedAccessKeyName: copy it again"},
		"no semicolon":    {replace(";Shared", " Shared"), space + "Endpoint: copy it again"},
		"two in one":      {keyed + " " + secret, space + "SharedAccessKey: copy it again"},
		"secret as a key": {keyed + ";" + secret + "=a b", space + "parts: copy it again"},
		"a path with spaces": {
			keyed + ";EntityPath=my orders",
			`is malformed: EntityPath "my orders" has white space or an invisible character in it`,
		},
		"a path with a path": {
			keyed + ";EntityPath=orders/$Default",
			`is malformed: EntityPath "orders/$Default" is not the name of an event hub`,
		},
		"an IoT Hub's": {
			"HostName=contoso.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey=" + secret,
			`is an IoT Hub's: use that of its Event Hub-compatible endpoint, ` +
				`which the portal shows under "Built-in endpoints"`,
		},
		"a device's": {"HostName=contoso.azure-devices.net;DeviceId=d1;SharedAccessKey=" + secret, "is an IoT Hub's: "},
		"storage's": {
			"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey=" + secret + ";EndpointSuffix=core.windows.net",
			"is a storage account's: it belongs in BlobConfig.ConnectionString (BLOB_STORAGE_CONNECTION_STRING)",
		},
		"storage's SAS": {
			"BlobEndpoint=https://contoso.blob.core.windows.net/;SharedAccessSignature=sig=" + secret,
			"is a storage account's: ",
		},
		"Cosmos DB's": {
			"AccountEndpoint=https://contoso.documents.azure.com:443/;AccountKey=" + secret,
			"is a Cosmos DB account's: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := signin.ParseConnectionString(tc.s)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, err.Error(), "c2Vjc")
		})
	}
}

func TestNames(t *testing.T) {
	const iot, storage = "HostName=a.azure-devices.net;SharedAccessKey=" + secret, "AccountName=a;AccountKey=" + secret
	for name, tc := range map[string]struct{ namespace, hub, endpoint, want string }{
		"good":         {host, "orders-1.a_B", "10.0.0.4:5671", ""},
		"IPv6":         {"[::1]:5671", "orders", "::1", ""},
		"none":         {"", "", "", ""},
		"a string":     {keyed, "", "", "Namespace is a connection string: it belongs in ConnectionString"},
		"one as a hub": {"", keyed, "", "EventHub is a connection string: it belongs in ConnectionString"},
		"one to dial":  {"", "", keyed, "Endpoint is a connection string: it belongs in ConnectionString"},
		"an IoT Hub's": {iot, "", "", "Namespace is a connection string, and an IoT Hub's: use"},
		"storage's":    {"", storage, "", "EventHub is a connection string, and a storage account's: "},
		"a path":       {host + "/orders", "", "", `Namespace "contoso.servicebus.windows.net/orders" is not a host name`},
		"a space":      {"contoso .net", "", "", `Namespace "contoso .net" is not a host name`},
		"a newline":    {"", "or\nders", "", `EventHub "or\nders" has white space or an invisible character in it`},
		"no width":     {"", "or\u200bders", "", `EventHub "or\u200bders" has white space or an invisible character in it`},
		"a URL":        {"", "https://contoso/orders", "", `EventHub "https://contoso/orders" is not the name of`},
		"a scheme":     {"", "", "http://10.0.0.4", `Endpoint "http://10.0.0.4" is not a host or host:port`},
		"a secret":     {"", "key=" + secret, "", `EventHub "key…" is not the name of an event hub`},
	} {
		t.Run(name, func(t *testing.T) {
			err := signin.CheckNames(tc.namespace, tc.hub, tc.endpoint)
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), secret)
		})
	}
	for name, ok := range map[string]bool{
		"$Default": true, "my-group": true, "": true, "orders/$Default": false, "a b": false,
	} {
		require.Equal(t, ok, signin.CheckGroup(name) == nil, name)
	}
}

func TestHost(t *testing.T) {
	for s, want := range map[string]string{
		"contoso.servicebus.windows.net":                "contoso.servicebus.windows.net",
		"\tcontoso.servicebus.windows.net\n":            "contoso.servicebus.windows.net",
		"https://contoso.servicebus.windows.net:443/":   "contoso.servicebus.windows.net",
		"HTTPS://contoso.servicebus.windows.net":        "contoso.servicebus.windows.net",
		"sb://contoso.servicebus.windows.net/":          "contoso.servicebus.windows.net",
		"amqps://contoso.servicebus.windows.net:5671":   "contoso.servicebus.windows.net:5671",
		"sb://localhost:5672":                           "localhost:5672",
		"\"contoso.servicebus.windows.net\"":            "contoso.servicebus.windows.net",
		"contoso.servicebus.windows.net.":               "contoso.servicebus.windows.net",
		"contoso.servicebus.windows.net:443":            "contoso.servicebus.windows.net:443",
		"https://contoso.servicebus.windows.net/orders": "contoso.servicebus.windows.net/orders",
		"http://10.0.0.4":                               "http://10.0.0.4",
		"":                                              "",
		"\"":                                            "\"",
	} {
		require.Equal(t, want, signin.Host(s), s)
	}
}

// FuzzConnectionString checks that no error shows what follows an "=", and that the SDK takes what is accepted.
func FuzzConnectionString(f *testing.F) {
	for _, s := range []string{
		keyed, keyed + ";EntityPath=orders", "\"" + keyed + "\"\n", "HostName=a;SharedAccessKey=b", "=;=",
		"Endpoint=sb://a b;",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := signin.ParseConnectionString(s)
		if err != nil {
			require.NotContains(t, err.Error(), secret)
			return
		}
		require.NoError(t, signin.CheckNames("", c.EntityPath, ""))
		p, err := azeventhubs.ParseConnectionString(c.SDK())
		require.NoError(t, err)
		require.Nil(t, p.EntityPath)
		require.Equal(t, c.Namespace, p.FullyQualifiedNamespace)
		again, err := signin.ParseConnectionString(c.SDK())
		require.NoError(t, err)
		require.Equal(t, c.SDK(), again.SDK())
	})
}
