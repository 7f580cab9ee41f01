package eventhubs
