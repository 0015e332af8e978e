package dev.finetune4j.examples.frameworks;

import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.langchain4j.data.message.AiMessage;
import dev.langchain4j.data.message.SystemMessage;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.exception.UnsupportedFeatureException;
import dev.langchain4j.model.chat.request.ChatRequestParameters;
import dev.langchain4j.model.chat.request.ResponseFormatType;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.output.TokenUsage;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/** Requests and answers of LangChain4j in the library's words and back. Stateless. */
final class LangChain4jRequests {
    private LangChain4jRequests() {}

    static ChatRequest of(dev.langchain4j.model.chat.request.ChatRequest request) {
        ChatRequestParameters asked = request.parameters();
        if (!asked.toolSpecifications().isEmpty()) {
            throw new UnsupportedFeatureException("tools are not passed on by this example");
        }
        if (asked.responseFormat() != null && asked.responseFormat().type() != ResponseFormatType.TEXT) {
            throw new UnsupportedFeatureException("this example answers with text");
        }
        List<ChatMessage> messages =
                request.messages().stream().map(LangChain4jRequests::message).toList();
        return ChatRequest.of(new Conversation(messages), settings(asked));
    }

    private static ChatMessage message(dev.langchain4j.data.message.ChatMessage message) {
        if (message instanceof SystemMessage system) {
            return ChatMessage.system(system.text());
        }
        if (message instanceof UserMessage user && user.hasSingleText()) {
            return ChatMessage.user(user.singleText());
        }
        if (message instanceof AiMessage answer && !answer.hasToolExecutionRequests()) {
            return ChatMessage.assistant(answer.text());
        }
        throw new UnsupportedFeatureException("a message of the kind " + message.type()
                + " with something other than one text is not passed on by this example");
    }

    private static GenerationSettings settings(ChatRequestParameters asked) {
        GenerationSettings.Builder settings = GenerationSettings.builder();
        if (asked.maxOutputTokens() != null) {
            settings.maxNewTokens(asked.maxOutputTokens());
        }
        if (asked.temperature() != null) {
            settings.temperature(asked.temperature())
                    .seed(ThreadLocalRandom.current().nextLong());
        }
        if (asked.topP() != null) {
            settings.topP(asked.topP());
        }
        if (asked.topK() != null) {
            settings.topK(asked.topK());
        }
        if (asked.frequencyPenalty() != null) {
            settings.frequencyPenalty(asked.frequencyPenalty());
        }
        if (asked.presencePenalty() != null) {
            settings.presencePenalty(asked.presencePenalty());
        }
        if (!asked.stopSequences().isEmpty()) {
            settings.stop(asked.stopSequences());
        }
        return settings.build();
    }

    static ChatResponse response(Reply reply) {
        return ChatResponse.builder()
                .aiMessage(AiMessage.from(reply.text()))
                .finishReason(reason(reply.finishReason()))
                .tokenUsage(new TokenUsage(
                        reply.usage().promptTokens(), reply.usage().completionTokens()))
                .build();
    }

    private static dev.langchain4j.model.output.FinishReason reason(FinishReason reason) {
        return switch (reason) {
            case STOP -> dev.langchain4j.model.output.FinishReason.STOP;
            case LENGTH, CONTEXT_LENGTH -> dev.langchain4j.model.output.FinishReason.LENGTH;
            case TOOL_CALLS -> dev.langchain4j.model.output.FinishReason.TOOL_EXECUTION;
            case INTERRUPTED, CANCELLED -> dev.langchain4j.model.output.FinishReason.OTHER;
        };
    }
}
