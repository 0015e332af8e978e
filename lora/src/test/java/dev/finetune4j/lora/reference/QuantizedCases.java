package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import dev.finetune4j.quant.kernel.QuantizedTensor;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.Tensor;

/** 4-bit weights against bitsandbytes: {@code bnb/*}. */
final class QuantizedCases {
    private static final String WEIGHT = "w";
    private static final String STATE = WEIGHT + ".quant_state.bitsandbytes__";

    private QuantizedCases() {}

    static List<ReferenceCase> of(ReferenceFolder reference) {
        List<ReferenceCase> cases = new ArrayList<>();
        for (Path folder : reference.folders("bnb")) {
            List<Path> files = new ArrayList<>(ReferenceFolder.checkpoint(folder));
            files.add(folder.resolve("golden.safetensors"));
            String name = ReferenceFolder.name(folder) + " logits";
            cases.add(new ReferenceCase("bnb", name, files, near -> logits(near, reference, folder)));
        }
        for (Path file : ReferenceFolder.files(reference.root().resolve("bnb"), "quantize", ".safetensors")) {
            cases.addAll(quantize(file));
        }
        return cases;
    }

    private static void logits(Closeness near, ReferenceFolder reference, Path folder) {
        Path dense = reference.base("", ReferenceFolder.name(folder));
        Path file = folder.resolve("golden.safetensors");
        assertTrue(ReferenceFolder.isFourBit(folder), "the weights are not in 4 bit");
        try (CausalLM model = ReferenceFolder.load(folder);
                ReferenceBatch batch = ReferenceBatch.open(file, dense)) {
            batch.compareLogits(near, "4-bit logits", file, model, ModelCases.FOUR_BIT);
        }
    }

    /** One case for each name of which the file has tensors or the settings beside it speak. */
    private static List<ReferenceCase> quantize(Path file) {
        Path settingsFile = file.resolveSibling(ReferenceFolder.stem(file) + ".json");
        JsonNode settings = TestData.json(settingsFile);
        Set<String> ids = new TreeSet<>();
        settings.fieldNames().forEachRemaining(ids::add);
        try (SafetensorsFile golden = SafetensorsFile.open(file)) {
            golden.names().forEach(name -> ids.add(name.substring(0, name.lastIndexOf('.'))));
        }
        return ids.stream()
                .map(id -> new ReferenceCase(
                        "bnb",
                        ReferenceFolder.stem(file) + " " + id,
                        List.of(file, settingsFile),
                        near -> requireSameBytes(file, id, settings.path(id))))
                .toList();
    }

    private static void requireSameBytes(Path file, String id, JsonNode stated) throws IOException {
        try (SafetensorsFile golden = SafetensorsFile.open(file);
                TensorScope scope = new TensorScope();
                QuantizedTensor weight = QuantizedTensor.quantize(golden.read(id + ".x"), settings(id, stated))) {
            Map<String, Tensor> actual = tensors(weight);
            Set<String> expected = new TreeSet<>();
            golden.names().stream()
                    .filter(name -> name.substring(0, name.lastIndexOf('.')).equals(id))
                    .forEach(name -> expected.add(name.substring(id.length() + 1)));
            expected.remove("x");
            assertEquals(expected, new TreeSet<>(actual.keySet()), "tensors of " + id);
            actual.forEach((name, tensor) -> {
                Tensor wanted = golden.read(id + "." + name);
                assertEquals(Tensors.typeOf(wanted), Tensors.typeOf(tensor), "type of " + name);
                assertArrayEquals(TensorData.bytes(wanted), TensorData.bytes(tensor), name);
            });
        }
    }

    private static QuantSettings settings(String id, JsonNode stated) {
        assertTrue(stated.path("blocksize").isInt(), () -> "no block size for " + id);
        String type = id.substring(0, id.indexOf('.')).toUpperCase(Locale.ROOT);
        boolean nested = stated.hasNonNull("nested_blocksize");
        return new QuantSettings(
                QuantType.valueOf(type), stated.path("blocksize").asInt(), nested);
    }

    /** What a checkpoint would hold and what is read back, by the names of the reference. */
    private static Map<String, Tensor> tensors(QuantizedTensor weight) throws IOException {
        Map<String, Tensor> stored = weight.toCheckpoint(WEIGHT);
        Map<String, Tensor> named = new LinkedHashMap<>();
        named.put("q", stored.get(WEIGHT));
        named.put("absmax", stored.get(WEIGHT + ".absmax"));
        if (weight.settings().doubleQuantization()) {
            named.put("nested_absmax", stored.get(WEIGHT + ".nested_absmax"));
            named.put("nested_map", stored.get(WEIGHT + ".nested_quant_map"));
            Tensor state = stored.get(STATE + weight.settings().type().label());
            double offset = new ObjectMapper()
                    .readTree(TensorData.bytes(state))
                    .path("nested_offset")
                    .asDouble(Double.NaN);
            named.put("offset", Tensors.ofFloats(weight.device(), new float[] {(float) offset}, 1));
        }
        named.put("y", weight.dequantize(weight.dtype()));
        return named;
    }
}
