package dev.finetune4j.core.generate;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** The messages of a conversation; what the model computed for them is its own matter. */
final class RememberedChat implements ChatSession {
    private final ChatModel model;
    private final Runnable onClose;
    private final GenerationSettings settings;
    private final List<ChatMessage> beginning;
    private final AtomicBoolean busy = new AtomicBoolean();
    private volatile List<ChatMessage> messages;
    private volatile boolean closed;

    RememberedChat(ChatModel model, GenerationSettings settings, @Nullable String system, Runnable onClose) {
        this.model = model;
        this.onClose = onClose;
        this.settings = settings;
        this.beginning = system == null ? List.of() : List.of(ChatMessage.system(system));
        this.messages = beginning;
    }

    @Override
    public String send(String message) {
        Arguments.given(message, "send(message)");
        return stream(message, piece -> {}).text();
    }

    @Override
    public Reply stream(String message, Consumer<String> sink) {
        Arguments.given(message, "stream(message)");
        Arguments.given(sink, "stream(sink)");
        begin();
        try {
            List<ChatMessage> asked = with(messages, ChatMessage.user(message));
            Reply reply = model.reply(ChatRequest.of(new Conversation(asked), settings), delta -> {
                if (!delta.content().isEmpty()) {
                    sink.accept(delta.content());
                }
            });
            messages = with(asked, reply.message());
            return reply;
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

    private static List<ChatMessage> with(List<ChatMessage> messages, ChatMessage next) {
        List<ChatMessage> all = new ArrayList<>(messages);
        all.add(next);
        return List.copyOf(all);
    }

    @Override
    public void reset() {
        begin();
        messages = beginning;
        busy.set(false);
    }

    @Override
    public List<ChatMessage> messages() {
        return messages;
    }

    @Override
    public void close() {
        closed = true;
        onClose.run();
    }
}
