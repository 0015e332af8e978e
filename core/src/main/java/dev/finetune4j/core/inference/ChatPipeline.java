package dev.finetune4j.core.inference;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.core.text.Tokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The text-generation pipeline of a chat: conversation, chat template and tokenizer, prompt cache, tokens one by one,
 * incremental detokenizer, sink.
 *
 * <p>Thread-safe. It borrows the model: once that is closed, replies end with {@link IllegalStateException}.
 */
public final class ChatPipeline {
    /** Calls of tools are numbered so that those of one conversation have numbers of their own. */
    private static final int CALLS_OF_MESSAGE = 100;

    private final CausalLM model;
    private final ChatEncoder encoder;
    private final Batcher batcher;
    private final Constraints constraints;
    private final TokenGenerator generator;

    /**
     * @param model answers; borrowed
     * @param encoder turns conversations into tokens; borrowed
     * @param batcher of the model, or of the base that the model is a view of; takes replies that come while others are in
     *     progress
     * @param constraints of the same tokenizer
     */
    public ChatPipeline(CausalLM model, ChatEncoder encoder, Batcher batcher, Constraints constraints) {
        this.model = model;
        this.encoder = encoder;
        this.batcher = batcher;
        this.constraints = constraints;
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
        PromptCache cache = PromptCache.of(model);
        return ChatSession.of(new Cached(cache), settings, system, cache::close);
    }

    /** Answers by one prompt cache. */
    private final class Cached implements ChatModel {
        private final PromptCache cache;

        Cached(PromptCache cache) {
            this.cache = cache;
        }

        @Override
        public Reply reply(ChatRequest request) {
            return reply(request, delta -> {});
        }

        @Override
        public Reply reply(ChatRequest request, Consumer<ReplyDelta> sink) {
            return ChatPipeline.this.reply(request, prompt(request), cache, sink);
        }
    }

    /** Answers a request; see {@link ChatModel#reply(ChatRequest, Consumer)}. */
    public Reply reply(ChatRequest request, Consumer<ReplyDelta> sink) {
        int[] prompt = prompt(request);
        PromptCache cache = batcher.prefixes().take(model, prompt);
        boolean succeeded = false;
        try {
            Reply reply = reply(request, prompt, cache, sink);
            succeeded = true;
            return reply;
        } finally {
            leave(cache, succeeded);
        }
    }

    /** What a reply leaves serves others that begin like it. */
    private void leave(PromptCache cache, boolean succeeded) {
        if (succeeded) {
            batcher.prefixes().give(model, cache);
        } else {
            cache.close();
        }
    }

    /**
     * Answers a conversation.
     *
     * @param cache what it has of the prompt is not computed again; on return it holds prompt and answer
     * @throws IllegalStateException if the cache, the model or its adapter is closed or gets closed meanwhile
     * @throws dev.finetune4j.core.FineTune4jException when the conversation is longer than the model's context
     */
    private Reply reply(ChatRequest request, int[] prompt, PromptCache cache, Consumer<ReplyDelta> sink) {
        boolean alone = batcher.enterAlone();
        try {
            return alone
                    ? alone(prompt, cache, request, sink)
                    : begin(prompt, cache, cache.reuse(prompt), request, sink, reply -> {})
                            .takeAll();
        } finally {
            batcher.leave();
        }
    }

    private int[] prompt(ChatRequest request) {
        int rows = model.config().vocabSize();
        List<String> problems = new ArrayList<>();
        request.settings().logitBias().keySet().stream()
                .filter(id -> id >= rows)
                .forEach(id -> problems.add("logitBias names the token " + id + ", but the model has those from 0 to "
                        + (rows - 1) + " alone; leave it out"));
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
        if (!request.isText()) {
            return encoder.encode(request.conversation(), true).ids();
        }
        int[] prompt =
                encoder.encodeText(request.conversation().messages().get(0).content());
        if (prompt.length == 0) {
            throw new IllegalArgumentException(
                    "the text to be continued has no token, and this tokenizer begins a text with none; give a text");
        }
        return prompt;
    }

