package dev.finetune4j.examples.cli;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Listens to the signals by which a process is asked to end, as long as it is open: the first one asks for an orderly end, the second
 * ends the process at once. Where a platform has no such signals, nothing is listened to.
 *
 * <p>By reflection, since the class of the JDK that can do it ({@code sun.misc.Signal}) is in no specification.
 */
final class Interrupts implements AutoCloseable {
    private static final Map<String, Integer> EXIT_CODES = Map.of("INT", 130, "TERM", 143);

    private final Map<Object, Object> before = new LinkedHashMap<>();
    private final AtomicReference<String> first = new AtomicReference<>("");

    private Interrupts() {}

    /** @param stop asks for the end; called once, on a thread of its own */
    static Interrupts listen(Runnable stop) {
        Interrupts interrupts = new Interrupts();
        EXIT_CODES.keySet().forEach(signal -> interrupts.handle(signal, stop));
        return interrupts;
    }

    private void handle(String name, Runnable stop) {
        InvocationHandler handler = (proxy, method, arguments) -> {
            if (!method.getName().equals("handle")) {
                return method.getName().equals("equals") ? proxy == arguments[0] : System.identityHashCode(proxy);
            }
            if (first.compareAndSet("", name)) {
                stop.run();
            } else {
                Runtime.getRuntime().halt(exitCode());
            }
            return null;
        };
        try {
            Class<?> type = Class.forName("sun.misc.SignalHandler");
            Object listener = Proxy.newProxyInstance(Interrupts.class.getClassLoader(), new Class<?>[] {type}, handler);
            set(signal(name), listener);
        } catch (ReflectiveOperationException e) {
            // not there, or taken by the virtual machine: the process then ends as ever
        }
    }

    private static Object signal(String name) throws ReflectiveOperationException {
        return Class.forName("sun.misc.Signal").getConstructor(String.class).newInstance(name);
    }

    private void set(Object signal, Object handler) throws ReflectiveOperationException {
        Class<?> type = Class.forName("sun.misc.SignalHandler");
        Object earlier =
                signal.getClass().getMethod("handle", signal.getClass(), type).invoke(null, signal, handler);
        before.putIfAbsent(signal, earlier);
    }

    /** The exit code of a process that was ended by the first signal, as shells count: 128 and the signal's number; 0 without one. */
    int exitCode() {
        return EXIT_CODES.getOrDefault(first.get(), 0);
    }

    @Override
    public void close() {
        before.forEach((signal, earlier) -> {
            try {
                set(signal, earlier);
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException(e); // it could be set before
            }
        });
    }
}
