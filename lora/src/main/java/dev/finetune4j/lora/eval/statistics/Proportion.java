package dev.finetune4j.lora.eval.statistics;

/** Shares of right answers: an interval for one, and a test of two that were counted on the same questions. Stateless. */
public final class Proportion {
    /** The 97.5 % point of the standard normal distribution. */
    private static final double Z = 1.959963984540054;

    private Proportion() {}

    /**
     * Wilson's score interval of 95 % (<a href="https://doi.org/10.1080/01621459.1927.10502953">Wilson 1927</a>).
     *
     * @param trials above 0
     * @return its ends
     */
    public static double[] wilson(int successes, int trials) {
        double n = trials;
        double share = successes / n;
        double scale = 1 + Z * Z / n;
        double middle = (share + Z * Z / (2 * n)) / scale;
        double half = Z * Math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / scale;
        // At the ends the sums are exact, but their rounding need not be.
        double low = successes == 0 ? 0 : Math.max(0, middle - half);
        double high = successes == trials ? 1 : Math.min(1, middle + half);
        return new double[] {low, high};
    }

    /**
     * The interval of 95 % of the difference of two independent shares, by their own intervals (<a
     * href="https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8%3C873::AID-SIM779%3E3.0.CO;2-I">Newcombe 1998</a>, method 10).
     *
     * @return the ends of first minus second
     */
    public static double[] newcombe(int successes, int trials, int otherSuccesses, int otherTrials) {
        double first = (double) successes / trials;
        double second = (double) otherSuccesses / otherTrials;
        double[] firstEnds = wilson(successes, trials);
        double[] secondEnds = wilson(otherSuccesses, otherTrials);
        double difference = first - second;
        return new double[] {
            difference - Math.hypot(first - firstEnds[0], secondEnds[1] - second),
            difference + Math.hypot(firstEnds[1] - first, second - secondEnds[0])
        };
    }

    /**
     * McNemar's exact test, two-sided: how likely so unequal numbers of changes are if both models were as good as each other.
     *
     * @param onlyFirst questions that the first alone answered right
     * @param onlySecond those that the second alone did
     * @return from 0 to 1; 1 without a change
     */
    public static double mcNemar(int onlyFirst, int onlySecond) {
        int changes = onlyFirst + onlySecond;
        double logTerm = -changes * Math.log(2); // of the binomial distribution with 1/2
        double tail = 0;
        for (int i = 0; i <= Math.min(onlyFirst, onlySecond); i++) {
            tail += Math.exp(logTerm);
            logTerm += Math.log((double) (changes - i) / (i + 1));
        }
        return Math.min(1, 2 * tail);
    }
}
