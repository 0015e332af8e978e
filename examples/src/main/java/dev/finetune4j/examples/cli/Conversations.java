package dev.finetune4j.examples.cli;

import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * What was said with the base and with each adapter: each has a conversation of its own, so that what one has said does not
 * colour what another says. Not thread-safe.
 */
final class Conversations {
    private final ChatModel base;
    private final List<String> adapters;
    private final GenerationSettings settings;
    private final Map<String, Object> templateVariables;
    private final Map<String, List<ChatMessage>> turns = new HashMap<>();
    private @Nullable String system;
    private String side;

    /**
     * Begins with the first adapter, or with the base if there is none.
     *
     * @param base serves the adapters by name
     */
    Conversations(
            ChatModel base,
            List<String> adapters,
            GenerationSettings settings,
            Map<String, Object> templateVariables,
            @Nullable String system) {
        this.base = base;
        this.adapters = List.copyOf(adapters);
        this.settings = settings;
        this.templateVariables = Map.copyOf(templateVariables);
        this.system = system;
        this.side = adapters.isEmpty() ? AdapterNames.BASE : adapters.get(0);
    }

    /** Who answers: the name of an adapter, or {@link AdapterNames#BASE}. */
    String side() {
        return side;
    }

    List<String> adapters() {
        return adapters;
    }

    /**
     * Goes over to another side, whose conversation goes on where it was.
     *
     * @param name of an adapter, or of the base; blank for the first adapter
     * @throws IllegalArgumentException if there is none of this name
     */
    void choose(String name) {
        String chosen = name.isBlank() && !adapters.isEmpty() ? adapters.get(0) : name;
        if (!chosen.equals(AdapterNames.BASE) && !adapters.contains(chosen)) {
            throw new IllegalArgumentException(
                    adapters.isEmpty()
                            ? "there is no adapter; start the chat with --adapter NAME=PATH"
                            : "there is no adapter \"" + chosen + "\"; there are "
                                    + adapters.stream().collect(Collectors.joining(", ", "", " and base")));
        }
        side = chosen;
    }

    /** Forgets what was said with this side. */
    void clear() {
        turns.remove(side);
    }

    /** Sets the system message, or none for a blank one; all conversations start over. */
    void system(String text) {
        system = text.isBlank() ? null : text;
        turns.clear();
    }

    /** This conversation, the system message included; empty when nothing was said. */
    List<ChatMessage> messages() {
        List<ChatMessage> said = turns.getOrDefault(side, List.of());
        if (said.isEmpty() || system == null) {
            return said;
        }
        List<ChatMessage> all = new ArrayList<>(List.of(ChatMessage.system(system)));
        all.addAll(said);
        return all;
    }

    /**
     * Asks who answers. An answer that was stopped is kept as far as it came; a question without any answer is forgotten.
     *
     * @param sink gets the pieces
     */
    Reply ask(String question, Consumer<ReplyDelta> sink) {
        List<ChatMessage> said = new ArrayList<>(turns.getOrDefault(side, List.of()));
        said.add(ChatMessage.user(question));
        List<ChatMessage> asked = new ArrayList<>(said);
        if (system != null) {
            asked.add(0, ChatMessage.system(system));
        }
        ChatRequest.Builder request = ChatRequest.builder()
                .conversation(new Conversation(asked, List.of(), templateVariables))
                .settings(settings);
        if (!side.equals(AdapterNames.BASE)) {
            request.adapter(side);
        }
        Reply reply = base.reply(request.build(), sink);
        boolean stopped = reply.finishReason() == FinishReason.INTERRUPTED;
        if (!stopped || !reply.text().isEmpty()) {
            said.add(reply.message());
            turns.put(side, said);
        }
        return reply;
    }
}
