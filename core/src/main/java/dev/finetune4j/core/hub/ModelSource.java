package dev.finetune4j.core.hub;

import dev.finetune4j.core.message.Arguments;
import java.nio.file.Path;
import java.util.function.BooleanSupplier;

/**
 * Where a model comes from: a folder, a model of a hub, or a name that is looked for on this machine. Immutable.
 *
 * <pre>{@code
 * ModelSource.local(Path.of("Yi-1.5-6B-Chat"));
 * ModelSource.huggingFace("Qwen/Qwen2.5-0.5B-Instruct").revision("main");
 * ModelSource.modelScope("01ai/Yi-1.5-6B-Chat");
 * ModelSource.of("Qwen/Qwen2.5-0.5B-Instruct");   // a folder of that name, or one in the caches; no network
 * }</pre>
 */
public sealed interface ModelSource permits HubModel, ModelSource.Local, ModelSource.Named {
    /** A folder in Hugging Face's layout. */
    static Local local(Path folder) {
        return new Local(Arguments.given(folder, "local(folder)"));
    }

    /**
     * A model of <a href="https://huggingface.co">Hugging Face</a>, or of a mirror of it that {@code HF_ENDPOINT} names. What its cache
     * lacks is downloaded.
     *
     * @param id such as {@code Qwen/Qwen2.5-0.5B-Instruct}
     * @throws IllegalArgumentException when it is no such id
     */
    static HubModel huggingFace(String id) {
        return new HubModel(new HuggingFace(), Arguments.given(id, "huggingFace(id)"), HubEnvironment.ofProcess());
    }

    /**
     * A model of <a href="https://www.modelscope.cn">ModelScope</a>, or of the site that {@code MODELSCOPE_DOMAIN} names. What its cache
     * lacks is downloaded.
     *
     * @param id such as {@code 01ai/Yi-1.5-6B-Chat}
     * @throws IllegalArgumentException when it is no such id
     */
    static HubModel modelScope(String id) {
        return new HubModel(new ModelScope(), Arguments.given(id, "modelScope(id)"), HubEnvironment.ofProcess());
    }

    /**
     * A folder or a model's id, looked for in this order: a folder of that name, Hugging Face's cache, ModelScope's cache. Only where the
     * setting {@code finetune4j.hub} (system property) or {@code FINETUNE4J_HUB} (environment) says {@code huggingface} or {@code
     * modelscope}, that hub's cache comes first, and what is nowhere is downloaded from it.
     *
     * @throws IllegalArgumentException when it is blank
     */
    static ModelSource of(String name) {
        return new Named(Arguments.given(name, "of(name)"), HubEnvironment.ofProcess());
    }

    /**
     * The folder on this machine. What is missing is downloaded first, where that is allowed; an interrupt of the thread ends that,
     * and the next call goes on from there.
     *
     * @throws HubException when the model cannot be had; its {@link HubException#reason() reason} says why, its message what helps
     */
    default Path fetch() {
        return fetch(() -> false);
    }

    /**
     * The same, with a download that ends when it is cancelled.
     *
     * @param cancelled asked several times a second while a download is in progress
     * @throws HubException when the model cannot be had, {@link HubException.Reason#CANCELLED} after a cancel or an interrupt
     */
    Path fetch(BooleanSupplier cancelled);

    /**
     * A folder with config.json, the tokenizer and the chat templates, and perhaps the weights: what a memory plan or a report on data
     * needs. Where the model is not there in full, these few megabytes alone are downloaded.
     *
     * @throws HubException when they cannot be had
     */
    Path fetchSettings();

    /** What the model is called: its id, also where a folder is one of Hugging Face's cache; otherwise the folder. */
    String name();

    /**
     * A folder, which is not looked into here.
     *
     * @param folder in Hugging Face's layout
     */
    record Local(Path folder) implements ModelSource {
        @Override
        public Path fetch(BooleanSupplier cancelled) {
            return folder;
        }

        @Override
        public Path fetchSettings() {
            return folder;
        }

        @Override
        public String name() {
            return SnapshotCache.idOf(folder).orElseGet(folder::toString);
        }

        @Override
        public String toString() {
            return folder.toString();
        }
    }

    /** A folder or the id of a model, {@link ModelSource#of as found on this machine}. */
    final class Named implements ModelSource {
        private final String name;
        private final HubEnvironment environment;

        Named(String name, HubEnvironment environment) {
            if (name.isBlank()) {
                throw new IllegalArgumentException(
                        "the model's name is blank; give a folder or an id such as org/name");
            }
            this.name = name;
            this.environment = environment;
        }

        @Override
        public String name() {
            return name;
        }

        @Override
        public Path fetch(BooleanSupplier cancelled) {
            return NameLookup.fetch(name, environment, model -> model.fetch(cancelled));
        }

        @Override
        public Path fetchSettings() {
            return NameLookup.fetch(name, environment, HubModel::fetchSettings);
        }

        @Override
        public String toString() {
            return name;
        }
    }
}
