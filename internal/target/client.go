package target

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// dialer makes the connections of one client.
func (t Target) dialer() *dial.Dialer {
	c := t.Config
	return dial.New(dial.Options{
		Namespace: c.Namespace, Endpoint: c.Endpoint, Plaintext: t.plaintext, WebSockets: c.WebSockets,
		TLS: c.TLSConfig, DialContext: c.DialContext,
	})
}

// NewProducerClient makes a client of the SDK, which connects when it is first used, and the dialer of its connections.
func (t Target) NewProducerClient(retry azeventhubs.RetryOptions) (
	client *azeventhubs.ProducerClient, d *dial.Dialer, err error,
) {
	d = t.dialer()
	o := &azeventhubs.ProducerClientOptions{
		ApplicationID: t.Config.ApplicationID, RetryOptions: retry, NewWebSocketConn: d.Dial,
	}
	if t.Config.ConnectionString != "" {
		client, err = azeventhubs.NewProducerClientFromConnectionString(t.Config.ConnectionString, t.Config.EventHub, o)
		return client, d, err
	}
	credential, err := t.credential()
	if err != nil {
		return nil, nil, err
	}
	client, err = azeventhubs.NewProducerClient(t.Config.Namespace, t.Config.EventHub, credential, o)
	return client, d, err
}

// NewConsumerClient is NewProducerClient for reading. "" as the instance means a new UUID.
func (t Target) NewConsumerClient(group, instance string, retry azeventhubs.RetryOptions) (
	client *azeventhubs.ConsumerClient, d *dial.Dialer, err error,
) {
	d = t.dialer()
	o := &azeventhubs.ConsumerClientOptions{
		ApplicationID: t.Config.ApplicationID, InstanceID: instance, RetryOptions: retry, NewWebSocketConn: d.Dial,
	}
	if t.Config.ConnectionString != "" {
		client, err = azeventhubs.NewConsumerClientFromConnectionString(
			t.Config.ConnectionString, t.Config.EventHub, group, o)
		return client, d, err
	}
	credential, err := t.credential()
	if err != nil {
		return nil, nil, err
	}
	client, err = azeventhubs.NewConsumerClient(t.Config.Namespace, t.Config.EventHub, group, credential, o)
	return client, d, err
}

// credential is the one to sign in with when there is no connection string.
func (t Target) credential() (azcore.TokenCredential, error) {
	if t.Config.Credential != nil {
		return signin.Credential(t.Config.Credential), nil
	}
	c, err := signin.Default()
	if err != nil {
		return nil, err
	}
	return signin.Credential(c), nil
}
