package dev.finetune4j.core;

import org.jspecify.annotations.Nullable;

/** The device that was asked for is absent, or native code could not be loaded. The message says what the machine has. */
public class DeviceException extends FineTune4jException {
    private static final long serialVersionUID = 1L;

    public DeviceException(String message) {
        super(message);
    }

    public DeviceException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
