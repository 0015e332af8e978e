package dev.finetune4j.examples.frameworks;

import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;
import org.springframework.ai.chat.messages.AssistantMessage;
import org.springframework.ai.chat.messages.Message;
import org.springframework.ai.chat.metadata.ChatGenerationMetadata;
import org.springframework.ai.chat.metadata.ChatResponseMetadata;
import org.springframework.ai.chat.metadata.DefaultUsage;
import org.springframework.ai.chat.model.ChatResponse;
import org.springframework.ai.chat.model.Generation;
import org.springframework.ai.chat.prompt.ChatOptions;
import org.springframework.ai.chat.prompt.Prompt;
import org.springframework.ai.model.tool.ToolCallingChatOptions;
import reactor.adapter.JdkFlowAdapter;
import reactor.core.publisher.Flux;

/**
 * A base, an adapter or a tuned model as Spring AI's {@code ChatModel}, such as for its {@code ChatClient}. It borrows the model.
 *
 * @param model answers, in any number of threads
 */
public record SpringAiChatModel(ChatModel model) implements org.springframework.ai.chat.model.ChatModel {
    @Override
    public ChatResponse call(Prompt prompt) {
        Reply reply = model.reply(request(prompt));
        ChatGenerationMetadata end = ChatGenerationMetadata.builder()
                .finishReason(reply.finishReason().name())
                .build();
        DefaultUsage usage =
                new DefaultUsage(reply.usage().promptTokens(), reply.usage().completionTokens());
        return new ChatResponse(
                List.of(new Generation(new AssistantMessage(reply.text()), end)),
                ChatResponseMetadata.builder().usage(usage).build());
    }

    /** The pieces of an answer that begins with the subscription, and ends with it. */
    @Override
    public Flux<ChatResponse> stream(Prompt prompt) {
        return JdkFlowAdapter.flowPublisherToFlux(model.publisher(request(prompt)))
                .filter(piece -> !piece.content().isEmpty())
                .map(piece -> new ChatResponse(List.of(new Generation(new AssistantMessage(piece.content())))));
    }

    private static ChatRequest request(Prompt prompt) {
        ChatOptions options = prompt.getOptions();
        if (options instanceof ToolCallingChatOptions tools
                && tools.getToolCallbacks() != null
                && !tools.getToolCallbacks().isEmpty()) {
            throw new UnsupportedOperationException("tools are not passed on by this example");
        }
        List<ChatMessage> messages = prompt.getInstructions().stream()
                .map(SpringAiChatModel::message)
                .toList();
        return ChatRequest.of(new Conversation(messages), settings(options));
    }

    private static ChatMessage message(Message message) {
        String text = message.getText() == null ? "" : message.getText();
        return switch (message.getMessageType()) {
            case SYSTEM -> ChatMessage.system(text);
            case USER -> ChatMessage.user(text);
            case ASSISTANT -> ChatMessage.assistant(text);
            case TOOL -> throw new UnsupportedOperationException("results of tools are not passed on by this example");
        };
    }

    private static GenerationSettings settings(@Nullable ChatOptions asked) {
        GenerationSettings.Builder settings = GenerationSettings.builder();
        if (asked == null) {
            return settings.build();
        }
        if (asked.getMaxTokens() != null) {
            settings.maxNewTokens(asked.getMaxTokens());
        }
        if (asked.getTemperature() != null) {
            settings.temperature(asked.getTemperature())
                    .seed(ThreadLocalRandom.current().nextLong());
        }
        if (asked.getTopP() != null) {
            settings.topP(asked.getTopP());
        }
        if (asked.getTopK() != null) {
            settings.topK(asked.getTopK());
        }
        if (asked.getFrequencyPenalty() != null) {
            settings.frequencyPenalty(asked.getFrequencyPenalty());
        }
        if (asked.getPresencePenalty() != null) {
            settings.presencePenalty(asked.getPresencePenalty());
        }
        if (asked.getStopSequences() != null && !asked.getStopSequences().isEmpty()) {
            settings.stop(asked.getStopSequences());
        }
        return settings.build();
    }
}
