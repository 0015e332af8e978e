package dev.finetune4j.examples.server;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.BatchSettings;
import dev.finetune4j.examples.server.http.HttpLimits;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * How a model is served. Immutable.
 *
 * @param address where it listens; port 0 for any that is free
 * @param apiKey what clients have to send; null for none, which only a loopback address may have
 * @param modelName what requests call the base
 * @param batching how the model is to be loaded; the numbers of /metrics tell texts in the batch from those that wait by it
 * @param maxRequests how many answers may be in progress or wait at once; one more gets 429
 * @param requestTime how long an answer may take; then it ends with 504, or an error event
 * @param defaultTokens how many tokens an answer may have when the request does not say
 * @param maxTokens how many a request may ask for
 * @param maxChoices how many answers one request may ask for
 * @param adapters the only folder from which adapters are loaded at run time; null for none
 * @param runs the folder with the trainings whose logs are shown; null for none
 * @param data the only folder from which trainings that are asked for take their data sets; null when none can be asked for
 * @param origins the sites, such as {@code https://chat.example.org}, whose pages may use the server, beside its own page
 * @param limits what a client may take of a connection
 */
public record ServerSettings(
        InetSocketAddress address,
        @Nullable String apiKey,
        String modelName,
        BatchSettings batching,
        int maxRequests,
        Duration requestTime,
        int defaultTokens,
        int maxTokens,
        int maxChoices,
        @Nullable Path adapters,
        @Nullable Path runs,
        @Nullable Path data,
        Set<String> origins,
        HttpLimits limits) {
    /** The least length of an API key. */
    public static final int MIN_KEY = 8;

    /** @throws SettingsException naming all that is out of range */
    public ServerSettings {
        origins = Set.copyOf(origins);
        List<String> problems = new ArrayList<>();
        if (apiKey == null && !address.getAddress().isLoopbackAddress()) {
            problems.add("without an API key only this machine can be listened to, but the address is "
                    + address.getHostString() + "; give a key, or listen to 127.0.0.1");
        }
        if (apiKey != null && (apiKey.length() < MIN_KEY || !apiKey.matches("[\\x21-\\x7e]+"))) {
            problems.add("the API key must have at least " + MIN_KEY + " letters, digits or signs and no blanks");
        }
        if (data != null && runs == null) {
            problems.add("trainings need a folder to write to; set runs beside data");
        }
        if (modelName.isBlank()) {
            problems.add("the name of the model is blank; give it one");
        }
        atLeast(problems, "maxRequests", 1, maxRequests);
        atLeast(problems, "defaultTokens", 1, defaultTokens);
        atLeast(problems, "maxTokens", defaultTokens, maxTokens);
        atLeast(problems, "maxChoices", 1, maxChoices);
        if (requestTime.isNegative() || requestTime.isZero()) {
            problems.add("requestTime must be more than 0, but is " + requestTime);
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    private static void atLeast(List<String> problems, String name, int least, int value) {
        if (value < least) {
            problems.add(name + " must be at least " + least + ", but is " + value);
        }
    }

    /** Settings in the making: 127.0.0.1:8000, 256 answers at once, 10 minutes for each, 512 tokens where a request names no number, at most 4,096. */
    public static Builder builder(String modelName) {
        return new Builder(modelName);
    }

    /** Makes settings. Each method sets the component of its name. Not thread-safe. */
    public static final class Builder {
        private final String modelName;
        private InetSocketAddress address = new InetSocketAddress(InetAddress.getLoopbackAddress(), 8000);
        private @Nullable String apiKey;
        private BatchSettings batching = BatchSettings.defaults();
        private int maxRequests = 256;
        private Duration requestTime = Duration.ofMinutes(10);
        private int defaultTokens = 512;
        private int maxTokens = 4096;
        private int maxChoices = 16;
        private @Nullable Path adapters;
        private @Nullable Path runs;
        private @Nullable Path data;
        private Set<String> origins = Set.of();
        private HttpLimits limits = HttpLimits.defaults();

        private Builder(String modelName) {
            this.modelName = modelName;
        }

        /** Sets {@link ServerSettings#address}. */
        public Builder address(InetSocketAddress value) {
            address = value;
            return this;
        }

        /** Sets {@link ServerSettings#apiKey}. */
        public Builder apiKey(@Nullable String value) {
            apiKey = value;
            return this;
        }

        /** Sets {@link ServerSettings#batching}. */
        public Builder batching(BatchSettings value) {
            batching = value;
            return this;
        }

        /** Sets {@link ServerSettings#maxRequests}. */
        public Builder maxRequests(int value) {
            maxRequests = value;
            return this;
        }

        /** Sets {@link ServerSettings#requestTime}. */
        public Builder requestTime(Duration value) {
            requestTime = value;
            return this;
        }

        /** Sets {@link ServerSettings#defaultTokens} and {@link ServerSettings#maxTokens}. */
        public Builder tokens(int usual, int most) {
            defaultTokens = usual;
            maxTokens = most;
            return this;
        }

        /** Sets {@link ServerSettings#maxChoices}. */
        public Builder maxChoices(int value) {
            maxChoices = value;
            return this;
        }

        /** Sets {@link ServerSettings#adapters}. */
        public Builder adapters(@Nullable Path value) {
            adapters = value;
            return this;
        }

        /** Sets {@link ServerSettings#runs}. */
        public Builder runs(@Nullable Path value) {
            runs = value;
            return this;
        }

        /** Sets {@link ServerSettings#data}, which switches trainings on. */
        public Builder data(@Nullable Path value) {
            data = value;
            return this;
        }

        /** Sets {@link ServerSettings#origins}. */
        public Builder origins(Set<String> value) {
            origins = value;
            return this;
        }

        /** Sets {@link ServerSettings#limits}. */
        public Builder limits(HttpLimits value) {
            limits = value;
            return this;
        }

        /**
         * The settings.
         *
         * @throws SettingsException naming all that is out of range
         */
        public ServerSettings build() {
            return new ServerSettings(
                    address,
                    apiKey,
                    modelName,
                    batching,
                    maxRequests,
                    requestTime,
                    defaultTokens,
                    maxTokens,
                    maxChoices,
                    adapters,
                    runs,
                    data,
                    origins,
                    limits);
        }
    }

    /** All but the key. */
    @Override
    public String toString() {
        return "ServerSettings[" + address + ", " + modelName + ", key " + (apiKey == null ? "none" : "***") + "]";
    }
}
