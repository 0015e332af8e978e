package dev.finetune4j.benchmarks;

/**
 * What one operation of a benchmark does.
 *
 * <p>Only what the task itself needs is counted, never what an implementation does beside it: a linear with LoRA has the
 * operations of its base, and making a weight dense for a product has none.
 *
 * @param amount how much of its unit
 * @param unit in which its rate is told
 * @param flops floating-point operations
 * @param readBytes what must come from memory
 * @param copiedBytes what must come from memory and go there, in traffic of a copy
 */
record Work(double amount, Unit unit, double flops, double readBytes, double copiedBytes) {
    /** Bytes of a number in NF4 with double quantization: four bits, and 8 of each 64 and 32 of each 16,384 for scales. */
    private static final double NF4_BYTES = 0.5 + 1.0 / 64 + 4.0 / (64 * 256);

    /** Backward operations of attention: five products where the forward pass has two. */
    private static final double ATTENTION_BOTH = 3.5;

    /** The unit of a rate. */
    enum Unit {
        GFLOP("GFLOP/s", 1e9),
        GELEM("Gelem/s", 1e9),
        TOKENS("tokens/s", 1),
        CHARACTERS("Mchar/s", 1e6),
        CONVERSATIONS("conversations/s", 1);

        final String label;
        final double size;

        Unit(String label, double size) {
            this.label = label;
            this.size = size;
        }
    }

    /** @throws IllegalArgumentException if it is not known what the benchmark does */
    static Work of(Measurement m) {
        return switch (m.benchmark()) {
            case "LinearBenchmark" -> linear(m, MatrixShape.of(m.parameter("shape")));
            case "LoraBenchmark" -> linear(m, loraShape(m));
            case "QuantizationBenchmark" -> quantization(m);
            case "AttentionBenchmark" -> attention(m);
            case "LossBenchmark" -> loss(m);
            case "TrainStepBenchmark" -> step(m);
            case "DecodeBenchmark" -> token(m);
            case "TextBenchmark" -> text(m);
            default ->
                throw new IllegalArgumentException("it is not known what " + m.benchmark() + " does; say it in Work");
        };
    }

    /** The shape of the projection that a LoRA benchmark names. */
    static MatrixShape loraShape(Measurement m) {
        RandomModel model = RandomModel.of(m.parameter("preset"));
        return switch (m.parameter("module")) {
            case "self_attn.q_proj", "self_attn.o_proj" -> new MatrixShape(model.hidden, model.hidden);
            case "mlp.gate_proj", "mlp.up_proj" -> new MatrixShape(model.inner, model.hidden);
            case "mlp.down_proj" -> new MatrixShape(model.hidden, model.inner);
            default ->
                throw new IllegalArgumentException("it is not known what shape " + m.parameter("module") + " has");
        };
    }

    private static double numberBytes(Measurement m) {
        return m.is("type", "bf16") ? 2 : 4;
    }

    private static double weightBytes(Measurement m) {
        return m.is("form", "nf4") ? NF4_BYTES : numberBytes(m);
    }

    private static Work linear(Measurement m, MatrixShape shape) {
        int passes = m.method().equals("forwardAndBackward") ? 2 : 1;
        int tokens = m.number("tokens");
        double flops = passes * 2.0 * tokens * shape.elements();
        double rows = (double) tokens * (shape.out() + shape.in()) * numberBytes(m);
        double bytes = passes * (shape.elements() * weightBytes(m) + rows);
        return new Work(flops, Unit.GFLOP, flops, bytes, 0);
    }

    private static Work quantization(Measurement m) {
        double elements = MatrixShape.of(m.parameter("shape")).elements();
        double bytes = m.method().equals("copy") ? 2 * numberBytes(m) : numberBytes(m) + NF4_BYTES;
        // Without rotation everything stays in a cache, whose limit is not measured.
        return new Work(elements, Unit.GELEM, 0, 0, m.is("rotation", "0") ? 0 : elements * bytes);
    }

    private static Work attention(Measurement m) {
        RandomModel model = RandomModel.of(m.parameter("preset"));
        double tokens = m.number("tokens");
        double both = m.method().equals("forwardAndBackward") ? ATTENTION_BOTH : 1;
        int sequences = m.is("packed", "true") ? AttentionBenchmark.PACKED : 1;
        double flops = both * 4 * model.heads * model.headSize * tokens * tokens / 2 / sequences;
        return new Work(flops, Unit.GFLOP, flops, 0, 0);
    }

    private static Work loss(Measurement m) {
        RandomModel model = RandomModel.of(m.parameter("preset"));
        int passes = m.method().equals("forwardAndBackward") ? 2 : 1;
        double head = (double) model.vocabulary * model.hidden;
        double flops = passes * 2 * m.number("tokens") * head;
        return new Work(flops, Unit.GFLOP, flops, passes * head * numberBytes(m), 0);
    }

    private static Work step(Measurement m) {
        RandomModel model = RandomModel.of(m.parameter("preset"));
        double tokens = (double) m.number("batch") * m.number("tokens");
        double flops = tokens * model.modelFlops(m.number("tokens"));
        return new Work(tokens, Unit.TOKENS, flops, 2 * modelBytes(m, model), 0);
    }

    private static Work token(Measurement m) {
        RandomModel model = RandomModel.of(m.parameter("preset"));
        double flops = 2 * (model.linearWeights() + (double) model.vocabulary * model.hidden);
        return new Work(1, Unit.TOKENS, flops, modelBytes(m, model), 0);
    }

    /** All linears and the head, which is never quantized. */
    private static double modelBytes(Measurement m, RandomModel model) {
        return model.linearWeights() * weightBytes(m) + (double) model.vocabulary * model.hidden * numberBytes(m);
    }

    private static Work text(Measurement m) {
        return m.method().equals("examples")
                ? new Work(m.number("rows"), Unit.CONVERSATIONS, 0, 0, 0)
                : new Work(m.number("characters"), Unit.CHARACTERS, 0, 0, 0);
    }
}
