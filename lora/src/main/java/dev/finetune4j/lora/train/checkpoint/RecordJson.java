package dev.finetune4j.lora.train.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.ModelFileException;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/**
 * Records as JSON objects, and back: settings, whose components are numbers, texts, enums, optionals, lists, maps by text, or again
 * records. Where a component is of an interface, the object says by {@code "type"} which record it is. Immutable.
 */
public final class RecordJson {
    private static final String TYPE = "type";
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private final Map<Class<?>, List<Class<?>>> kinds;

    /**
     * For records of any kind.
     *
     * @param kinds the records of those interfaces that are not sealed
     */
    public RecordJson(Map<Class<?>, List<Class<?>>> kinds) {
        this.kinds = Map.copyOf(kinds);
    }

    /** A value as JSON. */
    public JsonNode write(@Nullable Object value) {
        if (value == null) {
            return NODES.nullNode();
        }
        if (value instanceof Boolean flag) {
            return NODES.booleanNode(flag);
        }
        if (value instanceof Integer || value instanceof Long) {
            return NODES.numberNode(((Number) value).longValue());
        }
        if (value instanceof Double number) {
            return Double.isFinite(number) ? NODES.numberNode(number) : NODES.textNode(number.toString());
        }
        if (value instanceof String || value instanceof Enum<?> || value instanceof Path) {
            return NODES.textNode(value instanceof Enum<?> constant ? constant.name() : value.toString());
        }
        if (value instanceof OptionalInt optional) {
            return optional.isPresent() ? NODES.numberNode((long) optional.getAsInt()) : NODES.nullNode();
        }
        if (value instanceof OptionalDouble optional) {
            return write(optional.isPresent() ? (Object) optional.getAsDouble() : null);
        }
        if (value instanceof Optional<?> optional) {
            return write(optional.orElse(null));
        }
        if (value instanceof Collection<?> list) {
            ArrayNode array = NODES.arrayNode();
            list.forEach(element -> array.add(write(element)));
            return array;
        }
        if (value instanceof Map<?, ?> map) {
            ObjectNode object = NODES.objectNode();
            map.forEach((key, element) -> object.set(String.valueOf(key), write(element)));
            return object;
        }
        return writeRecord(value);
    }

    private ObjectNode writeRecord(Object value) {
        Class<?> type = value.getClass();
        if (!type.isRecord()) {
            throw new IllegalArgumentException(type + " is no record, so it cannot be written as JSON");
        }
        ObjectNode object = NODES.objectNode();
        if (type.getInterfaces().length > 0) {
            object.put(TYPE, type.getSimpleName());
        }
        for (RecordComponent component : type.getRecordComponents()) {
            try {
                component.getAccessor().setAccessible(true);
                object.set(component.getName(), write(component.getAccessor().invoke(value)));
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException(e); // accessors of records throw nothing
            }
        }
        return object;
    }

    /**
     * The value that {@link #write} gave.
     *
     * @param where names the value in messages
     * @throws ModelFileException when it is something else
     * @throws FineTune4jException when the record refuses its values
     */
    public <T> T read(String where, JsonNode node, Class<T> type) {
        Object value = value(where, node, type);
        if (value == null) {
            throw wrong(where, node, "a value");
        }
        return type.cast(value);
    }

    private @Nullable Object value(String where, JsonNode node, Type type) {
        if (type instanceof ParameterizedType generic) {
            return container(where, node, (Class<?>) generic.getRawType(), generic.getActualTypeArguments());
        }
        Class<?> wanted = (Class<?>) type;
        if (wanted == OptionalInt.class) {
            return node.isNull() ? OptionalInt.empty() : OptionalInt.of((int) whole(where, node));
        }
        if (wanted == OptionalDouble.class) {
            return node.isNull() ? OptionalDouble.empty() : OptionalDouble.of(number(where, node));
        }
        if (node.isMissingNode()) {
            throw wrong(where, node, "a value");
        }
        return node.isNull() ? null : present(where, node, wanted);
    }

