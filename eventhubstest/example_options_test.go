package eventhubstest_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A namespace with two event hubs, of which one has a second consumer group, and a policy for programs that only send.
func ExampleOptions() {
	srv, err := eventhubstest.New(&eventhubstest.Options{
		Hubs: []eventhubstest.Hub{
			{Name: "orders", Partitions: 8, ConsumerGroups: []string{"billing"}},
			{Name: "dead-letters", Partitions: 1},
		},
		Rules: []eventhubstest.Rule{
			{Name: "all", Key: "YWxs", Rights: []eventhubstest.Right{eventhubstest.RightManage}},
			{Name: "shop", Key: "c2hvcA==", Rights: []eventhubstest.Right{eventhubstest.RightSend}},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	_, signIn, _ := strings.Cut(srv.RuleConnectionString("shop", "orders"), ";")
	fmt.Println(signIn)
	// Output: SharedAccessKeyName=shop;SharedAccessKey=c2hvcA==;UseDevelopmentEmulator=true;EntityPath=orders
}
