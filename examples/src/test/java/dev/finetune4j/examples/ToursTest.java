package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.lora.train.Optimizer;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every method and every objective learns something that carries over to rows which were held out. */
@Tag("slow")
class ToursTest {
    private static final int STEPS = 20;
    private static final Set<String> FEW_VALUES = Set.of("ia3", "vera", "ln-tuning");
    private static final Set<String> PAIRS = Set.of("dpo", "orpo", "simpo", "cpo");

    static Stream<String> methods() {
        return MethodsTour.METHODS.keySet().stream();
    }

    static Stream<String> objectives() {
        return ObjectivesTour.OBJECTIVES.keySet().stream();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void theMethodLearnsWhatCarriesOver(String name) {
        HeldOutLoss found = HeldOutLoss.train(
                HeldOutLoss.identity(HeldOutLoss.NAME, HeldOutLoss.AUTHOR), MethodsTour.METHODS.get(name), STEPS);
        assertLearned(found, name);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("objectives")
    void theObjectiveLearnsWhatCarriesOver(String name) {
        HeldOutLoss found = ObjectivesTour.OBJECTIVES.get(name).train(STEPS);
        assertLearned(found, name);
        assertPrefers(found.after().metrics(), name);
    }

    /** Of preferences the better answer is the likelier one, which a falling loss alone does not tell. */
    private static void assertPrefers(Map<String, Double> metrics, String name) {
        if (PAIRS.contains(name)) {
            assertTrue(metrics.get("rewards/accuracies") >= 0.95, name + metrics);
        }
        if (PAIRS.contains(name) || name.equals("kto")) {
            assertTrue(metrics.get("rewards/chosen") > metrics.get("rewards/rejected"), name + metrics);
        }
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"adamw_8bit", "adafactor", "lion"})
    void theOptimizerLearnsWithTheUsualRate(String name) {
        HeldOutLoss found = HeldOutLoss.train(
                HeldOutLoss.identity(HeldOutLoss.NAME, HeldOutLoss.AUTHOR),
                b -> b.lora(l -> l.rank(16).alpha(32)).training(t -> t.optimizer(Optimizer.named(name))),
                STEPS);
        assertLearned(found, name);
    }

    /** Twenty steps teach methods that train a few thousand values little, but not nothing. */
    private static void assertLearned(HeldOutLoss found, String name) {
        double share = FEW_VALUES.contains(name) ? 0.99 : 0.9;
        assertTrue(found.after().loss() < share * found.before().loss(), found.describe(name));
    }

    @Test
    void noneIsForgotten() {
        assertTrue(methods()
                .toList()
                .containsAll(Set.of(
                        "full",
                        "freeze",
                        "lora",
                        "qlora",
                        "dora",
                        "ia3",
                        "vera",
                        "ln-tuning",
                        "prefix-tuning",
                        "p-tuning",
                        "prompt-tuning")));
        assertEquals(
                Set.of("sft", "pt", "dpo", "orpo", "simpo", "cpo", "kto"),
                Set.copyOf(objectives().toList()));
    }
}
