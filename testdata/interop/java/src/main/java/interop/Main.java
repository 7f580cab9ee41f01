package interop;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

import static java.nio.charset.StandardCharsets.UTF_8;

/** Reads requests from the standard input, carries each out on a thread of its own, and answers on the standard output. */
public final class Main {
    static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = new PrintStream(System.out, true, UTF_8);
        System.setOut(System.err); // whatever else prints must not end up between the answers

        Operations operations = new Operations();
        ExecutorService threads = Executors.newCachedThreadPool();
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        for (String line; (line = requests.readLine()) != null; ) {
            JsonNode request = JSON.readTree(line);
            threads.execute(() -> {
                String answer = answer(operations, request).toString();
                synchronized (answers) {
                    answers.println(answer);
                }
            });
        }
        // Requests that are about to be answered are. Readers and processors that were left end with the process.
        threads.shutdown();
        threads.awaitTermination(5, TimeUnit.SECONDS);
        System.exit(0);
    }

    private static ObjectNode answer(Operations operations, JsonNode request) {
        ObjectNode answer = JSON.createObjectNode();
        answer.set("id", request.get("id"));
        try {
            answer.set("result", operations.run(request.path("op").asText(), new Arguments(request.path("args"))));
        } catch (Throwable e) {
            answer.set("error", Failure.toJson(e));
        }
        return answer;
    }
}
