package dev.finetune4j.core.text;

import ai.djl.engine.EngineException;
import ai.djl.huggingface.tokenizers.jni.LibUtils;
import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.ModelFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * A tokenizer of Hugging Face's <a href="https://github.com/huggingface/tokenizers">tokenizers</a> library in native
 * memory; the only class that touches its binding in DJL.
 *
 * <p>It uses the binding's native methods directly. The convenience class above them cuts texts at 512 tokens unless
 * told otherwise, reports each start to a server, and builds an object per token that nobody here needs.
 *
 * <p>Thread-safe; {@link #close()} waits for calls in progress.
 */
final class NativeTokenizer implements AutoCloseable {
    private static final String OVERRIDE = "RUST_LIBRARY_PATH";

    private static boolean loaded;

    private final ReadWriteLock lock = new ReentrantReadWriteLock();
    private final long handle;
    private boolean closed;

    /**
     * Builds a tokenizer.
     *
     * @param json the text of a tokenizer.json
     * @throws FineTune4jException when the native library cannot be loaded
     * @throws RuntimeException when the library does not accept the text; the message is the library's
     */
    NativeTokenizer(String json) {
        load();
        handle = TokenizersLibrary.LIB.createTokenizerFromString(json);
    }

    /**
     * Builds one that is to be used beside another of the same definition.
     *
     * @throws ModelFileException when the library does not accept the text
     */
    static NativeTokenizer variant(String json) {
        try {
            return new NativeTokenizer(json);
        } catch (FineTune4jException e) {
            throw e;
        } catch (RuntimeException e) {
            throw failed("leave special tokens in a text alone", e);
        }
    }

    /** Ids of a text with or without what the post-processor adds; special tokens in the text are recognised. */
    int[] encode(String text, boolean addSpecialTokens) {
        Lock reading = open();
        try {
            long encoding = TokenizersLibrary.LIB.encode(handle, wellFormed(text), addSpecialTokens);
            try {
                return Arrays.stream(TokenizersLibrary.LIB.getTokenIds(encoding))
                        .mapToInt(Math::toIntExact)
                        .toArray();
            } finally {
                TokenizersLibrary.LIB.deleteEncoding(encoding);
            }
        } catch (RuntimeException e) {
            throw failed("encode a text of " + text.length() + " characters", e);
        } finally {
            reading.unlock();
        }
    }

    /** The text of ids, special tokens included. */
    String decode(long[] ids) {
        Lock reading = open();
        try {
            return TokenizersLibrary.LIB.decode(handle, ids, false);
        } catch (RuntimeException e) {
            throw failed("decode " + ids.length + " ids", e);
        } finally {
            reading.unlock();
        }
    }

    @Override
    public void close() {
        lock.writeLock().lock();
        try {
            if (!closed) {
                closed = true;
                TokenizersLibrary.LIB.deleteTokenizer(handle);
            }
        } finally {
            lock.writeLock().unlock();
        }
    }

    /** What the library says of a definition that it took, but that contradicts itself. */
    private static ModelFileException failed(String what, RuntimeException cause) {
        return new ModelFileException(
                "the tokenizer cannot " + what + ": " + cause.getMessage() + "; its tokenizer.json is inconsistent: "
                        + "fetch it again, or use another checkpoint",
                cause);
    }

    private Lock open() {
        Lock reading = lock.readLock();
        reading.lock();
        if (closed) {
            reading.unlock();
            throw new IllegalStateException("the tokenizer, or the model that it belongs to, is closed; load it again");
        }
        return reading;
    }

    /** Half a surrogate pair is no character and has no UTF-8 form: it becomes U+FFFD. */
    private static String wellFormed(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isSurrogate(text.charAt(i))) {
                return text.codePoints()
                        .map(c -> c >= Character.MIN_SURROGATE && c <= Character.MAX_SURROGATE ? 0xFFFD : c)
                        .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                        .toString();
            }
        }
        return text;
    }

    /**
     * Loads the native library from our own file, unless the user has chosen one. The binding's own loader would first
     * ask for GPUs, which loads CUDA; so it is passed by wherever our class loader may load on behalf of the binding.
     */
    private static synchronized void load() {
        if (loaded) {
            return;
        }
        boolean chosen = System.getenv(OVERRIDE) != null || System.getProperty(OVERRIDE) != null;
        try {
            if (chosen) {
                LibUtils.checkStatus();
            } else {
                loadOurs(NativeLibrary.unpack(TokenizersLibrary.class));
            }
            loaded = true;
        } catch (EngineException | LinkageError | IllegalCallerException e) {
            String reason = NativeLibrary.failure(TokenizersLibrary.class).explain(List.of(e));
            throw new FineTune4jException(
                    chosen ? reason + "; " + OVERRIDE + " is set and must name its file" : reason, e);
        }
    }

    private static void loadOurs(List<Path> files) {
        // A native library serves the classes of the loader that loaded it.
        if (TokenizersLibrary.class.getClassLoader() == NativeTokenizer.class.getClassLoader()) {
            files.forEach(file -> System.load(file.toString()));
            return;
        }
        System.setProperty(OVERRIDE, files.get(files.size() - 1).toString());
        try {
            LibUtils.checkStatus();
        } finally {
            System.clearProperty(OVERRIDE);
        }
    }
}
