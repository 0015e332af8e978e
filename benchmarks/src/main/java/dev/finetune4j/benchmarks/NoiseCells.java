package dev.finetune4j.benchmarks;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.quant.QuantSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How far the log-probabilities of a 4-bit model in bfloat16 lie from those in float32: of answers that are given alone, and of answers
 * in batches. A batch that is further away than an answer alone has a fault; one that is as far has the rounding of bfloat16, which
 * then decides between tokens whose lead is of that size. One line of JSON for each comparison, which goes on to the first token that differs.
 *
 * <p>Arguments: {@code --model FOLDER} and, with usual values, {@code --streams 2,8,16,64 --new 24 --template llama2 --device cuda}.
 */
public final class NoiseCells {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int TOP = 20;
    private static final List<String> QUESTIONS = List.of(
            "What is the capital of Japan?",
            "Tell me a long story about a river.",
            "Who are you?",
            "Hello",
            "Write about the sea and the mountains and what lies between them.",
            "One two three four five six seven eight nine ten eleven twelve",
            "Please list the planets of the solar system, and tell which of them is the largest, and why.",
            "Good morning");

    private final String[] args;

    private NoiseCells(String[] args) {
        this.args = args;
    }

    public static void main(String[] args) throws JsonProcessingException {
        new NoiseCells(args).all();
    }

    private void all() throws JsonProcessingException {
        List<Reply> exact;
        try (LanguageModel model = load(Precision.FP32)) {
            exact = alone(model);
            for (int streams : streams()) {
                print("fp32", streams, "float32 alone", exact, together(model, streams));
            }
        }
        try (LanguageModel model = load(Precision.BF16)) {
            List<Reply> alone = alone(model);
            print("bf16", 1, "float32 alone", exact, alone);
            for (int streams : streams()) {
                List<Reply> together = together(model, streams);
                print("bf16", streams, "float32 alone", exact, together);
                print("bf16", streams, "bfloat16 alone", alone, together);
            }
        }
    }

    private LanguageModel load(Precision precision) {
        boolean gpu = TrainCells.option(args, "--device", "cuda").equals("cuda");
        return LanguageModel.loader(Path.of(TrainCells.option(args, "--model", "")))
                .device(gpu ? ComputeDevice.cuda(0) : ComputeDevice.cpu())
                .precision(precision)
                .chatTemplate(TrainCells.option(args, "--template", "llama2"))
                .quantize(QuantSettings.nf4())
                .load();
    }

    private List<Integer> streams() {
        List<Integer> streams = new ArrayList<>();
        for (String number : TrainCells.option(args, "--streams", "2,8,16,64").split(",", -1)) {
            streams.add(Integer.parseInt(number));
        }
        return streams;
    }

    private Completion submit(ChatModel model, int question) {
        int tokens = Integer.parseInt(TrainCells.option(args, "--new", "24"));
        ChatRequest request = ChatRequest.builder()
                .text(QUESTIONS.get(question % QUESTIONS.size()))
                .topLogprobs(TOP)
                .settings(settings -> settings.maxNewTokens(tokens))
                .build();
        return model.submit(request, piece -> {});
    }

    private List<Reply> alone(ChatModel model) {
        List<Reply> replies = new ArrayList<>();
        for (int i = 0; i < QUESTIONS.size(); i++) {
            replies.add(submit(model, i).join());
        }
        return replies;
    }

    private List<Reply> together(ChatModel model, int streams) {
        List<Completion> completions = new ArrayList<>();
        for (int i = 0; i < streams; i++) {
            completions.add(submit(model, i));
        }
        return completions.stream().map(Completion::join).toList();
    }

    private static void print(String precision, int streams, String beside, List<Reply> wanted, List<Reply> seen)
            throws JsonProcessingException {
        double squares = 0;
        double most = 0;
        long count = 0;
        int leaving = 0;
        double lead = 0;
        for (int i = 0; i < seen.size(); i++) {
            List<TokenLogprob> one = wanted.get(i % wanted.size()).logprobs();
            List<TokenLogprob> other = seen.get(i).logprobs();
            for (int at = 0; at < Math.min(one.size(), other.size()); at++) {
                Map<Integer, Double> known = new HashMap<>();
                one.get(at).top().forEach(token -> known.put(token.id(), token.logprob()));
                for (TokenLogprob token : other.get(at).top()) {
                    Double before = known.get(token.id());
                    if (before != null) {
                        double difference = Math.abs(token.logprob() - before);
                        squares += difference * difference;
                        most = Math.max(most, difference);
                        count++;
                    }
                }
                if (one.get(at).id() != other.get(at).id()) {
                    leaving++;
                    List<TokenLogprob> top = one.get(at).top();
                    lead = Math.max(lead, top.get(0).logprob() - top.get(1).logprob());
                    break;
                }
            }
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("part", "noise");
        line.put("precision", precision);
        line.put("streams", streams);
        line.put("beside", beside);
        line.put("rms", Math.sqrt(squares / Math.max(1, count)));
        line.put("most", most);
        line.put("leaving", leaving);
        line.put("answers", seen.size());
        line.put("largest_lead_lost", lead);
        System.out.println(JSON.writeValueAsString(line));
    }
}
