package interop;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** What goes on in the background between requests, by the id that the harness was told. */
final class Held<T> {
    private final String name;
    private final Map<String, T> byId = new ConcurrentHashMap<>();
    private final AtomicInteger last = new AtomicInteger();

    /** @param name what an id is called in arguments and results */
    Held(String name) {
        this.name = name;
    }

    ObjectNode add(T value) {
        String id = name + last.incrementAndGet();
        byId.put(id, value);
        return Main.JSON.createObjectNode().put(name, id);
    }

    T get(Arguments arguments) {
        return found(arguments, byId.get(arguments.text(name)));
    }

    T remove(Arguments arguments) {
        return found(arguments, byId.remove(arguments.text(name)));
    }

    private T found(Arguments arguments, T value) {
        if (value == null) {
            throw new IllegalArgumentException("no " + name + " " + arguments.text(name));
        }
        return value;
    }
}
