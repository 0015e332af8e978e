package dev.finetune4j.core.hub;

import dev.finetune4j.core.cache.Sha256;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Locale;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A hash that tells whether content is whole: SHA-256 for large files (LFS), that of a git blob for the others.
 *
 * @param kind how it is computed
 * @param hex in small letters
 */
record Checksum(Kind kind, String hex) {
    private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");
    private static final Pattern SHA1 = Pattern.compile("[0-9a-f]{40}");

    /** How a hash is computed. */
    enum Kind {
        SHA256,
        GIT_BLOB
    }

    /** What a text of a hub is as a hash; null when it is none. */
    static @Nullable Checksum of(@Nullable String text) {
        String hex = text == null ? "" : text.toLowerCase(Locale.ROOT);
        if (SHA256.matcher(hex).matches()) {
            return new Checksum(Kind.SHA256, hex);
        }
        return SHA1.matcher(hex).matches() ? new Checksum(Kind.GIT_BLOB, hex) : null;
    }

    /** A digest for content of that many bytes. */
    MessageDigest digest(long size) {
        return digest(kind, size);
    }

    private static MessageDigest digest(Kind kind, long size) {
        if (kind == Kind.SHA256) {
            return Sha256.digest();
        }
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-1");
            digest.update(("blob " + size + "\0").getBytes(StandardCharsets.ISO_8859_1));
            return digest;
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-1", e);
        }
    }
}