    private AnswerFormat format(ChatRequest request) {
        return request.isText() ? AnswerFormat.OF_TEXT : AnswerFormat.of(encoder, hasTools(request.conversation()));
    }

    private TokenChooser chooser(ChatRequest request, int[] prompt) {
        AnswerFormat format = format(request);
        return new TokenChooser(
                request.settings(),
                encoder.stopIds(),
                prompt.length,
                request.topLogprobs(),
                constraints.of(request.responseFormat(), format.isThinking(prompt, encoder.tokenizer())));
    }

    private ReplyWriter writer(ChatRequest request, Consumer<ReplyDelta> sink, int[] prompt, int reused) {
        AnswerFormat format = format(request);
        AnswerParser parser = new AnswerParser(
                format.marks(),
                format.thinks(),
                format.isThinking(prompt, encoder.tokenizer()),
                format.calls(),
                CALLS_OF_MESSAGE * request.conversation().messages().size());
        return new ReplyWriter(encoder.tokenizer(), request, parser, format.calls(), sink, prompt.length, reused);
    }

    /** The older templates of GLM take tools from a message. */
    private static boolean hasTools(Conversation conversation) {
        return !conversation.tools().isEmpty()
                || conversation.messages().stream()
                        .anyMatch(message -> message.fields().containsKey("tools"));
    }

    private Reply alone(int[] prompt, PromptCache cache, ChatRequest request, Consumer<ReplyDelta> sink) {
        int reused = cache.reuse(prompt);
        ReplyWriter writer = writer(request, sink, prompt, reused);
        TokenGenerator.Generation generation = generator.generate(
                prompt, cache, request.settings().maxNewTokens(), chooser(request, prompt), writer::accept);
        return writer.end(generation.reason());
    }

