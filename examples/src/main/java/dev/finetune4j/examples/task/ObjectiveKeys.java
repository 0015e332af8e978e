package dev.finetune4j.examples.task;

import dev.finetune4j.FineTuner;
import dev.finetune4j.lora.train.DpoSettings;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;

/**
 * What a task says of the objective.
 *
 * @param stage sft, pt, dpo or kto
 * @param choice chooses it
 */
record ObjectiveKeys(String stage, Consumer<FineTuner.Builder> choice) {
    private static final List<String> WITHOUT_REFERENCE = List.of("orpo", "simpo");

    static ObjectiveKeys of(TaskFile task, MethodKeys method) {
        String stage = task.text("stage").orElse("sft");
        if (!stage.equals("sft")) {
            for (String key : List.of("train_on_prompt", "mask_history", "neat_packing")) {
                if (task.flag(key)) {
                    task.refuse(key, "is of stage: sft, but that is " + stage + "; take it out");
                }
            }
        }
        return new ObjectiveKeys(
                stage,
                switch (stage) {
                    case "dpo" -> pairs(task, method);
                    case "kto" -> judged(task, method);
                    default -> supervised(task);
                });
    }

    /** Whether answers are compared. */
    boolean comparesAnswers() {
        return stage.equals("dpo") || stage.equals("kto");
    }

    private static Consumer<FineTuner.Builder> supervised(TaskFile task) {
        Demands.onlyCounts(task, "stage: dpo or kto", "pref_beta");
        Demands.onlyCounts(task, "stage: dpo", "pref_ftx", "pref_loss", "dpo_label_smoothing", "simpo_gamma");
        Demands.onlyCounts(task, "stage: kto", "kto_chosen_weight", "kto_rejected_weight");
        return builder -> {};
    }

    private static Consumer<FineTuner.Builder> judged(TaskFile task, MethodKeys method) {
        Demands.onlyCounts(task, "stage: dpo", "pref_ftx", "pref_loss", "dpo_label_smoothing", "simpo_gamma");
        requireAdapter(task, method, "stage: kto");
        double beta = Demands.aboveZero(task, "pref_beta");
        double good = Demands.aboveZero(task, "kto_chosen_weight");
        double bad = Demands.aboveZero(task, "kto_rejected_weight");
        return builder -> builder.kto(beta, good, bad);
    }

    private static Consumer<FineTuner.Builder> pairs(TaskFile task, MethodKeys method) {
        Demands.onlyCounts(task, "stage: kto", "kto_chosen_weight", "kto_rejected_weight");
        String loss = task.text("pref_loss").orElse("sigmoid");
        double beta = Demands.aboveZero(task, "pref_beta");
        double sft = Demands.notNegative(task, "pref_ftx");
        double smoothing = task.number("dpo_label_smoothing").orElse(0.0);
        if (smoothing != 0 && !loss.equals("sigmoid")) {
            task.refuse("dpo_label_smoothing", "is of pref_loss: sigmoid, but that is " + loss + "; take it out");
            smoothing = 0;
        }
        if (!(smoothing >= 0 && smoothing < 0.5)) {
            task.refuse("dpo_label_smoothing", "is " + smoothing + "; expected at least 0 and below 0.5");
            smoothing = 0;
        }
        if (!loss.equals("simpo")) {
            Demands.onlyCounts(task, "pref_loss: simpo", "simpo_gamma");
        }
        if (WITHOUT_REFERENCE.contains(loss)) {
            if (sft != 0) {
                task.refuse(
                        "pref_ftx", "is of pref_loss: sigmoid, hinge and ipo, but that is " + loss + "; take it out");
            }
            double gamma = task.number("simpo_gamma").orElse(0.0);
            return loss.equals("orpo") ? builder -> builder.orpo(beta) : builder -> builder.simPo(beta, gamma);
        }
        requireAdapter(task, method, "pref_loss: " + loss);
        if (method.continued() != null) {
            task.note("stage", "the reference is the adapter " + method.continued() + " as it is now, and stays so");
        }
        double smooth = smoothing;
        DpoSettings settings = Demands.made(
                task,
                "dpo_label_smoothing",
                () -> DpoSettings.builder()
                        .beta(beta)
                        .labelSmoothing(smooth)
                        .sftWeight(sft)
                        .loss(known(loss))
                        .build());
        return builder -> builder.dpo(dpo -> {
            if (settings != null) {
                dpo.beta(settings.beta())
                        .labelSmoothing(settings.labelSmoothing())
                        .sftWeight(settings.sftWeight())
                        .loss(settings.loss());
            }
        });
    }

    private static DpoSettings.Loss known(String loss) {
        return loss.equals("kto_pair") // refused when the key was read
                ? DpoSettings.Loss.SIGMOID
                : DpoSettings.Loss.valueOf(loss.toUpperCase(Locale.ROOT));
    }

    private static void requireAdapter(TaskFile task, MethodKeys method, String what) {
        if (method.isFull()) {
            task.refuse(
                    "finetuning_type",
                    "full leaves no model to compare with, but " + what
                            + " compares with it; write lora, or stage: dpo with" + " pref_loss: orpo or simpo");
        }
    }
}
