package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.testsupport.Needs;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The reference numbers of 4-bit weights and of QLoRA on the kernels that {@value CpuKernels#PROPERTY} names. Maven runs this
 * once for each level; on the best of the machine {@link ReferenceParityTest} compares them, with all others.
 */
@Tag("levels")
@EnabledIfSystemProperty(named = CpuKernels.PROPERTY, matches = ".+", disabledReason = "no level is asked for")
class FourBitLevelsTest {
    @BeforeEach
    void skipWhatTheMachineDoesNotHave() {
        try {
            CpuKernels.get();
        } catch (DeviceException e) {
            Needs.builtKernels();
            Needs.that(false, e.getMessage());
        }
    }

    static List<ReferenceCase> cases() {
        return ReferenceCollection.of(ReferenceFolder.selected()).cases().stream()
                .filter(one -> one.kind().equals("bnb") || one.name().startsWith("qlora"))
                .toList();
    }

    @Test
    void thereAreSuchCases() {
        assertFalse(cases().isEmpty());
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void isAsInTheReference(ReferenceCase one) throws Exception {
        one.check().run(new Closeness());
    }
}