    private Object present(String where, JsonNode node, Class<?> wanted) {
        if (wanted == boolean.class || wanted == Boolean.class) {
            return require(where, node, node.isBoolean(), "true or false").booleanValue();
        }
        if (wanted == int.class || wanted == Integer.class) {
            return Math.toIntExact(whole(where, node));
        }
        if (wanted == long.class || wanted == Long.class) {
            return whole(where, node);
        }
        if (wanted == double.class || wanted == Double.class) {
            return number(where, node);
        }
        if (wanted == String.class) {
            return require(where, node, node.isTextual(), "a text").textValue();
        }
        if (wanted == Path.class) {
            return Path.of(require(where, node, node.isTextual(), "a path").textValue());
        }
        if (wanted.isEnum()) {
            for (Object constant : wanted.getEnumConstants()) {
                if (((Enum<?>) constant).name().equals(node.asText())) {
                    return constant;
                }
            }
            throw wrong(where, node, "one of " + List.of(wanted.getEnumConstants()));
        }
        require(where, node, node.isObject(), "an object");
        return wanted.isRecord() ? record(where, node, wanted) : record(where, node, chosen(where, node, wanted));
    }

    private Object container(String where, JsonNode node, Class<?> raw, Type[] arguments) {
        if (raw == Optional.class) {
            return Optional.ofNullable(node.isNull() ? null : value(where, node, arguments[0]));
        }
        if (raw == Map.class) {
            require(where, node, node.isObject(), "an object");
            Map<String, @Nullable Object> map = new LinkedHashMap<>();
            node.properties()
                    .forEach(field -> map.put(
                            field.getKey(), value(where + "." + field.getKey(), field.getValue(), arguments[1])));
            return map;
        }
        require(where, node, node.isArray() && raw == List.class, "a list");
        List<@Nullable Object> list = new ArrayList<>();
        for (int i = 0; i < node.size(); i++) {
            list.add(value(where + "[" + i + "]", node.get(i), arguments[0]));
        }
        return list;
    }

    /** The record of that name among those of an interface. */
    private Class<?> chosen(String where, JsonNode node, Class<?> of) {
        List<Class<?>> records = records(of);
        for (Class<?> record : records) {
            if (record.getSimpleName().equals(node.path(TYPE).asText())) {
                return record;
            }
        }
        throw wrong(
                where + "." + TYPE,
                node.path(TYPE),
                "one of " + records.stream().map(Class::getSimpleName).toList());
    }

    private List<Class<?>> records(Class<?> type) {
        List<Class<?>> records = new ArrayList<>();
        Class<?>[] permitted = type.getPermittedSubclasses();
        for (Class<?> each : permitted == null ? kinds.getOrDefault(type, List.of()) : List.of(permitted)) {
            records.addAll(each.isRecord() ? List.of(each) : records(each));
        }
        return records;
    }

    private Object record(String where, JsonNode node, Class<?> type) {
        RecordComponent[] components = type.getRecordComponents();
        Class<?>[] types = new Class<?>[components.length];
        Object[] values = new Object[components.length];
        for (int i = 0; i < components.length; i++) {
            types[i] = components[i].getType();
            String name = components[i].getName();
            values[i] = value(where + "." + name, node.path(name), components[i].getGenericType());
        }
        try {
            Constructor<?> constructor = type.getDeclaredConstructor(types);
            constructor.setAccessible(true);
            return constructor.newInstance(values);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof FineTune4jException refused) {
                throw refused;
            }
            throw new ModelFileException(where + " is refused: " + e.getCause(), e);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e); // every record has this constructor
        }
    }

    private static long whole(String where, JsonNode node) {
        return require(where, node, node.isIntegralNumber() && node.canConvertToLong(), "a whole number")
                .longValue();
    }

    private static double number(String where, JsonNode node) {
        if (node.isTextual() && List.of("NaN", "Infinity", "-Infinity").contains(node.textValue())) {
            return Double.parseDouble(node.textValue());
        }
        return require(where, node, node.isNumber(), "a number").doubleValue();
    }

    private static JsonNode require(String where, JsonNode node, boolean holds, String expected) {
        if (!holds) {
            throw wrong(where, node, expected);
        }
        return node;
    }

    private static ModelFileException wrong(String where, JsonNode found, String expected) {
        return new ModelFileException(where + " is " + (found.isMissingNode() ? "missing" : found) + ", expected "
                + expected + "; it was changed, or written by another version of the library");
    }
}
