package dev.finetune4j.examples.server;

import java.util.Set;

/** The fields that chat and text completions share. */
final class RequestFields {
    private final Fields fields;
    private final ServerSettings settings;
    private final String model;
    private final boolean stream;
    private boolean usage;

    /**
     * Reads model, stream and its options.
     *
     * @param adapters those that are loaded
     * @throws ApiException naming the field that is wrong
     */
    RequestFields(Fields fields, ServerSettings settings, Set<String> adapters) {
        this.fields = fields;
        this.settings = settings;
        this.model = fields.requiredText("model");
        if (!model.equals(settings.modelName()) && !adapters.contains(model)) {
            throw ApiException.noModel(model);
        }
        this.stream = fields.flag("stream").orElse(false);
        fields.object("stream_options").ifPresent(this::readOptions);
    }

    private void readOptions(Fields options) {
        if (!stream) {
            throw ApiException.invalid("stream_options", "stream_options is for requests with stream: true alone");
        }
        usage = options.flag("include_usage").orElse(false);
        options.flag("include_obfuscation");
        options.refuseUnless("continuous_usage_stats", "false", "the last event has the usage");
        options.end();
    }

    String model() {
        return model;
    }

    boolean isBase() {
        return model.equals(settings.modelName());
    }

    boolean stream() {
        return stream;
    }

    boolean streamsUsage() {
        return usage;
    }

    int choices() {
        return Math.toIntExact(fields.integer("n", 1, settings.maxChoices()).orElse(1L));
    }

    /** @param least how few may be asked for */
    int newTokens(int least) {
        long old = fields.integer("max_tokens", least, settings.maxTokens()).orElse((long) settings.defaultTokens());
        return Math.toIntExact(fields.integer("max_completion_tokens", least, settings.maxTokens())
                .orElse(old));
    }

    /** Ends the reading: fields of OpenAI that say nothing to a server of one's own are passed over, others that nobody has asked for refused. */
    void end() {
        fields.text("user");
        fields.text("safety_identifier");
        fields.text("prompt_cache_key");
        fields.object("metadata").ifPresent(metadata -> {
            metadata.node().fieldNames().forEachRemaining(metadata::text);
            metadata.end();
        });
        fields.any("service_tier");
        fields.end();
    }
}
