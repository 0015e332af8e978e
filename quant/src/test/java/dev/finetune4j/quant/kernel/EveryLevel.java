package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.testsupport.Needs;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * Tests that Maven runs once more on each level of the CPU's kernels, which {@value CpuKernels#PROPERTY} names. They are
 * skipped, and say why, where the machine or the build does not have the level.
 */
@Target(ElementType.TYPE)
@Retention(RetentionPolicy.RUNTIME)
@Tag("levels")
@ExtendWith(EveryLevel.Condition.class)
@interface EveryLevel {
    /** Whether this process can have the level that is asked for. */
    class Condition implements ExecutionCondition {
        @Override
        public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
            try {
                String level =
                        CpuKernels.get().map(kernels -> kernels.level().label()).orElse("no kernels");
                return ConditionEvaluationResult.enabled(level);
            } catch (DeviceException e) {
                Needs.builtKernels();
                return ConditionEvaluationResult.disabled(e.getMessage());
            }
        }
    }
}
