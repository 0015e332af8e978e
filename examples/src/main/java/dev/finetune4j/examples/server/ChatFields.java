package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.ResponseFormat;
import java.util.List;
import java.util.Set;

/** A request for chat completions. */
final class ChatFields {
    private ChatFields() {}

    /**
     * Reads a request.
     *
     * @param adapters those that are loaded
     * @throws ApiException naming the field that is wrong
     */
    static Asked read(ObjectNode body, ServerSettings settings, Set<String> adapters) {
        Fields fields = new Fields(body, "");
        RequestFields shared = new RequestFields(fields, settings, adapters);
        ChatRequest.Builder request = ChatRequest.builder()
                .conversation(ChatMessages.conversation(fields))
                .settings(Sampling.of(fields, shared.newTokens(1)))
                .topLogprobs(topLogprobs(fields))
                .responseFormat(format(fields));
        if (!shared.isBase()) {
            request.adapter(shared.model());
        }
        fields.refuseUnless("store", "false", "nothing is kept here");
        fields.refuseUnless("modalities", "[\"text\"]", "the model writes text alone");
        fields.refuseUnless("audio", "null", "the model writes text alone");
        fields.refuseUnless("prediction", "null", "answers are not predicted here");
        fields.refuseUnless("web_search_options", "null", "nothing is searched here");
        int choices = shared.choices();
        shared.end();
        return Asked.of(shared.model(), List.of(request.build()), choices, shared.stream(), shared.streamsUsage());
    }

    private static int topLogprobs(Fields fields) {
        boolean wanted = fields.flag("logprobs").orElse(false);
        long top = fields.integer("top_logprobs", 0, 20).orElse(0L);
        if (top > 0 && !wanted) {
            throw ApiException.invalid("top_logprobs", "top_logprobs needs logprobs: true");
        }
        return wanted ? Math.toIntExact(top) : ChatRequest.NO_LOGPROBS;
    }

    private static ResponseFormat format(Fields fields) {
        Fields format = fields.object("response_format").orElse(null);
        if (format == null) {
            return ResponseFormat.text();
        }
        String type = format.requiredText("type");
        ResponseFormat result = switch (type) {
            case "text" -> ResponseFormat.text();
            case "json_object" -> ResponseFormat.jsonObject();
            case "json_schema" -> schema(format.object("json_schema").orElseThrow(() -> format.missing("json_schema")));
            default ->
                throw ApiException.invalid(
                        "response_format.type",
                        "response_format.type must be text, json_object or json_schema, but is "
                                + Texts.shortened(type));
        };
        format.end();
        return result;
    }

    private static ResponseFormat schema(Fields fields) {
        fields.text("name");
        fields.text("description");
        fields.flag("strict");
        ObjectNode schema = fields.node("schema").orElseThrow(() -> fields.missing("schema"));
        fields.end();
        try {
            return ResponseFormat.jsonSchema(schema.toString());
        } catch (SettingsException e) {
            throw ApiException.invalid(fields.place("schema"), String.valueOf(e.getMessage()));
        }
    }
}
