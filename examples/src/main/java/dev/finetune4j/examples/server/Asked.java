package dev.finetune4j.examples.server;

import dev.finetune4j.core.generate.ChatRequest;
import java.util.ArrayList;
import java.util.List;

/**
 * What a request asks a model to write.
 *
 * @param model the name that the request has for who answers
 * @param requests one for each answer, those of one prompt in a row
 * @param choices how many answers a prompt has
 * @param stream whether they come as events
 * @param streamsUsage whether the last event counts the tokens
 */
record Asked(String model, List<ChatRequest> requests, int choices, boolean stream, boolean streamsUsage) {
    Asked {
        requests = List.copyOf(requests);
    }

    /** Several answers to each request, answer i with a seed that is i higher. */
    static Asked of(String model, List<ChatRequest> prompts, int choices, boolean stream, boolean streamsUsage) {
        List<ChatRequest> requests = new ArrayList<>();
        for (ChatRequest prompt : prompts) {
            for (int i = 0; i < choices; i++) {
                long seed = prompt.settings().seed() + i;
                requests.add(
                        i == 0
                                ? prompt
                                : prompt.toBuilder().settings(s -> s.seed(seed)).build());
            }
        }
        return new Asked(model, requests, choices, stream, streamsUsage);
    }

    /** How many answers there are. */
    int answers() {
        return requests.size();
    }
}
