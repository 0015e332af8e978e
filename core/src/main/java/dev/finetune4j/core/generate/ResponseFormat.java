package dev.finetune4j.core.generate;

import dev.finetune4j.core.message.Arguments;

/**
 * What the text of an answer is kept to while it is generated, as OpenAI's {@code response_format}: only tokens that lead to such a
 * text can be chosen. Thoughts that the chat template begins stay free. An answer that reaches {@link
 * GenerationSettings#maxNewTokens} ends all the same; its {@link Reply#finishReason} says so.
 */
public sealed interface ResponseFormat {
    /** Any text. */
    record Text() implements ResponseFormat {}

    /** A JSON object. */
    record JsonObject() implements ResponseFormat {}

    /**
     * JSON by a <a href="https://json-schema.org/draft/2020-12">schema</a>. Supported are
     *
     * <ul>
     *   <li>of all values {@code type}, {@code enum}, {@code const}, {@code allOf}, {@code anyOf}, {@code oneOf} (of which no value may be
     *       valid by two), and {@code $ref} into the schema itself, also recursive
     *   <li>of objects {@code properties} (written in the schema's order, and no others), {@code required}, {@code additionalProperties}
     *       (written only where no property is named)
     *   <li>of arrays {@code items}, {@code prefixItems}, {@code minItems}, {@code maxItems}
     *   <li>of strings {@code minLength}, {@code maxLength}, {@code pattern} (without look-around and back references), {@code format}: date,
     *       time, date-time, duration, email, hostname, ipv4, ipv6, uri, uri-reference, uuid
     *   <li>of numbers {@code minimum}, {@code maximum}, {@code exclusiveMinimum}, {@code exclusiveMaximum}, {@code multipleOf}
     * </ul>
     *
     * <p>Annotations such as {@code description} are ignored; what cannot be kept to exactly, such as {@code not}, {@code uniqueItems} or
     * {@code patternProperties}, is refused.
     *
     * @param schema a JSON object as text
     */
    record JsonSchema(String schema) implements ResponseFormat {
        /** @throws dev.finetune4j.core.SettingsException naming all that is not supported or cannot be fulfilled, with its place */
        public JsonSchema {
            Arguments.given(schema, "JsonSchema(schema)");
            dev.finetune4j.core.grammar.JsonSchema.grammar(
                    schema, dev.finetune4j.core.grammar.JsonSchema.Before.NOTHING);
        }
    }

    /** Any text. */
    static ResponseFormat text() {
        return new Text();
    }

    /** A JSON object. */
    static ResponseFormat jsonObject() {
        return new JsonObject();
    }

    /**
     * JSON by a schema, see {@link JsonSchema}.
     *
     * @throws dev.finetune4j.core.SettingsException naming all that is not supported or cannot be fulfilled, with its place
     */
    static ResponseFormat jsonSchema(String schema) {
        return new JsonSchema(schema);
    }
}
