package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.ResponseFormat;
import java.util.Set;

/**
 * A request for chat completions.
 *
 * @param model the name that the request has for who answers
 * @param request what is answered
 * @param choices how many answers there shall be
 * @param stream whether they come as events
 * @param streamsUsage whether the last event counts the tokens
 */
record ChatCall(String model, ChatRequest request, int choices, boolean stream, boolean streamsUsage) {
    /**
     * Reads a request.
     *
     * @param adapters those that are loaded
     * @throws ApiException naming the field that is wrong
     */
    static ChatCall of(ObjectNode body, ServerSettings settings, Set<String> adapters) {
        Fields fields = new Fields(body, "");
        String model = fields.requiredText("model");
        boolean isBase = model.equals(settings.modelName());
        if (!isBase && !adapters.contains(model)) {
            throw ApiException.noModel(model);
        }
        boolean stream = fields.flag("stream").orElse(false);
        boolean usage = usage(fields, stream);
        int choices =
                Math.toIntExact(fields.integer("n", 1, settings.maxChoices()).orElse(1L));
        ChatRequest.Builder request = ChatRequest.builder()
                .conversation(ChatMessages.conversation(fields))
                .settings(Sampling.of(fields, newTokens(fields, settings)))
                .topLogprobs(topLogprobs(fields))
                .responseFormat(format(fields));
        if (!isBase) {
            request.adapter(model);
        }
        withoutMeaning(fields);
        fields.end();
        return new ChatCall(model, request.build(), choices, stream, usage);
    }

    private static boolean usage(Fields fields, boolean stream) {
        boolean[] usage = {false};
        fields.object("stream_options").ifPresent(options -> {
            if (!stream) {
                throw ApiException.invalid("stream_options", "stream_options is for requests with stream: true alone");
            }
            usage[0] = options.flag("include_usage").orElse(false);
            options.flag("include_obfuscation");
            options.refuseUnless("continuous_usage_stats", "false", "the last event has the usage");
            options.end();
        });
        return usage[0];
    }

    private static int newTokens(Fields fields, ServerSettings settings) {
        long old = fields.integer("max_tokens", 1, settings.maxTokens()).orElse((long) settings.defaultTokens());
        return Math.toIntExact(
                fields.integer("max_completion_tokens", 1, settings.maxTokens()).orElse(old));
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

    /** Fields of OpenAI that say nothing to a server of one's own, and those that would ask for what is not here. */
    private static void withoutMeaning(Fields fields) {
        fields.text("user");
        fields.text("safety_identifier");
        fields.text("prompt_cache_key");
        fields.node("metadata");
        fields.any("service_tier");
        fields.refuseUnless("store", "false", "nothing is kept here");
        fields.refuseUnless("modalities", "[\"text\"]", "the model writes text alone");
        fields.refuseUnless("audio", "null", "the model writes text alone");
        fields.refuseUnless("prediction", "null", "answers are not predicted here");
        fields.refuseUnless("web_search_options", "null", "nothing is searched here");
    }
}
