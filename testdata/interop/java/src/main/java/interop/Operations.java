package interop;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import java.util.Properties;

/** The operations of the protocol by name. */
final class Operations {
    private static final List<String> PACKAGES = List.of(
        "azure-messaging-eventhubs", "azure-messaging-eventhubs-checkpointstore-blob", "azure-core-amqp", "azure-identity",
        "azure-storage-blob", "proton-j");

    private final Held<Reader> readers = new Held<>("reader");
    private final Held<Processor> processors = new Held<>("processor");

    JsonNode run(String operation, Arguments arguments) throws Exception {
        return switch (operation) {
            case "hello" -> hello();
            case "hub" -> Metadata.hub(arguments);
            case "partition" -> Metadata.partition(arguments);
            case "send" -> Sending.batch(arguments);
            case "send_one" -> Sending.one(arguments);
            case "fill" -> Sending.fill(arguments);
            case "largest" -> Sending.largest(arguments);
            case "send_buffered" -> Sending.buffered(arguments);
            case "receive" -> Reader.receive(arguments);
            case "unfiltered" -> throw new Unsupported("the client opens no link without a filter");
            case "hold" -> readers.add(new Reader(arguments));
            case "held" -> readers.get(arguments).state();
            case "release" -> readers.remove(arguments).close();
            case "process" -> processors.add(new Processor(arguments));
            case "processed" -> processors.get(arguments).state();
            case "stop" -> processors.remove(arguments).close();
            default -> throw new Unsupported("no operation " + operation);
        };
    }

    private static ObjectNode hello() throws IOException {
        ObjectNode hello = Main.JSON.createObjectNode().put("client", "java");
        ObjectNode versions = hello.putObject("version");
        for (String name : PACKAGES) {
            String group = name.startsWith("azure-") ? "com.azure" : "org.apache.qpid";
            try (InputStream file = Operations.class.getResourceAsStream("/META-INF/maven/" + group + "/" + name + "/pom.properties")) {
                Properties properties = new Properties();
                properties.load(file);
                versions.put(name, properties.getProperty("version"));
            }
        }
        return hello;
    }
}
