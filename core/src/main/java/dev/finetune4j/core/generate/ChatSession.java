package dev.finetune4j.core.generate;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.StreamDecoder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * A conversation with a model that remembers what was said and feeds the model only what its cache lacks.
 *
 * <p>A session is confined to one thread at a time. It borrows the model: close the session before the model. If a reply
 * fails or its sink throws, the conversation is as it was before the call.
 */
public final class ChatSession implements AutoCloseable {
    private final ChatEncoder encoder;
    private final TextGenerator generator;
    private final Continuation memory;
    private final List<ChatMessage> messages = new ArrayList<>();
    private final GenerationSettings settings;
    private final @Nullable String system;
    private int[] cachedIds = new int[0];
    private boolean closed;

    /**
     * @param model answers; borrowed
     * @param encoder turns the conversation into tokens; borrowed
     * @param settings used by every reply
     * @param system the system message, or null for the template's default
     */
    public ChatSession(CausalLM model, ChatEncoder encoder, GenerationSettings settings, @Nullable String system) {
        this.encoder = encoder;
        this.generator = new TextGenerator(model, encoder.stopIds());
        this.memory = Continuation.of(model);
        this.settings = settings;
        this.system = system;
        reset();
    }

    /**
     * Asks and waits for the whole answer.
     *
     * @throws IllegalStateException if the session, its model or its adapter is closed
     * @throws dev.finetune4j.core.FineTune4jException when the conversation has outgrown the model's context
     */
    public String say(String message) {
        return reply(message, piece -> {}).text();
    }

    /**
     * Asks and hands the answer out piece by piece while it is generated.
     *
     * @param message what the user says
     * @param sink gets printable pieces; joined they are the answer
     * @throws IllegalStateException if the session, its model or its adapter is closed
     * @throws dev.finetune4j.core.FineTune4jException when the conversation has outgrown the model's context
     */
    public Reply reply(String message, Consumer<String> sink) {
        if (closed) {
            throw new IllegalStateException("the chat session is closed; open a new one");
        }
        List<ChatMessage> asked = new ArrayList<>(messages);
        asked.add(ChatMessage.user(message));
        int[] prompt = encoder.encode(new Conversation(asked), true).ids();
        int reused = Math.min(commonPrefix(prompt), prompt.length - 1);
        memory.truncate(reused);
        cachedIds = Arrays.copyOf(cachedIds, reused);
        StreamDecoder decoder = encoder.tokenizer().streamDecoder(true);
        StringBuilder text = new StringBuilder();
        IntStream.Builder generated = IntStream.builder();
        try {
            TextGenerator.Generation generation = generator.generate(prompt, memory, settings, id -> {
                generated.add(id);
                emit(decoder.accept(id), text, sink);
            });
            emit(decoder.finish(), text, sink);
            messages.add(ChatMessage.user(message));
            messages.add(ChatMessage.assistant(text.toString()));
            return new Reply(text.toString(), prompt.length, reused, generation.ids().length, generation.reason());
        } finally {
            rememberCached(prompt, generated.build().toArray());
        }
    }

    /** Forgets the conversation but not the system message. */
    public void reset() {
        messages.clear();
        if (system != null) {
            messages.add(ChatMessage.system(system));
        }
    }

    /** The conversation so far, system message included. */
    public List<ChatMessage> messages() {
        return List.copyOf(messages);
    }

    private static void emit(String piece, StringBuilder text, Consumer<String> sink) {
        if (!piece.isEmpty()) {
            text.append(piece);
            sink.accept(piece);
        }
    }

    private int commonPrefix(int[] ids) {
        int difference = Arrays.mismatch(ids, cachedIds);
        return difference < 0 ? ids.length : difference;
    }

    private void rememberCached(int[] prompt, int[] generated) {
        int[] all = Arrays.copyOf(prompt, prompt.length + generated.length);
        System.arraycopy(generated, 0, all, prompt.length, generated.length);
        cachedIds = Arrays.copyOf(all, Math.toIntExact(memory.length()));
    }

    /** Frees the cache. Closing twice is fine. */
    @Override
    public void close() {
        closed = true;
        memory.close();
    }
}
