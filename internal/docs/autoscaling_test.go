package docs_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestAutoscaling writes a checkpoint and looks for it where KEDA does with the settings of the document
// (kedacore/keda, pkg/scalers/azure/azure_eventhub_checkpoint.go, blobMetadataCheckpointer).
func TestAutoscaling(t *testing.T) {
	yaml := blocks(t, "docs/autoscaling.md", "yaml")
	require.Len(t, yaml, 1)
	set := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s*([A-Za-z]+): "?([^"#\s]+)`).FindAllStringSubmatch(yaml[0].text, -1) {
		set[m[1]] = m[2]
	}
	require.Equal(t, "blobMetadata", set["checkpointStrategy"])
	namespace := set["eventHubNamespace"] + ".servicebus.windows.net"
	looked := fmt.Sprintf("%s/%s/%s/checkpoint/0", namespace, set["eventHubName"], strings.ToLower(set["consumerGroup"]))

	srv := eventhubstest.Start(t, nil)
	store, err := eventhubs.NewBlobCheckpointStore(t.Context(), srv.BlobConfig(set["blobContainer"]))
	require.NoError(t, err)
	sequence := int64(7)
	require.NoError(t, store.SetCheckpoint(t.Context(), azeventhubs.Checkpoint{
		// However the program writes them.
		FullyQualifiedNamespace: strings.ToUpper(
			namespace[:1],
		) + namespace[1:], EventHubName: strings.ToUpper(set["eventHubName"]),
		ConsumerGroup: set["consumerGroup"], PartitionID: "0", SequenceNumber: &sequence,
	}, nil))
	blob, err := store.Client().NewBlobClient(looked).GetProperties(t.Context(), nil)
	require.NoError(t, err)
	found := map[string]string{}
	for name, value := range blob.Metadata {
		found[strings.ToLower(name)] = *value
	}
	require.Equal(t, "7", found["sequencenumber"])
}
