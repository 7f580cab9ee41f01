// Command emulator runs an Event Hubs namespace, and the blob storage for checkpoints, on this machine, for programs in
// any language. It prints the environment that they need, and ends with Ctrl-C. Events are kept in memory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
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

// settings are what the flags say.
type settings struct {
	server       eventhubstest.Options
	passwordless bool
	ca           string // file for the CA's certificate; "" means none
}

func parse(args []string) (s settings, err error) {
	flags := flag.NewFlagSet("emulator", flag.ExitOnError)
	hubs := flags.String("hubs", "hub:4", "event hubs and how many partitions they have: `name:partitions,…`")
	groups := flags.String("groups", "", "consumer groups of every event hub beside $Default: `name,…`")
	rules := flags.String("rules", "", "shared access policies beside "+eventhubstest.DefaultRule+", "+
		"and what they allow (Send, Listen, Manage): `name:right+right,…`")
	amqp := flags.String("amqp", "", "`addresses` for AMQP, also over WebSockets: the first is printed "+
		"(default 127.0.0.1:5672, and 127.0.0.1:5671 with -tls; as on Azure: 127.0.0.1:5671,127.0.0.1:443)")
	blob := flags.String("blob", "127.0.0.1:10000", "`address` for blobs")
	tls := flags.Bool("tls", false, "speak TLS; what is printed has programs trust it")
	flags.BoolVar(&s.passwordless, "passwordless", false,
		"print an environment in which programs sign in with DefaultAzureCredential; implies -tls")
	flags.StringVar(&s.ca, "ca", "", "`file` for the CA's certificate, with -tls, for programs in other environments")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.server.BlobAddress, s.server.TLS = *blob, *tls || s.passwordless
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("%q is not a flag: see -help", flags.Arg(0))
	case s.ca != "" && !s.server.TLS:
		return s, errors.New("-ca: there is a CA only with -tls or -passwordless: add one of them")
	}
	if s.server.Hubs, err = parseHubs(*hubs, *groups); err != nil {
		return s, err
	}
	if s.server.Rules, err = parseRules(*rules); err != nil {
		return s, err
	}
	if *amqp == "" {
		*amqp = "127.0.0.1:5672"
		if s.server.TLS {
			*amqp = "127.0.0.1:5671"
		}
	}
	addresses := split(*amqp)
	if slices.Contains(addresses, "") {
		return s, fmt.Errorf("-amqp %q: an address is empty: write them like 127.0.0.1:5671,127.0.0.1:443", *amqp)
	}
	s.server.Address, s.server.MoreAddresses = addresses[0], addresses[1:]
	return s, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	srv, err := eventhubstest.New(&s.server)
	if err != nil {
		return err
	}
	defer srv.Close()
	var env []string
	if s.server.TLS {
		folder, err := os.MkdirTemp("", "eventhubs-emulator-")
		if err != nil {
			return fmt.Errorf("make a folder for what programs trust; TMPDIR says where: %w", err)
		}
		defer os.RemoveAll(folder)
		if env, err = srv.WriteTrust(folder); err != nil {
			return err
		}
	}
	if s.ca != "" {
		if err := os.WriteFile(s.ca, srv.CA(), 0o644); err != nil {
			return fmt.Errorf("-ca: write the CA's certificate: %w", err)
		}
	}
	if hub := s.server.Hubs[0].Name; s.passwordless {
		env = append(env, srv.PasswordlessEnv(hub)...)
	} else {
		env = append(env, srv.Env(hub)...)
	}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(out, "export %s=%s\n", name, quote(value))
	}
	for _, r := range s.server.Rules[1:] {
		fmt.Fprintf(out, "# With %s: %s\n", r.Name, srv.RuleConnectionString(r.Name, ""))
	}
	fmt.Fprintln(out, "# The emulator is ready; Ctrl-C ends it.")
	<-ctx.Done()
	return nil
}
