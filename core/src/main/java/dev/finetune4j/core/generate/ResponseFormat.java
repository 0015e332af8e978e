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
     * JSON by a <a href="https://json-schema.org/draft/2020-12">schema</a>. Supported are {@code type}, {@code properties} (written
     * in the schema's order, and no others), {@code required}, {@code additionalProperties} (of an object without properties), {@code
     * items}, {@code minItems}, {@code maxItems}, {@code minLength}, {@code maxLength}, {@code enum}, {@code const}, {@code anyOf},
     * {@code oneOf} (as {@code anyOf}), {@code $ref} into the schema itself, and annotations such as {@code description}, which are ignored.
     *
     * @param schema a JSON object as text
     */
    record JsonSchema(String schema) implements ResponseFormat {
        /** @throws dev.finetune4j.core.SettingsException naming every keyword that is not supported, with its place */
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
     * @throws dev.finetune4j.core.SettingsException naming every keyword that is not supported, with its place
     */
    static ResponseFormat jsonSchema(String schema) {
        return new JsonSchema(schema);
    }
}
