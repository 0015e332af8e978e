package dev.finetune4j.core.text.jinja.python;

import java.math.BigInteger;
import java.security.SecureRandom;
import java.util.List;

/**
 * What stands for a value as the key of a dict: keys of equal values are equal. The hash depends on a number that nobody
 * knows beforehand, so that a template cannot choose keys that all have the same.
 */
public final class Key {
    private static final long SEED = new SecureRandom().nextLong() | 1;

    private final Object value;
    private final long hash;

    private Key(Object value, long hash) {
        this.value = value;
        this.hash = hash;
    }

    /** The key of a value that Java compares as Python does. */
    public static Key of(Object value) {
        if (value instanceof String text) {
            Budget.charge(text.length() / 4);
            long hash = SEED;
            for (int i = 0; i < text.length(); i++) {
                hash = hash * (SEED << 1 | 1) + text.charAt(i);
            }
            return new Key(value, mixed(hash));
        }
        if (value instanceof Long whole) {
            return new Key(value, mixed(whole ^ SEED));
        }
        if (value instanceof BigInteger big) {
            return of(big, big.toByteArray());
        }
        return new Key(value, mixed(value.hashCode() ^ SEED));
    }

    private static Key of(BigInteger value, byte[] bytes) {
        Budget.charge(bytes.length / 4);
        long hash = SEED;
        for (byte b : bytes) {
            hash = hash * (SEED << 1 | 1) + b;
        }
        return new Key(value, mixed(hash));
    }

    /** The key of a tuple of values with these keys. */
    public static Key of(List<Key> keys) {
        long hash = SEED + keys.size();
        for (Key key : keys) {
            hash = mixed(hash * (SEED << 1 | 1) + key.hash);
        }
        return new Key(keys, hash);
    }

    private static long mixed(long bits) {
        long mixed = (bits ^ bits >>> 32) * 0xd6e8feb86659fd93L;
        return mixed ^ mixed >>> 32;
    }

    @Override
    public boolean equals(Object other) {
        if (this == other) {
            return true;
        }
        if (!(other instanceof Key key) || hash != key.hash) {
            return false;
        }
        Budget.charge(value instanceof List<?> keys ? keys.size() : 1);
        return value.equals(key.value);
    }

    @Override
    public int hashCode() {
        return (int) hash;
    }

    @Override
    public String toString() {
        return value.toString();
    }
}
