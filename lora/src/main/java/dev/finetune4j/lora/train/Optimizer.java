package dev.finetune4j.lora.train;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * How gradients move the parameters, and what is kept from step to step for that. Immutable; all of them decay weights apart
 * from the gradients, by {@link TrainingSettings#weightDecay}.
 */
public sealed interface Optimizer permits Optimizer.AdamW, Optimizer.AdamW8bit, Optimizer.Adafactor, Optimizer.Lion {
    /**
     * The bytes that are kept from step to step for one parameter of this shape, beside its float32 value and gradient.
     *
     * @param shape sizes of its dimensions
     */
    long stateBytes(long... shape);

    /**
     * The learning rate of a step.
     *
     * @param step from 1
     * @param scheduled that of the schedule
     */
    default double learningRate(int step, double scheduled) {
        return scheduled;
    }

    /** AdamW with PyTorch's settings; the default. */
    static AdamW adamW() {
        return new AdamW(0.9, 0.999, 1e-8);
    }

    /** AdamW with its moments in 8 bits: 2 bytes for each number that is trained instead of 8. */
    static AdamW8bit adamW8bit() {
        return new AdamW8bit(0.9, 0.999, 1e-8);
    }

    /** Adafactor at the learning rate of the schedule, as transformers' trainer runs it. */
    static Adafactor adafactor() {
        return new Adafactor(false, false, false, 0);
    }

    /** Lion with the betas of its paper. */
    static Lion lion() {
        return new Lion(0.9, 0.99);
    }

    /**
     * The optimizer that transformers' {@code optim} names, with its defaults there: {@code adamw_torch, adamw_torch_fused,
     * adamw_8bit, adamw_bnb_8bit, adafactor, lion, lion_32bit}.
     *
     * @throws SettingsException naming an unknown one
     */
    static Optimizer named(String name) {
        return switch (name) {
            case "adamw_torch", "adamw_torch_fused" -> adamW();
            case "adamw_8bit", "adamw_bnb_8bit" -> adamW8bit();
            case "adafactor" -> adafactor();
            case "lion", "lion_32bit" -> lion();
            default ->
                throw new SettingsException(List.of("there is no optimizer '" + name
                        + "'; known are adamw_torch, adamw_torch_fused, adamw_8bit, adamw_bnb_8bit, adafactor, lion,"
                        + " lion_32bit"));
        };
    }

    /**
     * Adam with decoupled weight decay (<a href="https://arxiv.org/abs/1711.05101">Loshchilov and Hutter 2019</a>): 8 bytes for
     * each number that is trained.
     *
     * @param beta1 decay of the average of the gradients, at least 0 and below 1
     * @param beta2 decay of the average of their squares, at least 0 and below 1
     * @param epsilon added to the root of the latter, above 0
     */
    record AdamW(double beta1, double beta2, double epsilon) implements Optimizer {
        /** @throws SettingsException naming every value that cannot work */
        public AdamW {
            check(betas(beta1, beta2), epsilon);
        }

        @Override
        public long stateBytes(long... shape) {
            return 2L * Float.BYTES * numbers(shape);
        }
    }

    /**
     * AdamW whose moments are kept in 8 bits, in blocks of 256 numbers that share a scale
     * (<a href="https://arxiv.org/abs/2110.02861">Dettmers et al. 2022</a>), in the format of bitsandbytes: each moment as codes
     * of its dynamic maps. The moments of a parameter of fewer than 4096 numbers stay in float32.
     *
     * @param beta1 as of {@link AdamW}
     * @param beta2 as of {@link AdamW}
     * @param epsilon as of {@link AdamW}
     */
    record AdamW8bit(double beta1, double beta2, double epsilon) implements Optimizer {
        /** Numbers that share a scale. */
        public static final int BLOCK_SIZE = 256;
        /** Parameters of fewer numbers keep their moments in float32. */
        public static final int MIN_SIZE = 4096;

        /** @throws SettingsException naming every value that cannot work */
        public AdamW8bit {
            check(betas(beta1, beta2), epsilon);
        }

        @Override
        public long stateBytes(long... shape) {
            long numbers = numbers(shape);
            long blocks = (numbers + BLOCK_SIZE - 1) / BLOCK_SIZE;
            long places = 3L * Long.BYTES * blocks;
            return places
                    + (numbers < MIN_SIZE
                            ? 2L * Float.BYTES * numbers
                            : 2L * BLOCK_SIZE * blocks + 2L * Float.BYTES * blocks);
        }
    }

    /**
     * Adafactor (<a href="https://arxiv.org/abs/1804.04235">Shazeer and Stern 2018</a>), with the arithmetic of transformers'
     * class of this name: of the squares of a matrix's gradients only the means of rows and columns are kept. Its
     * updates are clipped by their root mean square at 1.
     *
     * @param relativeStep whether the learning rate is {@code min(0.01, 1/√step)}; that of the settings and their schedule
     *     are not looked at then
     * @param scaleParameter whether each parameter's rate is multiplied by the root mean square of its values, at least 0.001
     * @param warmupInit whether a relative step starts with {@code step · 1e-6}
     * @param beta1 decay of an average of the updates, which takes 4 more bytes for each number; 0 for none
     */
    record Adafactor(boolean relativeStep, boolean scaleParameter, boolean warmupInit, double beta1)
            implements Optimizer {
        private static final double LARGEST_RELATIVE_STEP = 1e-2;
        private static final double WARMUP_STEP = 1e-6;

        /** @throws SettingsException naming every value that cannot work */
        public Adafactor {
            List<String> problems = new ArrayList<>();
            if (!(beta1 >= 0 && beta1 < 1)) {
                problems.add("Adafactor's beta1 must be at least 0 (none) and below 1, but is " + beta1);
            }
            if (warmupInit && !relativeStep) {
                problems.add(
                        "Adafactor's warmupInit starts a relative step, but relativeStep is off; switch it on, or leave"
                                + " warmupInit off and let the schedule warm up");
            }
            if (!problems.isEmpty()) {
                throw new SettingsException(problems);
            }
        }

        @Override
        public double learningRate(int step, double scheduled) {
            double largest = warmupInit ? WARMUP_STEP * step : LARGEST_RELATIVE_STEP;
            return relativeStep ? Math.min(largest, 1 / Math.sqrt(step)) : scheduled;
        }

        @Override
        public long stateBytes(long... shape) {
            long numbers = numbers(shape);
            long squares =
                    shape.length < 2 ? numbers : numbers / shape[shape.length - 1] + numbers / shape[shape.length - 2];
            return Float.BYTES * (squares + (beta1 > 0 ? numbers : 0));
        }
    }

    /**
     * Lion (<a href="https://arxiv.org/abs/2302.06675">Chen et al. 2023</a>): moves each number by the learning rate, in the direction of the sign of an
     * average of the gradients; 4 bytes for each number that is trained. It takes a learning rate 3 to 10 times as small as
     * AdamW's, and as many times the weight decay.
     *
     * @param beta1 share of the average in the direction, at least 0 and below 1
     * @param beta2 decay of the average, at least 0 and below 1
     */
    record Lion(double beta1, double beta2) implements Optimizer {
        /** @throws SettingsException naming every value that cannot work */
        public Lion {
            List<String> problems = betas(beta1, beta2);
            if (!problems.isEmpty()) {
                throw new SettingsException(problems);
            }
        }

        @Override
        public long stateBytes(long... shape) {
            return Float.BYTES * numbers(shape);
        }
    }

    private static List<String> betas(double beta1, double beta2) {
        List<String> problems = new ArrayList<>();
        if (!(beta1 >= 0 && beta1 < 1)) {
            problems.add("the optimizer's beta1 must be at least 0 and below 1, but is " + beta1);
        }
        if (!(beta2 >= 0 && beta2 < 1)) {
            problems.add("the optimizer's beta2 must be at least 0 and below 1, but is " + beta2);
        }
        return problems;
    }

    private static void check(List<String> problems, double epsilon) {
        if (!(Double.isFinite(epsilon) && epsilon > 0)) {
            problems.add("the optimizer's epsilon must be above 0 and finite, but is " + epsilon + "; 1e-8 is usual");
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    private static long numbers(long... shape) {
        return Arrays.stream(shape).reduce(1, Math::multiplyExact);
    }
}
