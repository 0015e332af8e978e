package dev.finetune4j.examples;

import dev.finetune4j.FineTuner;
import dev.finetune4j.lora.adapter.LoraInit;
import java.io.PrintStream;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;

/**
 * Every method of training on the bundled model: what it takes to choose it, and how well it carries over to rows that were held
 * out. {@code MethodsTour dora} runs one of them, without arguments all are run.
 */
public final class MethodsTour {
    /** What the builder is told, by the name of the method. */
    static final Map<String, UnaryOperator<FineTuner.Builder>> METHODS = methods();

    private static final int STEPS = 40;

    private MethodsTour() {}

    private static Map<String, UnaryOperator<FineTuner.Builder>> methods() {
        Map<String, UnaryOperator<FineTuner.Builder>> methods = new LinkedHashMap<>();
        methods.put("full", FineTuner.Builder::full);
        methods.put("freeze", b -> b.freeze(f -> f.lastLayers(2)));
        methods.put("lora", b -> b.lora(l -> l.rank(16).alpha(32)));
        methods.put("qlora", b -> b.qlora(q -> q.rank(16).alpha(32)));
        methods.put("dora", b -> b.lora(l -> l.rank(16).alpha(32).useDora(true)));
        methods.put("rslora", b -> b.lora(l -> l.rank(16).useRslora(true)));
        methods.put("pissa", b -> b.lora(l -> l.rank(16).initWeights(LoraInit.pissa())));
        methods.put("lora+", b -> b.lora(l -> l.rank(16).alpha(32)).loraPlus(4));
        methods.put("ia3", FineTuner.Builder::ia3);
        methods.put("vera", b -> b.vera(v -> v.rank(64)));
        methods.put("ln-tuning", FineTuner.Builder::lnTuning);
        methods.put("prefix-tuning", b -> b.prefixTuning(16));
        methods.put("p-tuning", b -> b.pTuning(16));
        methods.put("prompt-tuning", b -> b.promptTuning(16, "你是一个由公司开发的人工智能助手。"));
        return methods;
    }

    /**
     * Runs them and prints a line for each.
     *
     * @param args names of methods; none for all
     */
    public static void main(String[] args) {
        PrintStream out = Terminal.out();
        for (String name : args.length == 0 ? METHODS.keySet() : List.of(args)) {
            UnaryOperator<FineTuner.Builder> method = METHODS.get(name);
            if (method == null) {
                out.println("there is no method " + name + "; there are " + String.join(", ", METHODS.keySet()));
                System.exit(2);
                return;
            }
            out.println(HeldOutLoss.train(HeldOutLoss.identity(HeldOutLoss.NAME, HeldOutLoss.AUTHOR), method, STEPS)
                    .describe(name));
        }
    }
}
