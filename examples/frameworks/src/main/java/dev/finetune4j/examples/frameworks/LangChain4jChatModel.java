package dev.finetune4j.examples.frameworks;

import dev.finetune4j.core.generate.ChatModel;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.response.ChatResponse;

/**
 * A base, an adapter or a tuned model as LangChain4j's {@code ChatModel}, such as for {@code AiServices}. It borrows the model.
 *
 * @param model answers, in any number of threads
 */
public record LangChain4jChatModel(ChatModel model) implements dev.langchain4j.model.chat.ChatModel {
    @Override
    public ChatResponse doChat(ChatRequest request) {
        return LangChain4jRequests.response(model.reply(LangChain4jRequests.of(request)));
    }
}
