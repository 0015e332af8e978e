package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.GenerationSettings;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * A request for text completions.
 *
 * @param asked what is to be written
 * @param prompts the texts to be continued
 * @param echo whether answers repeat them
 * @param scores whether the probabilities of their tokens are told then
 * @param generates whether anything is written after them
 */
record TextFields(Asked asked, List<String> prompts, boolean echo, boolean scores, boolean generates) {
    private static final int MAX_PROMPTS = 64;
    private static final int MAX_TOP = 5;

    TextFields {
        prompts = List.copyOf(prompts);
    }

    /**
     * Reads a request.
     *
     * @param adapters those that are loaded
     * @throws ApiException naming the field that is wrong
     */
    static TextFields read(ObjectNode body, ServerSettings settings, Set<String> adapters) {
        Fields fields = new Fields(body, "");
        RequestFields shared = new RequestFields(fields, settings, adapters);
        List<String> prompts = prompts(fields);
        boolean echo = fields.flag("echo").orElse(false);
        int top = fields.integer("logprobs", 0, MAX_TOP).map(Math::toIntExact).orElse(ChatRequest.NO_LOGPROBS);
        int tokens = shared.newTokens(echo ? 0 : 1);
        GenerationSettings sampling = Sampling.of(fields, Math.max(1, tokens));
        List<ChatRequest> requests = new ArrayList<>();
        for (String prompt : prompts) {
            ChatRequest.Builder request =
                    ChatRequest.builder().text(prompt).settings(sampling).topLogprobs(top);
            if (!shared.isBase()) {
                request.adapter(shared.model());
            }
            requests.add(request.build());
        }
        int choices = shared.choices();
        fields.integer("best_of", choices, choices);
        fields.refuseUnless("suffix", "null", "the model writes on at the end of a text alone");
        shared.end();
        Asked asked = Asked.of(shared.model(), requests, choices, shared.stream(), shared.streamsUsage());
        return new TextFields(asked, prompts, echo, echo && top >= 0, tokens > 0);
    }

    private static List<String> prompts(Fields fields) {
        JsonNode given = fields.any("prompt").orElseThrow(() -> fields.missing("prompt"));
        if (given.path(0).isNumber() || given.path(0).isArray()) {
            throw ApiException.invalid("prompt", "prompts of token ids are not supported; send texts");
        }
        List<String> prompts = fields.texts("prompt").orElse(List.of());
        if (prompts.isEmpty() || prompts.size() > MAX_PROMPTS) {
            throw ApiException.invalid("prompt", "prompt must be 1 to " + MAX_PROMPTS + " texts");
        }
        return prompts;
    }
}
