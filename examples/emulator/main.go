// Command emulator runs an Event Hubs namespace, and the blob storage for checkpoints, on this machine, for programs in any language.
// It prints the environment that they need, and ends with Ctrl-C. Events are kept in memory.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var (
		flags   = flag.NewFlagSet("emulator", flag.ExitOnError)
		hubs    = flags.String("hubs", "hub:4", "event hubs and how many partitions they have: `name:partitions,…`")
		groups  = flags.String("groups", "", "consumer groups of every event hub beside $Default: `name,…`")
		amqp    = flags.String("amqp", "", "`address` for AMQP (default 127.0.0.1:5672, and 127.0.0.1:5671 with -tls)")
		blob    = flags.String("blob", "127.0.0.1:10000", "`address` for blobs")
		tls     = flags.Bool("tls", false, "speak TLS; the CA that clients have to trust is written to -ca")
		noPass  = flags.Bool("passwordless", false, "print an environment in which programs sign in with DefaultAzureCredential; implies -tls")
		ca      = flags.String("ca", "eventhubs-ca.pem", "`file` for the CA's certificate, with -tls")
		options = eventhubstest.Options{}
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if options.Hubs, err = parseHubs(*hubs, *groups); err != nil {
		return err
	}
	options.Address, options.BlobAddress, options.TLS = *amqp, *blob, *tls || *noPass
	if options.Address == "" {
		options.Address = "127.0.0.1:5672"
		if options.TLS {
			options.Address = "127.0.0.1:5671"
		}
	}
	srv, err := eventhubstest.New(&options)
	if err != nil {
		return err
	}
	defer srv.Close()
	if options.TLS {
		if err := os.WriteFile(*ca, srv.CA(), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(out, "export SSL_CERT_FILE='%s'\n", *ca)
	}
	environment := srv.Env
	if *noPass {
		environment = srv.PasswordlessEnv
	}
	for _, variable := range environment(options.Hubs[0].Name) {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(out, "export %s='%s'\n", name, value)
	}
	fmt.Fprintln(out, "# The emulator is ready; Ctrl-C ends it.")
	<-ctx.Done()
	return nil
}

// parseHubs reads "orders:4,audit:1".
func parseHubs(hubs, groups string) (out []eventhubstest.Hub, err error) {
	for _, h := range strings.Split(hubs, ",") {
		name, count, ok := strings.Cut(strings.TrimSpace(h), ":")
		hub := eventhubstest.Hub{Name: name}
		if ok {
			if hub.Partitions, err = strconv.Atoi(count); err != nil || hub.Partitions < 1 {
				return nil, fmt.Errorf("-hubs %q: %q is not a number of partitions", hubs, count)
			}
		}
		if groups != "" {
			hub.ConsumerGroups = strings.Split(groups, ",")
		}
		out = append(out, hub)
	}
	return out, nil
}