    /**
     * Begins to answer a conversation beside others; see {@link ChatModel#submit}.
     *
     * @param sink gets pieces of the answer, in a thread of the library
     */
    public Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
        int[] prompt = prompt(request);
        PromptCache cache = batcher.prefixes().take(model, prompt);
        return submit(request, prompt, cache, cache.reuse(prompt), sink);
    }

    /**
     * Begins to answer beside others.
     *
     * @param cache of the prompt, taken over
     * @param reused how many tokens of the prompt are told to have cost nothing
     */
    private Completion submit(
            ChatRequest request, int[] prompt, PromptCache cache, int reused, Consumer<ReplyDelta> sink) {
        batcher.enterAlone();
        try {
            return begin(
                    prompt,
                    cache,
                    reused,
                    request,
                    sink,
                    reply -> Delivery.of(reply, () -> {
                        leave(cache, reply.hasSucceeded());
                        batcher.leave();
                    }));
        } catch (RuntimeException | Error e) {
            cache.close();
            batcher.leave();
            throw e;
        }
    }

    /**
     * Several answers to one request, for which the prompt is computed once; see {@link ChatModel#choices}.
     *
     * @param n at least 1
     */
    public List<Reply> choices(ChatRequest request, int n) {
        int[] prompt = prompt(request);
        TokenGenerator.requireFits(model, prompt);
        batcher.enterAlone();
        PromptCache cache = batcher.prefixes().take(model, prompt);
        boolean succeeded = false;
        try {
            long positions = cache.memory().virtual()
                    + Math.min(
                            model.contextLength(),
                            prompt.length + (long) request.settings().maxNewTokens());
            List<Reply> replies = new SharedPrompt(prompt, cache, batcher.most(positions)).choices(request, n);
            succeeded = true;
            return replies;
        } finally {
            leave(cache, succeeded);
            batcher.leave();
        }
    }

    /** Answers requests of one prompt, each by a copy of what was computed for it. */
    private final class SharedPrompt implements ChatModel {
        private final int[] prompt;
        private final PromptCache cache;
        /** As many copies as can be at work, so that none takes memory and waits. */
        private final Semaphore room;
        /** How many of its tokens the next answer finds computed. */
        private int known;

        SharedPrompt(int[] prompt, PromptCache cache, int most) {
            this.prompt = prompt;
            this.cache = cache;
            this.room = new Semaphore(most);
            this.known = cache.reuse(prompt);
            if (known < prompt.length - 1) {
                // The last token is computed by each answer, since its logits are not kept.
                generator.prefill(cache, Arrays.copyOfRange(prompt, known, prompt.length - 1));
            }
        }

        @Override
        public Reply reply(ChatRequest request) {
            return submit(request, delta -> {}).join();
        }

        @Override
        public Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
            room.acquireUninterruptibly();
            try {
                int reused = known;
                known = prompt.length - 1;
                PromptCache copy = cache.copy(model, known);
                Completion completion = ChatPipeline.this.submit(request, prompt, copy, reused, sink);
                completion.stage().whenComplete((reply, failure) -> room.release());
                return completion;
            } catch (RuntimeException | Error e) {
                room.release();
                throw e;
            }
        }
    }

    /** Hands a prompt to the batcher. */
    private QueuedReply begin(
            int[] prompt,
            PromptCache cache,
            int reused,
            ChatRequest request,
            Consumer<ReplyDelta> sink,
            Consumer<QueuedReply> prepare) {
        TokenGenerator.requireFits(model, prompt);
        QueuedReply reply = new QueuedReply(writer(request, sink, prompt, reused));
        BatchedText text = new BatchedText(
                model, prompt, cache, request.settings().maxNewTokens(), chooser(request, prompt), reply);
        reply.from(text);
        text.handOver();
        prepare.accept(reply);
        batcher.submit(text);
        return reply;
    }

    /** See {@link dev.finetune4j.core.generate.ScoringModel#score(String)}. */
    public List<TokenLogprob> score(String text) {
        int[] ids = encoder.encodeText(text);
        return ids.length == 0 ? List.of() : scored(ids, 1);
    }

    /** See {@link dev.finetune4j.core.generate.ScoringModel#score(Conversation)}. */
    public List<TokenLogprob> score(Conversation conversation) {
        Role last =
                conversation.messages().get(conversation.messages().size() - 1).role();
        if (last != Role.ASSISTANT) {
            throw new IllegalArgumentException("the last message is of the role " + last
                    + ", but an answer is scored; add the assistant's message");
        }
        EncodedChat chat = encoder.encode(conversation, false);
        int end = chat.ids().length;
        while (end > 0 && !chat.trained()[end - 1]) {
            end--;
        }
        int from = end;
        while (from > 0 && chat.trained()[from - 1]) {
            from--;
        }
        if (from == 0) {
            throw new IllegalArgumentException(
                    "the chat template does not let the answer be told from what stands before it; score a text");
        }
        return scored(Arrays.copyOf(chat.ids(), end), from);
    }

    private List<TokenLogprob> scored(int[] ids, int from) {
        float[] scores = TextScores.of(model, ids);
        Tokenizer tokenizer = encoder.tokenizer();
        List<TokenLogprob> scored = new ArrayList<>();
        for (int i = from; i < ids.length; i++) {
            scored.add(new TokenLogprob(ids[i], tokenizer.decode(new int[] {ids[i]}), scores[i - 1], List.of()));
        }
        return List.copyOf(scored);
    }

    /** See {@link dev.finetune4j.core.generate.ScoringModel#countTokens(String)}. */
    public int countTokens(String text) {
        return encoder.encodeText(text).length;
    }

    /** See {@link dev.finetune4j.core.generate.ScoringModel#countTokens(Conversation)}. */
    public int countTokens(Conversation conversation) {
        return encoder.encode(conversation, true).ids().length;
    }
}
