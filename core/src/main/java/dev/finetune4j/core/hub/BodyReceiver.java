package dev.finetune4j.core.hub;

import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Takes the body of one answer: into a file what is of the file, into memory all else, up to a limit. After {@link #close} nothing is
 * written any more. The HTTP client's threads call it, one at a time.
 */
final class BodyReceiver implements HttpResponse.BodyHandler<byte[]>, HttpResponse.BodySubscriber<byte[]>, Closeable {
    private static final int MAX_BYTES = 32 << 20;
    private static final Pattern CONTENT_RANGE = Pattern.compile("bytes (\\d{1,18})-\\d{1,18}/(?:\\d{1,18}|\\*)");

    private final @Nullable PartialFile file;
    private final CompletableFuture<byte[]> result = new CompletableFuture<>();
    private final ByteArrayOutputStream memory = new ByteArrayOutputStream();
    private volatile long lastHeard = System.nanoTime();
    private Flow.@Nullable Subscription subscription;
    private boolean intoFile; // guarded by this, as what follows
    private boolean closed;

    /** @param file for the body of a good answer; null to have it in memory */
    BodyReceiver(@Nullable PartialFile file) {
        this.file = file;
    }

    /** For how long nothing has come. */
    Duration silentFor() {
        return Duration.ofNanos(System.nanoTime() - lastHeard);
    }

    @Override
    public synchronized HttpResponse.BodySubscriber<byte[]> apply(HttpResponse.ResponseInfo info) {
        lastHeard = System.nanoTime();
        try {
            intoFile = file != null && !closed && begins(file, info);
        } catch (IOException | HubException e) {
            result.completeExceptionally(e);
        }
        return this;
    }

    /** Whether the body is of the file. A server may have ignored the range, and begins anew then. */
    private static boolean begins(PartialFile file, HttpResponse.ResponseInfo info) throws IOException {
        if (info.statusCode() == 200) {
            if (file.length() > 0) {
                file.restart();
            }
            return true;
        }
        if (info.statusCode() != 206) {
            return false;
        }
        Matcher range =
                CONTENT_RANGE.matcher(info.headers().firstValue("content-range").orElse(""));
        if (!range.matches() || Long.parseLong(range.group(1)) != file.length()) {
            throw new PartialFile.RestartException("another range came than was asked for");
        }
        return true;
    }

    @Override
    public CompletionStage<byte[]> getBody() {
        return result;
    }

    @Override
    public void onSubscribe(Flow.Subscription newSubscription) {
        subscription = newSubscription;
        if (result.isDone()) {
            newSubscription.cancel();
        } else {
            newSubscription.request(1);
        }
    }

    @Override
    public void onNext(List<ByteBuffer> buffers) {
        lastHeard = System.nanoTime();
        try {
            for (ByteBuffer buffer : buffers) {
                take(buffer);
            }
        } catch (IOException | RuntimeException e) {
            result.completeExceptionally(e);
        }
        Flow.Subscription source = subscription;
        if (source != null) {
            if (result.isDone()) {
                source.cancel();
            } else {
                source.request(1);
            }
        }
    }

    private synchronized void take(ByteBuffer buffer) throws IOException {
        if (closed) {
            throw new IOException("the request has ended");
        }
        if (intoFile && file != null) {
            file.write(buffer);
            return;
        }
        if (memory.size() + buffer.remaining() > MAX_BYTES) {
            throw new IOException("an answer of more than " + MAX_BYTES + " bytes came where a small one was expected");
        }
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        memory.write(bytes, 0, bytes.length);
    }

    @Override
    public void onError(Throwable failure) {
        result.completeExceptionally(failure);
    }

    @Override
    public void onComplete() {
        synchronized (this) {
            result.complete(memory.toByteArray());
        }
    }

    @Override
    public synchronized void close() {
        closed = true;
    }
}
