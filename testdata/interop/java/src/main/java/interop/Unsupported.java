package interop;

/** Something that this client can't do through its public API. */
final class Unsupported extends RuntimeException {
    Unsupported(String reason) {
        super(reason);
    }
}
