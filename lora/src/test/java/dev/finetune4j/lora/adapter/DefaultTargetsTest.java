package dev.finetune4j.lora.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What kinds of adapters take by default, on a model of every family. */
class DefaultTargetsTest {
    private static final Path FIXTURES = Path.of("../core/src/test/resources/model");

    static List<Path> models() throws IOException {
        Needs.that(Files.isDirectory(FIXTURES), "the module core is not beside this one");
        try (Stream<Path> folders = Files.list(FIXTURES)) {
            return folders.sorted().toList();
        }
    }

    @ParameterizedTest
    @MethodSource("models")
    void lnTuningTakesAllNorms(Path folder) {
        ModuleNames modules = PretrainedFolder.open(folder).moduleNames();
        assertEquals(modules.norms(), LnTuningSettings.defaults().modules().matching(modules.all(), List.of()));
    }

    @ParameterizedTest
    @MethodSource("models")
    void ia3TakesKeysValuesAndInnerActivations(Path folder) {
        PretrainedFolder model = PretrainedFolder.open(folder);
        Set<String> linears = model.moduleNames().linears();
        Set<String> taken = Ia3Settings.defaults().modules().matching(linears, List.of());
        Set<String> inputs = taken.stream()
                .filter(path -> ((TargetModules.Matching) Ia3Settings.defaults().feedForward()).matches(path))
                .collect(Collectors.toSet());
        for (int i = 0; i < model.config().layers(); i++) {
            String block = "model.layers." + i + ".";
            boolean sparse = model.config().layerTypes().get(i).experts() != null;
            assertTrue(taken.stream().anyMatch(path -> path.matches(block + "self_attn.(v|qkv)_proj")), block);
            assertTrue(sparse || inputs.stream().anyMatch(path -> path.startsWith(block + "mlp.")), block);
        }
        assertTrue(inputs.stream().noneMatch(path -> path.contains("self_attn")), inputs::toString);
    }
}
