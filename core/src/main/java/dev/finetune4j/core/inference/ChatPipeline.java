package dev.finetune4j.core.inference;

import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.IncrementalDetokenizer;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The text-generation pipeline of a chat: conversation, chat template and tokenizer, prompt cache, tokens one by one,
 * incremental detokenizer, sink.
 *
 * <p>Thread-safe. It borrows the model: once that is closed, replies end with {@link IllegalStateException}.
 */
public final class ChatPipeline {
    private final CausalLM model;
    private final ChatEncoder encoder;
    private final Batcher batcher;
    private final TokenGenerator generator;

    /**
     * @param model answers; borrowed
     * @param encoder turns conversations into tokens; borrowed
     * @param batcher of the model, or of the base that the model is a view of; takes replies that come while others are in
     *     progress
     */
    public ChatPipeline(CausalLM model, ChatEncoder encoder, Batcher batcher) {
        this.model = model;
        this.encoder = encoder;
        this.batcher = batcher;
        this.generator = new TokenGenerator(model, encoder.stopIds());
    }

    /**
     * A new conversation with a prompt cache of its own. The caller closes it.
     *
     * @param settings used by every reply
     * @param system the system message, or null for the template's default
     * @throws IllegalStateException if the model or its adapter is closed
     */
    public ChatSession chat(GenerationSettings settings, @Nullable String system) {
        return new CachedChatSession(this, PromptCache.of(model), settings, system);
    }

    /** Answers a conversation and remembers nothing; see {@link dev.finetune4j.core.generate.ChatModel#reply}. */
    public Reply reply(Conversation conversation, GenerationSettings settings, Consumer<String> sink) {
        try (PromptCache cache = PromptCache.of(model)) {
            return reply(conversation, cache, settings, sink);
        }
    }

    /**
     * Answers a conversation.
     *
     * @param cache what it has of the prompt is not computed again; on return it holds prompt and answer
     * @throws IllegalArgumentException if the template cannot write the conversation
     * @throws IllegalStateException if the cache, the model or its adapter is closed or gets closed meanwhile
     * @throws dev.finetune4j.core.FineTune4jException when the conversation is longer than the model's context
     */
    Reply reply(Conversation conversation, PromptCache cache, GenerationSettings settings, Consumer<String> sink) {
        int[] prompt = encoder.encode(conversation, true).ids();
        boolean alone = batcher.enterAlone();
        try {
            return alone
                    ? alone(prompt, cache, settings, sink)
                    : begin(prompt, cache, settings, sink, stream -> {}).takeAll();
        } finally {
            batcher.leave();
        }
    }

    private Reply alone(int[] prompt, PromptCache cache, GenerationSettings settings, Consumer<String> sink) {
        int reused = cache.reuse(prompt);
        IncrementalDetokenizer detokenizer = encoder.tokenizer().detokenizer(true);
        StringBuilder text = new StringBuilder();
        TokenGenerator.Generation generation =
                generator.generate(prompt, cache, settings, id -> emit(detokenizer.accept(id), text, sink));
        emit(detokenizer.finish(), text, sink);
        return new Reply(text.toString(), prompt.length, reused, generation.ids().length, generation.reason());
    }

    /**
     * Begins to answer a conversation beside others; see {@link dev.finetune4j.core.generate.ChatModel#submit}.
     *
     * @param sink gets pieces of text, in a thread of the library
     */
    public Completion submit(Conversation conversation, GenerationSettings settings, Consumer<String> sink) {
        int[] prompt = encoder.encode(conversation, true).ids();
        PromptCache cache = PromptCache.of(model);
        batcher.enterAlone();
        Runnable end = () -> {
            cache.close();
            batcher.leave();
        };
        try {
            return begin(prompt, cache, settings, sink, stream -> Delivery.of(stream, end));
        } catch (RuntimeException | Error e) {
            end.run();
            throw e;
        }
    }

    /** Hands a prompt to the batcher. */
    private ReplyStream begin(
            int[] prompt,
            PromptCache cache,
            GenerationSettings settings,
            Consumer<String> sink,
            Consumer<ReplyStream> prepare) {
        TokenGenerator.requireFits(model, prompt);
        int reused = cache.reuse(prompt);
        ReplyStream stream = new ReplyStream(encoder.tokenizer().detokenizer(true), sink, prompt.length, reused);
        BatchedText text = new BatchedText(model, prompt, cache, settings, encoder.stopIds(), stream);
        stream.from(text);
        text.handOver();
        prepare.accept(stream);
        batcher.submit(text);
        return stream;
    }

    private static void emit(String piece, StringBuilder text, Consumer<String> sink) {
        if (!piece.isEmpty()) {
            text.append(piece);
            sink.accept(piece);
        }
    }
}
