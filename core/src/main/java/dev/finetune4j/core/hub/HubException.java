package dev.finetune4j.core.hub;

import dev.finetune4j.core.FineTune4jException;
import org.jspecify.annotations.Nullable;

/** A model cannot be had from a hub or its cache. The message says what was found and what to do. */
public class HubException extends FineTune4jException {
    private static final long serialVersionUID = 1L;

    /** Why a model cannot be had. */
    public enum Reason {
        /** The model's owner asks for consent to a licence first, on the hub's page. */
        GATED,
        /** The hub refuses access with this token, or without one. */
        FORBIDDEN,
        /** The hub has no such model, revision or file, or hides a private one. */
        MISSING,
        /** The hub asks to wait for longer than is waited here. */
        RATE_LIMITED,
        /** The hub does not answer, or answers with failures of its own, after several tries. */
        UNREACHABLE,
        /** It is not on this machine, and the network may not be used. */
        NOT_CACHED,
        /** It is there, but no model that can be used: an adapter, weights in pickle form, names that lead out of the folder. */
        UNUSABLE,
        /** What comes does not have the hash that the hub states. */
        DAMAGED,
        /** The cache cannot be written, or its disk has too little room. */
        DISK,
        /** The caller cancelled the download or was interrupted; what has come is kept. */
        CANCELLED
    }

    private final Reason reason;

    HubException(Reason reason, String message) {
        this(reason, message, null);
    }

    HubException(Reason reason, String message, @Nullable Throwable cause) {
        super(message, cause);
        this.reason = reason;
    }

    /** Why, for programs. */
    public Reason reason() {
        return reason;
    }
}
