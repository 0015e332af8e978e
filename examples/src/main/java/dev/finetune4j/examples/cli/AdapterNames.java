package dev.finetune4j.examples.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads {@code NAME=PATH}, or a path alone, whose last part is the name then. Stateless. */
final class AdapterNames {
    /** What stands for the model without an adapter. */
    static final String BASE = "base";

    private AdapterNames() {}

    /**
     * The folders by name, in their order.
     *
     * @throws IllegalArgumentException when a name is given twice, or is that of the base
     */
    static Map<String, Path> parse(List<String> given) {
        Map<String, Path> folders = new LinkedHashMap<>();
        for (String each : given) {
            int sign = each.indexOf('=');
            boolean named = sign > 0 && !Files.exists(Path.of(each));
            Path folder = Path.of(named ? each.substring(sign + 1) : each);
            String name = named
                    ? each.substring(0, sign)
                    : String.valueOf(folder.toAbsolutePath().normalize().getFileName());
            if (name.equals(BASE)) {
                throw new IllegalArgumentException(
                        "the adapter " + each + " is called \"base\", as the model without one is; name it NAME=PATH");
            }
            if (folders.put(name, folder) != null) {
                throw new IllegalArgumentException(
                        "two adapters are called \"" + name + "\"; give each a name of its own as NAME=PATH");
            }
        }
        return folders;
    }
}
