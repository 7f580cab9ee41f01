package interop;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigInteger;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.qpid.proton.amqp.Binary;
import org.apache.qpid.proton.amqp.Symbol;
import org.apache.qpid.proton.amqp.UnsignedByte;
import org.apache.qpid.proton.amqp.UnsignedInteger;
import org.apache.qpid.proton.amqp.UnsignedLong;
import org.apache.qpid.proton.amqp.UnsignedShort;

/** An AMQP value in JSON, and as the client takes and gives it: it passes objects of Proton-J's types through in both directions. */
final class Value {
    static Object fromJson(JsonNode json) {
        String type = json.path("t").asText();
        JsonNode v = json.path("v");
        return switch (type) {
            case "null" -> null;
            case "bool" -> v.asBoolean();
            case "ubyte" -> UnsignedByte.valueOf((byte) Integer.parseInt(v.asText()));
            case "ushort" -> UnsignedShort.valueOf((short) Integer.parseInt(v.asText()));
            case "uint" -> UnsignedInteger.valueOf(Long.parseLong(v.asText()));
            case "ulong" -> UnsignedLong.valueOf(new BigInteger(v.asText()));
            case "byte" -> Byte.valueOf(v.asText());
            case "short" -> Short.valueOf(v.asText());
            case "int" -> Integer.valueOf(v.asText());
            case "long" -> Long.valueOf(v.asText());
            case "float" -> Float.valueOf(v.asText());
            case "double" -> Double.valueOf(v.asText());
            case "char" -> character(v.asText());
            case "timestamp" -> new Date(Long.parseLong(v.asText()));
            case "uuid" -> UUID.fromString(v.asText());
            case "binary" -> new Binary(Base64.getDecoder().decode(v.asText()));
            case "string" -> v.asText();
            case "symbol" -> Symbol.valueOf(v.asText());
            case "list" -> list(v);
            case "map" -> map(v);
            default -> throw new Unsupported("no type " + type);
        };
    }

    private static char character(String text) {
        if (text.length() != 1) {
            throw new Unsupported("Proton-J's char is Java's, of 16 bits");
        }
        return text.charAt(0);
    }

    private static List<Object> list(JsonNode elements) {
        List<Object> list = new ArrayList<>();
        elements.forEach(e -> list.add(fromJson(e)));
        return list;
    }

    static Map<String, Object> map(JsonNode fields) {
        Map<String, Object> map = new LinkedHashMap<>();
        fields.fields().forEachRemaining(f -> map.put(f.getKey(), fromJson(f.getValue())));
        return map;
    }

    static ObjectNode toJson(Object value) {
        ObjectNode json = Main.JSON.createObjectNode();
        if (value == null) {
            return json.put("t", "null");
        }
        if (value instanceof Boolean v) {
            return json.put("t", "bool").put("v", v);
        }
        if (value instanceof List<?> v) {
            ArrayNode elements = json.put("t", "list").putArray("v");
            v.forEach(e -> elements.add(toJson(e)));
            return json;
        }
        if (value instanceof Map<?, ?> v) {
            return json.put("t", "map").set("v", fields(v));
        }
        String type = type(value);
        return json.put("t", type).put("v", text(value));
    }

    static ObjectNode fields(Map<?, ?> map) {
        ObjectNode fields = Main.JSON.createObjectNode();
        map.forEach((name, value) -> fields.set(name.toString(), toJson(value)));
        return fields;
    }

    private static String type(Object value) {
        if (value instanceof UnsignedByte) return "ubyte";
        if (value instanceof UnsignedShort) return "ushort";
        if (value instanceof UnsignedInteger) return "uint";
        if (value instanceof UnsignedLong) return "ulong";
        if (value instanceof Byte) return "byte";
        if (value instanceof Short) return "short";
        if (value instanceof Integer) return "int";
        if (value instanceof Long) return "long";
        if (value instanceof Float) return "float";
        if (value instanceof Double) return "double";
        if (value instanceof Character) return "char";
        if (value instanceof Date || value instanceof Instant) return "timestamp";
        if (value instanceof UUID) return "uuid";
        if (value instanceof Binary || value instanceof byte[]) return "binary";
        if (value instanceof String) return "string";
        if (value instanceof Symbol) return "symbol";
        return value.getClass().getName();
    }

    private static String text(Object value) {
        if (value instanceof Date v) return Long.toString(v.getTime());
        if (value instanceof Instant v) return Long.toString(v.toEpochMilli());
        if (value instanceof byte[] v) return Base64.getEncoder().encodeToString(v);
        if (value instanceof Binary v) return Base64.getEncoder().encodeToString(bytes(v));
        return value.toString();
    }

    private static byte[] bytes(Binary binary) {
        byte[] bytes = new byte[binary.getLength()];
        binary.asByteBuffer().get(bytes);
        return bytes;
    }
}
