package dev.finetune4j.core.nn;

/**
 * The numbers of a rotary position embedding. Frequencies are computed in float32 in the order of operations of
 * transformers, so that angles agree with it far out.
 *
 * @param theta base of the frequencies, {@code rope_theta}
 * @param channels how many channels of a head are rotated, even; those behind them stay
 * @param interleaved whether channels turn with their neighbours; otherwise those of the first half with those of the second
 * @param scaling change of the frequencies for long sequences
 */
public record RopeSpec(double theta, int channels, boolean interleaved, RopeScaling scaling) {
    /** With the halves of a head as the pairs that turn. */
    public RopeSpec(double theta, int channels, RopeScaling scaling) {
        this(theta, channels, false, scaling);
    }

    /** The same channels turned at other frequencies. */
    public RopeSpec with(RopeScaling other) {
        return new RopeSpec(theta, channels, interleaved, other);
    }

    /**
     * The frequencies for a sequence.
     *
     * @param length positions of the sequence, past included
     * @return one frequency for each pair of channels
     */
    public float[] frequencies(long length) {
        if (scaling instanceof RopeScaling.Unrotated) {
            return new float[channels / 2];
        }
        if (scaling instanceof RopeScaling.Linear linear) {
            float[] frequencies = plain(theta);
            for (int i = 0; i < frequencies.length; i++) {
                frequencies[i] /= (float) linear.factor();
            }
            return frequencies;
        }
        if (scaling instanceof RopeScaling.Dynamic dynamic) {
            double growth = dynamic.factor() * Math.max(length, dynamic.maxPositions()) / dynamic.maxPositions()
                    - (dynamic.factor() - 1);
            return plain(theta * Math.pow(growth, (double) channels / (channels - 2)));
        }
        if (scaling instanceof RopeScaling.Yarn yarn) {
            return yarn(yarn);
        }
        if (scaling instanceof RopeScaling.Llama3 llama3) {
            return llama3(llama3);
        }
        if (scaling instanceof RopeScaling.LongRope longRope) {
            return longRope(longRope, length);
        }
        return plain(theta);
    }

    /** Factor on cosines and sines. */
    double attentionFactor() {
        if (scaling instanceof RopeScaling.Yarn yarn) {
            return yarn.attentionFactor();
        }
        return scaling instanceof RopeScaling.LongRope longRope ? longRope.attentionFactor() : 1;
    }

    /**
     * Stands for all lengths with the same frequencies: tables may be shared between lengths with equal keys.
     *
     * @param length positions of the sequence, past included
     */
    public long tableKey(long length) {
        if (scaling instanceof RopeScaling.Dynamic dynamic) {
            return Math.max(length, dynamic.maxPositions());
        }
        return scaling instanceof RopeScaling.LongRope longRope && length > longRope.originalPositions() ? 1 : 0;
    }

    /**
     * Whether all positions of a text that grows get other angles at some length. With {@link RopeScaling.Dynamic} frequencies
     * change with each token, and each keeps those that it came with, as in transformers.
     */
    boolean changesAtOnce() {
        return scaling instanceof RopeScaling.LongRope;
    }

    /**
     * The longest length whose frequencies are those of the shortest.
     *
     * @throws IllegalStateException if they do not change at once at some length
     */
    long lastLengthOfFirst() {
        if (scaling instanceof RopeScaling.LongRope longRope) {
            return longRope.originalPositions();
        }
        throw new IllegalStateException("no length parts the frequencies of " + scaling);
    }

    /** θ^(2i / channels), as float32 gives it. */
    private static float power(double theta, int i, int channels) {
        float exponent = (2f * i) / channels;
        return (float) Math.pow((float) theta, exponent);
    }

    private float[] plain(double base) {
        float[] frequencies = new float[channels / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = 1f / power(base, i, channels);
        }
        return frequencies;
    }

    private float[] longRope(RopeScaling.LongRope spec, long length) {
        var factors = length > spec.originalPositions() ? spec.longFactors() : spec.shortFactors();
        float[] frequencies = new float[channels / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = 1f / (factors.get(i).floatValue() * power(theta, i, channels));
        }
        return frequencies;
    }

    private float[] llama3(RopeScaling.Llama3 spec) {
        float[] frequencies = plain(theta);
        double longest = spec.originalPositions() / spec.lowFactor();
        double shortest = spec.originalPositions() / spec.highFactor();
        for (int i = 0; i < frequencies.length; i++) {
            float wavelength = (float) (2 * Math.PI) / frequencies[i];
            if (wavelength > longest) {
                frequencies[i] /= (float) spec.factor();
            } else if (wavelength >= shortest) {
                float smooth = (spec.originalPositions() / wavelength - (float) spec.lowFactor())
                        / (float) (spec.highFactor() - spec.lowFactor());
                frequencies[i] = (1 - smooth) * frequencies[i] / (float) spec.factor() + smooth * frequencies[i];
            }
        }
        return frequencies;
    }

    private float[] yarn(RopeScaling.Yarn spec) {
        double low = rampEnd(spec, spec.betaFast());
        double high = rampEnd(spec, spec.betaSlow());
        if (spec.truncate()) {
            low = Math.floor(low);
            high = Math.ceil(high);
        }
        low = Math.max(low, 0);
        high = Math.min(high, channels - 1);
        if (low == high) {
            high += 0.001; // a ramp needs a length
        }
        float[] frequencies = new float[channels / 2];
        for (int i = 0; i < frequencies.length; i++) {
            float ramp = Math.min(Math.max((float) ((i - low) / (high - low)), 0), 1);
            float power = power(theta, i, channels);
            float kept = 1 - ramp;
            frequencies[i] = 1f / ((float) spec.factor() * power) * (1 - kept) + 1f / power * kept;
        }
        return frequencies;
    }

    /** The channel whose frequency makes this many turns within the original positions. */
    private double rampEnd(RopeScaling.Yarn spec, double turns) {
        return channels * Math.log(spec.originalPositions() / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
    }
}
