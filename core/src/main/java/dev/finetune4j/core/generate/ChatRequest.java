package dev.finetune4j.core.generate;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.message.SetOnce;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import java.util.List;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * What a {@link ChatModel} is asked: a conversation, and how to answer it. Immutable; {@link #toBuilder} leads to a changed copy.
 *
 * @param conversation what was said so far, with the tools that the model may call and the variables of the chat template; its
 *     last message is the one to answer
 * @param settings how the answer is generated
 * @param topLogprobs how many of the likeliest tokens are told for each token of the answer, 0 to 20, beside the probability
 *     of the token itself; {@link #NO_LOGPROBS} for neither
 * @param responseFormat what the text of the answer is kept to
 * @param adapter the name of the adapter that answers, of those that the model has loaded by name; null for the model itself
 * @param isText whether there is no conversation but a text to be continued as it is, without the chat template: it stands as the only
 *     message. Special tokens in it are recognised, thoughts and calls of tools are not
 */
public record ChatRequest(
        Conversation conversation,
        GenerationSettings settings,
        int topLogprobs,
        ResponseFormat responseFormat,
        @Nullable String adapter,
        boolean isText) {
    /** Nothing is told about the probabilities of tokens. */
    public static final int NO_LOGPROBS = -1;

    private static final int MAX_TOP = 20;

    public ChatRequest {
        Arguments.given(conversation, "ChatRequest(conversation)");
        Arguments.given(settings, "ChatRequest(settings)");
        Arguments.given(responseFormat, "ChatRequest(responseFormat)");
        if (topLogprobs < NO_LOGPROBS || topLogprobs > MAX_TOP) {
            throw new SettingsException(List.of("topLogprobs must be 0 to " + MAX_TOP + ", or " + NO_LOGPROBS
                    + " for no probabilities, but is " + topLogprobs));
        }
        if (isText
                && (conversation.messages().size() != 1 || !conversation.tools().isEmpty())) {
            throw new SettingsException(List.of("a text to be continued is one message without tools, but there are "
                    + conversation.messages().size() + " messages and "
                    + conversation.tools().size() + " tools"));
        }
    }

    /** A conversation, answered by the given settings. */
    public static ChatRequest of(Conversation conversation, GenerationSettings settings) {
        return new ChatRequest(conversation, settings, NO_LOGPROBS, ResponseFormat.text(), null, false);
    }

    /** A question in a conversation of its own, answered by the likeliest tokens, at most 512. */
    public static ChatRequest of(String question) {
        return builder().messages(ChatMessage.user(question)).build();
    }

    /** A request in the making. */
    public static Builder builder() {
        return new Builder(null, GenerationSettings.greedy(), NO_LOGPROBS, ResponseFormat.text(), null, false);
    }

    /** A request in the making, which starts as this. */
    public Builder toBuilder() {
        return new Builder(conversation, settings, topLogprobs, responseFormat, adapter, isText);
    }

    /** Makes a request. Each method sets the component of its name, once; a second call is an {@link IllegalStateException}. */
    public static final class Builder {
        private final SetOnce once = new SetOnce();
        private @Nullable Conversation conversation;
        private GenerationSettings settings;
        private int topLogprobs;
        private ResponseFormat responseFormat;
        private @Nullable String adapter;
        private boolean isText;

        private Builder(
                @Nullable Conversation conversation,
                GenerationSettings settings,
                int topLogprobs,
                ResponseFormat responseFormat,
                @Nullable String adapter,
                boolean isText) {
            this.conversation = conversation;
            this.settings = settings;
            this.topLogprobs = topLogprobs;
            this.responseFormat = responseFormat;
            this.adapter = adapter;
            this.isText = isText;
        }

        /** Sets {@link ChatRequest#conversation}. */
        public Builder conversation(Conversation value) {
            conversation = once.set("conversation", value);
            isText = false;
            return this;
        }

        /** Sets {@link ChatRequest#conversation} to messages, without tools. */
        public Builder messages(ChatMessage... values) {
            return conversation(Conversation.of(values));
        }

        /** A text to be continued as it is, in place of a conversation: {@link ChatRequest#isText}. */
        public Builder text(String value) {
            conversation(Conversation.of(ChatMessage.user(Arguments.given(value, "text(value)"))));
            isText = true;
            return this;
        }

        /** Sets {@link ChatRequest#settings}. */
        public Builder settings(GenerationSettings value) {
            settings = once.set("settings", value);
            return this;
        }

        /** Changes {@link ChatRequest#settings}, such as by {@code s -> s.maxNewTokens(50).stop("\n")}. */
        public Builder settings(UnaryOperator<GenerationSettings.Builder> change) {
            Arguments.given(change, "settings(change)");
            return settings(change.apply(settings.toBuilder()).build());
        }

        /** Sets {@link ChatRequest#topLogprobs}. */
        public Builder topLogprobs(int value) {
            topLogprobs = once.set("topLogprobs", value);
            return this;
        }

        /** Sets {@link ChatRequest#responseFormat}. */
        public Builder responseFormat(ResponseFormat value) {
            responseFormat = once.set("responseFormat", value);
            return this;
        }

        /** Sets {@link ChatRequest#adapter}. */
        public Builder adapter(String value) {
            adapter = once.set("adapter", value);
            return this;
        }

        /**
         * The request.
         *
         * @throws SettingsException if there is no conversation, or something is out of range
         */
        public ChatRequest build() {
            if (conversation == null) {
                throw new SettingsException(
                        List.of("there is nothing to answer; call conversation(…), messages(…) or text(…)"));
            }
            return new ChatRequest(conversation, settings, topLogprobs, responseFormat, adapter, isText);
        }
    }
}
