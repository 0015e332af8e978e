package dev.finetune4j;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.train.Optimizer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Trainings that are broken off and gone on with: one of each kind that keeps a state of its own. */
public enum ResumeCase {
    /** A shuffled mix of two data sets, with dropout. */
    SFT,
    /** The same in rows that were packed beforehand, on a base in 4 bits. */
    PACKED,
    /** A start that is computed from the base, and taken from it. */
    PISSA,
    /** Virtual tokens, whose examples are grouped by length. */
    VIRTUAL_TOKENS,
    /** All weights. */
    FULL,
    /** Pairs, compared with the base. */
    DPO,
    /** Pairs, compared with the adapter from which the training started. */
    CONTINUED_DPO,
    /** Judged answers, each with the answer to another prompt. */
    KTO,
    /** AdamW's moments in 8 bits, of factors that are large enough for it. */
    EIGHT_BIT,
    /** All weights by Adafactor. */
    ADAFACTOR,
    /** Lion, with noise on the embedded tokens. */
    LION_NOISE;

    /** The training on a tiny model, in float32: steps of 2 x 2 examples, three of which make an epoch. */
    public FineTuner.Builder tuner(Path model, int steps) {
        return tuner(model, steps, Fixtures.device(), Precision.FP32);
    }

    /** The same elsewhere. */
    public FineTuner.Builder tuner(Path model, int steps, ComputeDevice device, Precision precision) {
        if (this == CONTINUED_DPO && !Files.exists(start(model))) {
            try (FineTunedModel tuned = SFT.tuner(model, 3, device, precision).train()) {
                tuned.save(start(model));
            }
        }
        return method(
                FineTuner.builder()
                        .model(model)
                        .dataset(dataset())
                        .device(device)
                        .precision(precision)
                        .training(t -> t.batchSize(2)
                                .gradientAccumulation(2)
                                .maxSteps(steps)
                                .learningRate(5e-3)
                                .weightDecay(0.01)),
                model);
    }

    /** The examples: eleven, or in a mix some of them twice. */
    Dataset dataset() {
        return switch (this) {
            case DPO, CONTINUED_DPO -> pairs();
            case KTO -> judged();
            default -> mixed();
        };
    }

    private static Path start(Path model) {
        return model.resolveSibling("start");
    }

    private FineTuner.Builder method(FineTuner.Builder builder, Path model) {
        return switch (this) {
            case SFT -> builder.lora(l -> l.rank(4).dropout(0.1));
            case PACKED -> builder.packing(64).qlora(l -> l.rank(4).dropout(0.1));
            case PISSA -> builder.lora(l -> l.rank(4).initWeights(LoraInit.pissa()));
            case VIRTUAL_TOKENS -> builder.pTuning(4);
            case FULL -> builder.full();
            case DPO -> builder.lora(l -> l.rank(4).dropout(0.1)).dpo();
            case CONTINUED_DPO -> builder.continueAdapter(start(model)).dpo();
            case KTO -> builder.lora(l -> l.rank(4).dropout(0.1)).kto(0.1);
            case EIGHT_BIT ->
                builder.lora(l -> l.rank(64).dropout(0.1)).training(t -> t.optimizer(Optimizer.adamW8bit()));
            case ADAFACTOR -> builder.full().training(t -> t.optimizer(Optimizer.adafactor()));
            case LION_NOISE ->
                builder.lora(l -> l.rank(4))
                        .training(t -> t.optimizer(Optimizer.lion()).neftuneNoiseAlpha(5));
        };
    }

    static Dataset rows(int count, String word) {
        List<SftExample> rows = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            rows.add(SftExample.of(word + " " + i + "?", "I am Zoe" + " indeed".repeat(i % 4) + "."));
        }
        return Dataset.of(rows);
    }

    private static Dataset mixed() {
        Map<Dataset, Double> shares = new LinkedHashMap<>();
        shares.put(rows(8, "Who"), 8.0);
        shares.put(rows(2, "What"), 3.0);
        return Dataset.mix(shares, 5);
    }

    private static Dataset pairs() {
        List<PreferenceExample> pairs = new ArrayList<>();
        for (int i = 0; i < 11; i++) {
            pairs.add(PreferenceExample.of("Who " + i + "?", "I am Zoe.", "I am" + " not".repeat(i % 3) + " Max."));
        }
        return Dataset.of(pairs);
    }

    private static Dataset judged() {
        List<KtoExample> judged = new ArrayList<>();
        for (int i = 0; i < 11; i++) {
            judged.add(KtoExample.of("Who " + i + "?", "I am " + (i % 2 == 0 ? "Zoe." : "Max."), i % 2 == 0));
        }
        return Dataset.of(judged);
    }
}
