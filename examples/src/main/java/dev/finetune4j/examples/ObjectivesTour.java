package dev.finetune4j.examples;

import dev.finetune4j.FineTuner;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.TextExample;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;

/**
 * Every objective of training on the bundled model: which rows it learns from, and how well it carries over to rows that were held
 * out. {@code ObjectivesTour dpo} runs one of them, without arguments all are run.
 */
public final class ObjectivesTour {
    /** By the name of the objective. */
    static final Map<String, Lesson> OBJECTIVES = objectives();

    private static final int STEPS = 40;
    private static final double RATE = 1e-3;

    /**
     * An objective.
     *
     * @param rows what it learns from
     * @param choices what the builder is told
     */
    record Lesson(Supplier<Dataset> rows, UnaryOperator<FineTuner.Builder> choices) {
        HeldOutLoss train(int steps) {
            return HeldOutLoss.train(
                    rows.get(),
                    b -> choices.apply(b.lora(l -> l.rank(16).alpha(32)).training(t -> t.learningRate(RATE))),
                    steps);
        }
    }

    private ObjectivesTour() {}

    private static Map<String, Lesson> objectives() {
        Map<String, Lesson> objectives = new LinkedHashMap<>();
        objectives.put("sft", new Lesson(ObjectivesTour::answers, b -> b));
        objectives.put("pt", new Lesson(ObjectivesTour::texts, b -> b));
        objectives.put("dpo", new Lesson(ObjectivesTour::pairs, b -> b.dpo(d -> d.beta(0.1))));
        objectives.put("orpo", new Lesson(ObjectivesTour::pairs, b -> b.orpo(0.1)));
        objectives.put("simpo", new Lesson(ObjectivesTour::pairs, b -> b.simPo(2, 1)));
        objectives.put("cpo", new Lesson(ObjectivesTour::pairs, b -> b.cpo(0.1)));
        objectives.put("kto", new Lesson(ObjectivesTour::judged, b -> b.kto(0.1)));
        return objectives;
    }

    private static Dataset answers() {
        return HeldOutLoss.identity(HeldOutLoss.NAME, HeldOutLoss.AUTHOR);
    }

    /** Continued pre-training: texts, all of which is learned. */
    private static Dataset texts() {
        return Dataset.of(answers().examples().stream()
                .map(row ->
                        TextExample.of(row.texts().get(0) + "\n" + row.texts().get(1)))
                .toList());
    }

    /** The answers with the wanted name are better than those with another. */
    private static Dataset pairs() {
        List<? extends Example> wanted = answers().examples();
        List<? extends Example> others = HeldOutLoss.identity("小白", "白云公司").examples();
        List<PreferenceExample> pairs = new ArrayList<>();
        for (int i = 0; i < wanted.size(); i++) {
            pairs.add(PreferenceExample.of(
                    wanted.get(i).texts().get(0),
                    wanted.get(i).texts().get(1),
                    others.get(i).texts().get(1)));
        }
        return Dataset.of(pairs);
    }

    /** The same answers, each judged by itself. */
    private static Dataset judged() {
        List<KtoExample> judged = new ArrayList<>();
        answers()
                .examples()
                .forEach(row ->
                        judged.add(KtoExample.of(row.texts().get(0), row.texts().get(1), true)));
        HeldOutLoss.identity("小白", "白云公司")
                .examples()
                .forEach(row ->
                        judged.add(KtoExample.of(row.texts().get(0), row.texts().get(1), false)));
        return Dataset.of(judged);
    }

    /**
     * Runs them and prints a line for each.
     *
     * @param args names of objectives; none for all
     */
    public static void main(String[] args) {
        PrintStream out = Terminal.out();
        for (String name : args.length == 0 ? OBJECTIVES.keySet() : List.of(args)) {
            Lesson lesson = OBJECTIVES.get(name);
            if (lesson == null) {
                out.println("there is no objective " + name + "; there are " + String.join(", ", OBJECTIVES.keySet()));
                System.exit(2);
                return;
            }
            out.println(lesson.train(STEPS).describe(name));
        }
    }
}
