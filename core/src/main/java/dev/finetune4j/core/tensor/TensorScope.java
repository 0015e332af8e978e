package dev.finetune4j.core.tensor;

import java.util.ArrayDeque;
import java.util.Deque;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.jspecify.annotations.Nullable;

/**
 * Owner of the native objects that a thread makes between opening and closing it: all of them die at {@link #close()},
 * except those given away by {@link #keep} or {@link #release}.
 *
 * <p>Scopes nest: an inner scope frees the temporaries of one block while the outer one still holds the block's result.
 * Every loop over steps or tokens opens one scope per turn, which is what keeps native memory flat without waiting for
 * the garbage collector. A scope belongs to the thread that opened it and is closed by it, in a try statement.
 */
public final class TensorScope implements AutoCloseable {
    private static final ThreadLocal<Deque<TensorScope>> OPEN = ThreadLocal.withInitial(ArrayDeque::new);

    private final PointerScope scope;
    private @Nullable Pointer handedToNativeCode;
    private final boolean root;
    private boolean closed;

    /** Opens a scope for temporaries. */
    public TensorScope() {
        this(false);
    }

    private TensorScope(boolean root) {
        // The first pointer of the process settles how JavaCPP accounts for memory.
        TorchRuntime.start();
        this.scope = new PointerScope();
        this.root = root;
        OPEN.get().push(this);
    }

    /**
     * Opens a scope around a whole forward and backward pass: what has to live until backward has run goes to it, even when
     * the caller has scopes of its own open around it.
     */
    public static TensorScope forStep() {
        return new TensorScope(true);
    }

    /**
     * The scope that lives until backward has run: the innermost one made by {@link #forStep}, or else the outermost open
     * scope of this thread, or null when none is open.
     */
    public static @Nullable TensorScope ofStep() {
        for (TensorScope open : OPEN.get()) {
            if (open.root) {
                return open;
            }
        }
        return OPEN.get().peekLast();
    }

    /**
     * Moves an object made in this scope to the scope around it. When there is none, the caller owns the object and has
     * to close it.
     */
    public <P extends Pointer> P keep(P pointer) {
        release(pointer);
        TensorScope parent = parent();
        if (parent != null) {
            parent.adopt(pointer);
        }
        return pointer;
    }

    /** Moves an object made in this scope to that of the step ({@link #ofStep}), which may be this one. */
    public <P extends Pointer> P keepForStep(P pointer) {
        TensorScope step = ofStep();
        if (step != null && step != this) {
            step.adopt(release(pointer));
        }
        return pointer;
    }

    /** Takes an object made in this scope out of every scope: the caller owns it and has to close it. */
    public <P extends Pointer> P release(P pointer) {
        pointer.retainReference();
        scope.detach(pointer);
        return pointer;
    }

    /** Makes this scope the owner of an object that belongs to no scope. */
    public <P extends Pointer> P adopt(P pointer) {
        scope.attach(pointer);
        pointer.releaseReference();
        return pointer;
    }

    /**
     * Keeps the result of a callback alive until the native caller has copied it, which it has by the time of the next
     * callback or of this scope's end. Callbacks can come from another thread, hence the lock.
     */
    public synchronized <P extends Pointer> P handOver(P result) {
        if (handedToNativeCode != null) {
            handedToNativeCode.close();
        }
        handedToNativeCode = result;
        return result;
    }

    private @Nullable TensorScope parent() {
        boolean found = false;
        for (TensorScope open : OPEN.get()) {
            if (found) {
                return open;
            }
            found = open == this;
        }
        return null;
    }

    /** Frees what the scope still owns. Closing twice is fine. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        OPEN.get().remove(this);
        synchronized (this) {
            if (handedToNativeCode != null) {
                handedToNativeCode.close();
                handedToNativeCode = null;
            }
        }
        scope.close();
    }
}
