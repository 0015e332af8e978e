package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.objective.Dpo;
import dev.finetune4j.lora.objective.Hinge;
import dev.finetune4j.lora.objective.Ipo;
import dev.finetune4j.lora.objective.Kto;
import dev.finetune4j.lora.objective.LogProbs;
import dev.finetune4j.lora.objective.Orpo;
import dev.finetune4j.lora.objective.SimPo;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.Tensor;

/** Losses of preferences and their gradients against their formulas in PyTorch: {@code preference*.safetensors}. */
final class PreferenceCases {
    private static final Set<String> INPUTS =
            Set.of("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected", "len_chosen", "len_rejected");
    /** A name, and behind it the number that some have. */
    private static final Pattern NUMBERED = Pattern.compile("(.*)_(\\d+(?:\\.\\d+)?)");

    private PreferenceCases() {}

    static List<ReferenceCase> of(ReferenceFolder reference) {
        List<ReferenceCase> cases = new ArrayList<>();
        for (Path file : ReferenceFolder.files(reference.root(), "preference", ".safetensors")) {
            Path settings = file.resolveSibling(ReferenceFolder.stem(file) + ".json");
            Set<String> losses = new TreeSet<>();
            try (SafetensorsFile golden = SafetensorsFile.open(file)) {
                golden.names().forEach(name -> losses.add(name.replaceFirst("\\.grad_(chosen|rejected)$", "")));
            }
            losses.removeAll(INPUTS);
            losses.forEach(loss -> cases.add(new ReferenceCase(
                    "preference",
                    ReferenceFolder.stem(file) + " " + loss,
                    List.of(file, settings),
                    near -> compare(near, file, loss, TestData.json(settings)))));
        }
        return cases;
    }

    private static void compare(Closeness near, Path file, String loss, JsonNode settings) {
        try (TensorScope scope = new TensorScope();
                SafetensorsFile golden = SafetensorsFile.open(file)) {
            LogProbs chosen = scores(golden, "chosen");
            LogProbs rejected = scores(golden, "rejected");
            Tensor losses = losses(loss, settings, chosen, rejected);
            compare(near, golden, loss, Tensors.toFloats(losses));
            losses.sum().backward();
            compare(near, golden, loss + ".grad_chosen", ReferenceBatch.gradient(chosen.policy()));
            compare(near, golden, loss + ".grad_rejected", ReferenceBatch.gradient(rejected.policy()));
        }
    }

    private static void compare(Closeness near, SafetensorsFile golden, String name, float[] actual) {
        float[] expected = TensorData.floats(golden, name);
        assertEquals(expected.length, actual.length, name);
        for (int i = 0; i < expected.length; i++) {
            double allowed = 1e-5 * Math.max(1, Math.abs(expected[i]));
            near.absolute("preference losses and gradients", name + "[" + i + "]", expected[i], actual[i], allowed);
        }
    }

    private static Tensor losses(String name, JsonNode settings, LogProbs chosen, LogProbs rejected) {
        Matcher matcher = NUMBERED.matcher(name);
        String kind = matcher.matches() ? matcher.group(1) : name;
        double number = matcher.matches() ? Double.parseDouble(matcher.group(2)) : Double.NaN;
        double beta = number(settings, "beta");
        return switch (kind) {
            case "dpo_sigmoid" -> Dpo.of(beta).losses(chosen, rejected);
            case "dpo_sigmoid_smooth" -> new Dpo(beta, number).losses(chosen, rejected);
            case "dpo_hinge" -> new Hinge(beta).losses(chosen, rejected);
            case "dpo_ipo" -> new Ipo(beta).losses(chosen, rejected);
            case "simpo_gamma" -> new SimPo(beta, number).losses(chosen, rejected);
            case "orpo_odds_term" -> new Orpo(beta).oddsTerm(chosen, rejected);
            case "kto_chosen" -> kto(beta, chosen, true, number(settings, "kto_kl"));
            case "kto_rejected" -> kto(beta, rejected, false, number(settings, "kto_kl"));
            default -> throw new AssertionError("no loss for " + name);
        };
    }

    private static double number(JsonNode settings, String field) {
        assertTrue(settings.path(field).isNumber(), () -> field + " is missing in " + settings);
        return settings.path(field).asDouble();
    }

    private static Tensor kto(double beta, LogProbs answers, boolean desirable, double baseline) {
        boolean[] judgements = new boolean[answers.size()];
        Arrays.fill(judgements, desirable);
        return Kto.of(beta).losses(answers, judgements, baseline);
    }

    private static LogProbs scores(SafetensorsFile golden, String side) {
        float[] lengths = TensorData.floats(golden, "len_" + side);
        int[] tokens = new int[lengths.length];
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] = Math.round(lengths[i]);
        }
        return new LogProbs(
                vector(golden, "policy_" + side).set_requires_grad(true), vector(golden, "ref_" + side), tokens);
    }

    private static Tensor vector(SafetensorsFile golden, String name) {
        float[] values = TensorData.floats(golden, name);
        return Tensors.ofFloats(ComputeDevice.cpu(), values, values.length);
    }
}
