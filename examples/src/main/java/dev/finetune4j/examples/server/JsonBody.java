package dev.finetune4j.examples.server;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.examples.server.http.HttpCall;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.util.Locale;

/** JSON as requests have it: one object in UTF-8, no name twice, nothing after it. */
final class JsonBody {
    private static final int MAX_DEPTH = 100;
    static final ObjectMapper MAPPER = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder()
                            .maxNestingDepth(MAX_DEPTH)
                            .maxNumberLength(100)
                            .build())
                    .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                    .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
            .build();

    private JsonBody() {}

    /**
     * Reads the body of a request.
     *
     * @throws ApiException when it is no JSON object
     */
    static ObjectNode read(HttpCall call) throws IOException {
        String type = call.header("content-type").toLowerCase(Locale.ROOT);
        if (!type.equals("application/json") && !type.matches("application/json\\s*;.*")) {
            throw ApiException.invalid(
                    415, "unsupported_media_type", "the body must be JSON; send Content-Type: application/json");
        }
        try {
            JsonNode node = MAPPER.readTree(Texts.utf8(call.body()));
            if (node instanceof ObjectNode object) {
                return object;
            }
            throw ApiException.invalid(null, "the body must be one JSON object");
        } catch (CharacterCodingException e) {
            throw ApiException.invalid(null, "the body is not UTF-8");
        } catch (JsonProcessingException e) {
            throw ApiException.invalid(null, "the body is not JSON: " + e.getOriginalMessage());
        }
    }

    static String write(Object value) {
        try {
            return MAPPER.writeValueAsString(value);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("responses hold only what JSON has", e);
        }
    }
}
