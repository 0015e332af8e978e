package dev.finetune4j.lora.train.loop;

/** The exponential moving average by which curves are smoothed. Stateless. */
public final class MovingAverage {
    private static final double SMOOTHING = 0.6;

    private MovingAverage() {}

    /** The average at each place, corrected for its start. */
    public static double[] of(double... values) {
        double[] smoothed = new double[values.length];
        double average = 0;
        double weight = 0;
        for (int i = 0; i < values.length; i++) {
            average = SMOOTHING * average + (1 - SMOOTHING) * values[i];
            weight = SMOOTHING * weight + (1 - SMOOTHING);
            smoothed[i] = average / weight;
        }
        return smoothed;
    }
}
