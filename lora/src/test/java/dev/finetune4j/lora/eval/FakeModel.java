package dev.finetune4j.lora.eval;

import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.data.Example;
import java.util.List;
import java.util.function.Function;
import java.util.function.UnaryOperator;

/** A model whose answers and scores a test makes up. */
record FakeModel(UnaryOperator<String> answers, Function<Example, List<TokenLogprob>> scores)
        implements EvaluableModel {
    static FakeModel answering(UnaryOperator<String> answers) {
        return new FakeModel(answers, example -> List.of());
    }

    static FakeModel scoring(Function<Example, List<TokenLogprob>> scores) {
        return new FakeModel(question -> "", scores);
    }

    @Override
    public Reply reply(ChatRequest request) {
        List<ChatMessage> messages = request.conversation().messages();
        return Reply.of(answers.apply(messages.get(messages.size() - 1).content()));
    }

    @Override
    public List<List<TokenLogprob>> score(List<? extends Example> examples) {
        return examples.stream().map(scores).toList();
    }

    @Override
    public List<TokenLogprob> score(String text) {
        throw new AssertionError("examples are scored");
    }

    @Override
    public List<TokenLogprob> score(Conversation conversation) {
        throw new AssertionError("examples are scored");
    }

    @Override
    public int countTokens(String text) {
        throw new AssertionError("nothing is counted");
    }

    @Override
    public int countTokens(Conversation conversation) {
        throw new AssertionError("nothing is counted");
    }
}
