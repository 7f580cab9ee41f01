package interop;

import com.azure.core.amqp.exception.AmqpErrorCondition;
import com.azure.core.amqp.exception.AmqpException;
import com.azure.core.exception.HttpResponseException;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Map;
import java.util.concurrent.TimeoutException;

/** What the harness is told about an exception. */
final class Failure {
    private static final Map<AmqpErrorCondition, String> KINDS = Map.of(
        AmqpErrorCondition.UNAUTHORIZED_ACCESS, "unauthorized",
        AmqpErrorCondition.NOT_FOUND, "not-found",
        AmqpErrorCondition.ARGUMENT_OUT_OF_RANGE_ERROR, "out-of-range",
        AmqpErrorCondition.LINK_STOLEN, "stolen",
        AmqpErrorCondition.RESOURCE_LIMIT_EXCEEDED, "quota",
        AmqpErrorCondition.LINK_PAYLOAD_SIZE_EXCEEDED, "too-large",
        AmqpErrorCondition.TIMEOUT_ERROR, "timeout");

    static ObjectNode toJson(Throwable failure) {
        return Main.JSON.createObjectNode().put("kind", kind(failure)).put("text", text(failure));
    }

    /** The kind of the outermost exception that has one: retries and blocking calls wrap what they failed with. */
    static String kind(Throwable failure) {
        for (Throwable e = failure; e != null; e = e.getCause()) {
            if (e instanceof Unsupported) {
                return "unsupported";
            }
            if (e instanceof AmqpException amqp && KINDS.containsKey(amqp.getErrorCondition())) {
                return KINDS.get(amqp.getErrorCondition());
            }
            if (e instanceof IllegalArgumentException && e.getMessage().startsWith("status-code: 400,")) {
                return "out-of-range"; // what the client makes of an answer from $management
            }
            if (e instanceof TimeoutException) {
                return "timeout";
            }
            if (e instanceof HttpResponseException http && http.getResponse() != null) {
                switch (http.getResponse().getStatusCode()) {
                    case 401, 403: return "unauthorized";
                    case 404: return "not-found";
                }
            }
        }
        return "other";
    }

    private static String text(Throwable failure) {
        if (failure instanceof Unsupported) {
            return failure.getMessage();
        }
        StringBuilder text = new StringBuilder(failure.toString());
        for (Throwable e = failure.getCause(); e != null; e = e.getCause()) {
            text.append(": ").append(e);
        }
        return text.toString();
    }
}
