package dev.finetune4j.core.generate;

import dev.finetune4j.core.Arguments;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.IncrementalDetokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * A conversation with a model that remembers what was said and feeds the model only what its cache lacks.
 *
 * <p>A session serves one thread at a time: while one is in {@link #reply}, another that asks or resets is refused, as is the
 * sink itself. If a reply fails or its sink throws, the conversation is as it was before the call.
 *
 * <p>It borrows the model: once that is closed, replies end with {@link IllegalStateException}. Any thread may close the
 * session, the sink too; a reply in progress then ends with {@link IllegalStateException} at its next token.
 */
public final class ChatSession implements AutoCloseable {
    private final ChatEncoder encoder;
    private final TokenGenerator generator;
    private final InferenceSession memory;
    private final GenerationSettings settings;
    private final List<ChatMessage> beginning;
    private final AtomicBoolean busy = new AtomicBoolean();
    private volatile List<ChatMessage> messages;
    private volatile boolean closed;
    private int[] cachedIds = new int[0];

    /**
     * @param model answers; borrowed
     * @param encoder turns the conversation into tokens; borrowed
     * @param settings used by every reply
     * @param system the system message, or null for the template's default
     * @throws IllegalStateException if the model or its adapter is closed
     */
    public ChatSession(CausalLM model, ChatEncoder encoder, GenerationSettings settings, @Nullable String system) {
        this.encoder = encoder;
        this.generator = new TokenGenerator(model, encoder.stopIds());
        this.memory = InferenceSession.of(model);
        this.settings = settings;
        this.beginning = system == null ? List.of() : List.of(ChatMessage.system(system));
        this.messages = beginning;
    }

    /**
     * Asks and waits for the whole answer.
     *
     * @throws IllegalStateException if the session, its model or its adapter is closed or gets closed meanwhile, or if another
     *     thread is in a reply of this session
     * @throws dev.finetune4j.core.FineTune4jException when the conversation has outgrown the model's context
     */
    public String say(String message) {
        Arguments.given(message, "say(message)");
        return reply(message, piece -> {}).text();
    }

    /**
     * Asks and hands the answer out piece by piece while it is generated.
     *
     * @param message what the user says
     * @param sink gets printable pieces; joined they are the answer
     * @throws IllegalStateException if the session, its model or its adapter is closed or gets closed meanwhile, or if another
     *     thread is in a reply of this session
     * @throws dev.finetune4j.core.FineTune4jException when the conversation has outgrown the model's context
     */
    public Reply reply(String message, Consumer<String> sink) {
        Arguments.given(message, "reply(message)");
        Arguments.given(sink, "reply(sink)");
        begin();
        try {
            return answer(message, sink);
        } catch (IllegalStateException e) {
            throw closed ? new IllegalStateException("the chat session was closed during the reply", e) : e;
        } finally {
            busy.set(false);
        }
    }

    private void begin() {
        if (closed) {
            throw new IllegalStateException("the chat session is closed; open a new one");
        }
        if (!busy.compareAndSet(false, true)) {
            throw new IllegalStateException("the chat session is in the middle of a reply;"
                    + " a session serves one thread at a time: open one per request");
        }
    }

    private Reply answer(String message, Consumer<String> sink) {
        List<ChatMessage> before = messages;
        ChatMessage question = ChatMessage.user(message);
        int[] prompt =
                encoder.encode(new Conversation(with(before, question)), true).ids();
        int reused = Math.min(commonPrefix(prompt), prompt.length - 1);
        memory.truncate(reused);
        cachedIds = Arrays.copyOf(cachedIds, reused);
        IncrementalDetokenizer decoder = encoder.tokenizer().detokenizer(true);
        StringBuilder text = new StringBuilder();
        IntStream.Builder generated = IntStream.builder();
        try {
            TokenGenerator.Generation generation = generator.generate(prompt, memory, settings, id -> {
                generated.add(id);
                emit(decoder.accept(id), text, sink);
            });
            emit(decoder.finish(), text, sink);
            messages = with(before, question, ChatMessage.assistant(text.toString()));
            return new Reply(text.toString(), prompt.length, reused, generation.ids().length, generation.reason());
        } finally {
            rememberCached(prompt, generated.build().toArray());
        }
    }

    private static List<ChatMessage> with(List<ChatMessage> messages, ChatMessage... more) {
        List<ChatMessage> all = new ArrayList<>(messages);
        all.addAll(List.of(more));
        return List.copyOf(all);
    }

    /**
     * Forgets the conversation but not the system message.
     *
     * @throws IllegalStateException if the session is closed, or in the middle of a reply
     */
    public void reset() {
        begin();
        messages = beginning;
        busy.set(false);
    }

    /** The conversation so far, system message included; a reply that is not finished is not part of it. */
    public List<ChatMessage> messages() {
        return messages;
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

    /** Frees the cache, once the token in progress is through. Closing twice is fine. */
    @Override
    public void close() {
        closed = true;
        memory.close();
    }
}
