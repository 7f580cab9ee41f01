// The client's blob checkpoint store.
import { BlobCheckpointStore } from "@azure/eventhubs-checkpointstore-blob";
import { ContainerClient } from "@azure/storage-blob";

// checkpointStore names the namespace with its port, as clients in other languages have it in the names of checkpoint blobs. This
// one leaves the port out, which makes no difference in Azure, where there is none.
export function checkpointStore(args) {
  const store = new BlobCheckpointStore(new ContainerClient(args.store, args.container));
  const fullyQualifiedNamespace = /Endpoint=[a-z]+:\/\/([^/;]+)/.exec(args.connection)[1];
  const named = (x) => ({ ...x, fullyQualifiedNamespace });
  return {
    listOwnership: (_, ...rest) => store.listOwnership(fullyQualifiedNamespace, ...rest),
    claimOwnership: (ownerships, ...rest) => store.claimOwnership(ownerships.map(named), ...rest),
    updateCheckpoint: (checkpoint, ...rest) => store.updateCheckpoint(named(checkpoint), ...rest),
    listCheckpoints: (_, ...rest) => store.listCheckpoints(fullyQualifiedNamespace, ...rest),
  };
}
