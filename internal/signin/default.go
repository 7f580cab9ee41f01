package signin

import (
	"fmt"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// shared is the process's DefaultAzureCredential. Each credential caches its own tokens, so
// producers, consumers and stores without another credential share one.
var shared struct {
	credentialMu sync.Mutex
	credential   azcore.TokenCredential
}

// Default returns the shared DefaultAzureCredential, and makes it when it is first wanted.
func Default() (azcore.TokenCredential, error) {
	shared.credentialMu.Lock()
	defer shared.credentialMu.Unlock()
	if shared.credential == nil {
		c, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return nil, fmt.Errorf("sign in with DefaultAzureCredential: %w", err)
		}
		shared.credential = c
	}
	return shared.credential, nil
}
