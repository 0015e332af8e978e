package dev.finetune4j.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.io.ModelFiles;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;

/** A config.json that notes which of its keys are asked for; those within an object have its key and a dot before theirs. */
@SuppressWarnings("unchecked") // Jackson's deepCopy is generic in the parent alone.
final class AskedKeys extends ObjectNode {
    private static final long serialVersionUID = 1;

    private final String prefix;
    private final transient Set<String> asked;

    private AskedKeys(ObjectNode source, String prefix, Set<String> asked) {
        super(JsonNodeFactory.instance);
        this.prefix = prefix;
        this.asked = asked;
        source.properties().forEach(entry -> {
            JsonNode value = entry.getValue();
            set(
                    entry.getKey(),
                    value instanceof ObjectNode inner
                            ? new AskedKeys(inner, prefix + entry.getKey() + ".", asked)
                            : value);
        });
    }

    /** The keys that are read of a folder's config.json, also those that it lacks. */
    static Set<String> of(Path folder) {
        Set<String> asked = new TreeSet<>();
        ModelFamily.readConfig(new ConfigReader(
                folder.resolve("config.json"),
                new AskedKeys(ModelFiles.open(folder).config().deepCopy(), "", asked)));
        return asked;
    }

    @Override
    public JsonNode path(String key) {
        asked.add(prefix + key);
        return super.path(key);
    }

    @Override
    public JsonNode get(String key) {
        asked.add(prefix + key);
        return super.get(key);
    }
}
