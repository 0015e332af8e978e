package dev.finetune4j.examples.frameworks;

import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.Reply;
import dev.langchain4j.model.chat.StreamingChatModel;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import java.util.concurrent.CompletionException;
import org.jspecify.annotations.Nullable;

/**
 * A base, an adapter or a tuned model as LangChain4j's {@code StreamingChatModel}. Answers that run side by side are computed together.
 * It borrows the model.
 *
 * @param model answers
 */
public record LangChain4jStreamingChatModel(ChatModel model) implements StreamingChatModel {
    @Override
    public void doChat(ChatRequest request, StreamingChatResponseHandler handler) {
        Completion completion = model.submit(LangChain4jRequests.of(request), piece -> {
            if (!piece.content().isEmpty()) {
                handler.onPartialResponse(piece.content());
            }
        });
        completion.stage().whenComplete((reply, failure) -> end(handler, reply, failure));
    }

    private static void end(StreamingChatResponseHandler handler, @Nullable Reply reply, @Nullable Throwable failure) {
        if (reply != null) {
            handler.onCompleteResponse(LangChain4jRequests.response(reply));
        } else if (failure != null) {
            boolean wrapped = failure instanceof CompletionException && failure.getCause() != null;
            handler.onError(wrapped ? failure.getCause() : failure);
        }
    }
}
