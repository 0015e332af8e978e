package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Right and wrong files: the table of the fixtures, and a list of what the format forbids. */
class SafetensorsCasesTest {
    private static final Path CASES = TestData.resource("io/safetensors-bad");

    @TempDir
    private Path folder;

    @BeforeAll
    static void start() {
        TorchRuntime.start();
    }

    static Stream<String> cases() {
        return StreamSupport.stream(
                ((Iterable<String>) () -> TestData.json(CASES.resolve("expected.json"))
                                .path("cases")
                                .fieldNames())
                        .spliterator(),
                false);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void everyCaseOfTheTable(String name) {
        check(CASES, name);
    }

    @Test
    void everyCaseOfTheSharedTable() {
        Path table = Needs.shared("fixtures/safetensors-bad");
        Set<String> names = Set.copyOf(TestData.json(table.resolve("expected.json")).path("cases").properties().stream()
                .map(java.util.Map.Entry::getKey)
                .toList());
        assertTrue(names.size() >= 30, names.toString());
        names.forEach(name -> check(table, name));
    }

    private static void check(Path table, String name) {
        JsonNode expected =
                TestData.json(table.resolve("expected.json")).path("cases").path(name);
        if (expected.path("may_accept").asBoolean()) {
            return;
        }
        if (expected.path("result").asText().equals("error")) {
            ModelFileException e = assertThrows(ModelFileException.class, () -> readAll(table.resolve(name)), name);
            assertTrue(e.getMessage().contains(name.replace("/", "")), e.getMessage());
            return;
        }
        try (TensorScope scope = new TensorScope();
                WeightSource source = open(table.resolve(name))) {
            JsonNode values = expected.path("values");
            values.properties().forEach(entry -> assertValues(entry.getValue(), source.read(entry.getKey())));
            JsonNode tensors = expected.path("tensors");
            assertEquals(
                    tensors.isMissingNode() ? values.size() : tensors.size(),
                    source.names().size());
            tensors.properties().forEach(entry -> {
                JsonNode tensor = entry.getValue();
                TensorInfo info = source.info(entry.getKey());
                long[] shape = StreamSupport.stream(tensor.path("shape").spliterator(), false)
                        .mapToLong(JsonNode::asLong)
                        .toArray();
                assertEquals(tensor.path("dtype").asText(), info.dtype().name());
                assertArrayEquals(shape, info.shape());
                assertArrayEquals(shape, source.read(entry.getKey()).shape());
                assertValues(tensor.path("values"), source.read(entry.getKey()));
            });
            expected.path("metadata")
                    .properties()
                    .forEach(entry -> assertEquals(
                            entry.getValue().asText(),
                            ((SafetensorsFile) source).metadata().get(entry.getKey())));
        }
    }

    private static void assertValues(JsonNode values, Tensor tensor) {
        Tensor doubles = tensor.to(ScalarType.Double).view(-1);
        assertEquals(values.size(), doubles.numel());
        for (int i = 0; i < values.size(); i++) {
            assertEquals(values.get(i).asDouble(), doubles.get(i).item_double());
        }
    }

    private static WeightSource open(Path path) {
        return Files.isDirectory(path) ? FolderWeights.open(path) : SafetensorsFile.open(path);
    }

    private static void readAll(Path path) {
        try (WeightSource source = open(path);
                TensorScope scope = new TensorScope()) {
            source.names().forEach(source::read);
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4]},'a':{'dtype':'F32','shape':[1],"
                        + "'data_offsets':[0,4]}}                                            | 4 | stands twice",
                "{'a':{'dtype':'F32','dtype':'F32','shape':[1],'data_offsets':[0,4]}}        | 4 | stands twice",
                "{'__metadata__':{'k':'1','k':'2'}}                                          | 0 | stands twice",
                "{'a':{'dtype':'F32','shape':[1],'data_offsets':[4,8]}}                      | 8 | tensor a",
                "{'a':{'dtype':'F32','shape':[9223372036854775807,4],'data_offsets':[0,0]}}  | 0 | no possible size",
                "{'a':{'dtype':'F32','shape':[9223372036854775808],'data_offsets':[0,0]}}    | 0 | 9223372036854775808",
                "{'a':{'dtype':'U8','shape':[4294967296,4294967296],'data_offsets':[0,0]}}   | 0 | no possible size",
                "{'a':{'dtype':'F32','shape':[2305843009213693952],'data_offsets':[0,0]}}    | 0 | no possible size",
                "{'a':{'dtype':'F4','shape':[3],'data_offsets':[0,2]}}                       | 2 | no whole number",
                "{'a':{'dtype':'F32','data_offsets':[0,4]}}                                  | 4 | needs dtype",
                "{'a':{'dtype':'F32','shape':[1]}}                                           | 4 | needs dtype",
                "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4,4]}}                    | 4 | two numbers",
                "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0]}}                        | 4 | two numbers",
                "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4.0]}}                    | 4 | integers",
                "{'a':{'dtype':'F32','shape':[1],'data_offsets':[-4,0]}}                     | 4 | integers",
                "{'a':{'dtype':'F32','shape':1,'data_offsets':[0,4]}}                        | 4 | shape of tensor a",
                "{'a':{'dtype':'F32','shape':['1'],'data_offsets':[0,4]}}                    | 4 | integers",
                "{'a':{'dtype':'f32','shape':[1],'data_offsets':[0,4]}}                      | 4 | unknown dtype",
                "{'a':{'dtype':7,'shape':[1],'data_offsets':[0,4]}}                          | 4 | dtype of tensor a",
                "{'a':[1]}                                                                   | 0 | tensor a",
                "{'a':null}                                                                  | 0 | tensor a",
                "{'__metadata__':{'k':1}}                                                    | 0 | __metadata__.k",
                "{'__metadata__':'pt'}                                                       | 0 | __metadata__",
                "{'__metadata__':{'k':{}}}                                                   | 0 | __metadata__.k",
                "` {}`                                                                       | 0 | first byte",
                "{}{}                                                                        | 0 | follows",
                "{} null}                                                                    | 0 | follows",
                "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4],},}                    | 4 | JSON",
                "{'\\ud800':{'dtype':'U8','shape':[1],'data_offsets':[0,1]}}                 | 1 | surrogate",
                "{}                                                                          | 1 | follow the header"
            })
    void forbidden(String header, int dataBytes, String expected) throws IOException {
        Path file = Files.write(
                folder.resolve("case.safetensors"), Fixtures.file(header.replace('\'', '"'), new byte[dataBytes]));
        String message = assertThrows(ModelFileException.class, () -> SafetensorsFile.open(file))
                .getMessage();
        assertTrue(message.contains("case.safetensors") && message.contains(expected), message);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{'b':{'dtype':'U8','shape':[2],'data_offsets':[3,5]},'a':{'dtype':'U8','shape':[3],"
                        + "'data_offsets':[0,3]}}                                           | 5 | b,a",
                "{'a':{'later':{'x':[1,{}]},'dtype':'U8','shape':[1],'data_offsets':[0,1]}} | 1 | a",
                "{'a':{'dtype':'F32','shape':[0,4294967296],'data_offsets':[0,0]}}          | 0 | a",
                "{'a':{'data_offsets':[0,1],'shape':[1,1,1,1,1,1,1],'dtype':'I8'}}          | 1 | a",
                "{'a':{'dtype':'F8_E4M3','shape':[3],'data_offsets':[0,3]}}                 | 3 | a",
                "`{ 'a' : {'dtype':'U8', 'shape':[1], 'data_offsets':[0, 1]} }   `          | 1 | a",
                "{'':{'dtype':'U8','shape':[1],'data_offsets':[0,1]}}                       | 1 | ``"
            })
    void allowed(String header, int dataBytes, String names) throws IOException {
        Path file = Files.write(
                folder.resolve("case.safetensors"), Fixtures.file(header.replace('\'', '"'), new byte[dataBytes]));
        try (SafetensorsFile opened = SafetensorsFile.open(file);
                TensorScope scope = new TensorScope()) {
            assertEquals(names, String.join(",", opened.names()));
            for (String name : opened.names()) {
                TensorInfo info = opened.info(name);
                assertArrayEquals(new byte[(int) info.bytes()], TensorData.bytes(opened.read(name)));
            }
        }
    }

    @Test
    void paddingOtherThanSpacesIsRefused() throws IOException {
        for (String padding : new String[] {"\0", "\n", "\t"}) {
            Path file = Files.write(folder.resolve("case.safetensors"), Fixtures.file("{}" + padding));
            assertThrows(ModelFileException.class, () -> SafetensorsFile.open(file));
        }
    }

    @Test
    void deepNestingEndsInAMessage() throws IOException {
        String deep = "{\"a\":{\"x\":" + "[".repeat(200_000) + "]".repeat(200_000) + "}}";
        Path file = Files.write(folder.resolve("case.safetensors"), Fixtures.file(deep));
        assertThrows(ModelFileException.class, () -> SafetensorsFile.open(file));
    }

    @Test
    void otherFormatsAreRecognised() throws IOException {
        Path file = folder.resolve("model.safetensors");
        Files.writeString(file, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n");
        assertMessage(file, "Git LFS pointer");
        Files.writeString(file, "<!DOCTYPE html><html><body>404 not found</body></html>");
        assertMessage(file, "HTML");
        Files.writeString(file, "PK\u0003\u0004 archive/data.pkl");
        assertMessage(file, "zip archive");
        assertMessage(folder, "is no file");
        assertMessage(folder.resolve("none.safetensors"), "does not exist");
    }

    private static void assertMessage(Path file, String expected) {
        String message = assertThrows(ModelFileException.class, () -> SafetensorsFile.open(file))
                .getMessage();
        assertTrue(message.contains(expected) && message.contains(file.toString()), message);
    }

    @Test
    void packedFormatsAreListedButNotRead() throws IOException {
        Path file = Files.write(
                folder.resolve("f4.safetensors"),
                Fixtures.file("{\"q\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", new byte[2]));
        try (SafetensorsFile opened = SafetensorsFile.open(file)) {
            assertEquals(2, opened.info("q").bytes());
            String message = assertThrows(ModelFileException.class, () -> opened.read("q"))
                    .getMessage();
            assertTrue(message.contains("tensor q") && message.contains("F4"), message);
            assertThrows(ModelFileException.class, () -> opened.read("other"));
        }
    }

    @Test
    void infoKeepsItsShape() {
        TensorInfo info = new TensorInfo("a", Dtype.F32, new long[] {2}, 0, 8);
        info.shape()[0] = 9;
        assertArrayEquals(new long[] {2}, info.shape());
        assertEquals(new TensorInfo("a", Dtype.F32, new long[] {2}, 0, 8), info);
        assertEquals(new TensorInfo("a", Dtype.F32, new long[] {2}, 0, 8).hashCode(), info.hashCode());
        assertArrayEquals(new float[0], Tensors.toFloats(emptyTensor()));
    }

    private static Tensor emptyTensor() {
        try (SafetensorsFile file = SafetensorsFile.open(CASES.resolve("valid_02_empty_tensor.safetensors"))) {
            return file.read("e");
        }
    }
}
