package dev.finetune4j.benchmarks;

/**
 * The shape of a weight, which parameters spell {@code OUTxIN}.
 *
 * @param out rows: what the product puts out
 * @param in columns: what it takes
 */
record MatrixShape(int out, int in) {
    static MatrixShape of(String text) {
        String[] parts = text.split("x", -1);
        if (parts.length != 2) {
            throw new IllegalArgumentException("a shape is OUTxIN, such as 4096x11008, but this is " + text);
        }
        return new MatrixShape(Integer.parseInt(parts[0]), Integer.parseInt(parts[1]));
    }

    long elements() {
        return (long) out * in;
    }

    @Override
    public String toString() {
        return out + "x" + in;
    }
}
