package dev.finetune4j.core.hub;

import static dev.finetune4j.core.hub.HubFixture.assertModel;
import static dev.finetune4j.core.hub.HubFixture.environment;
import static dev.finetune4j.core.hub.HubFixture.huggingFace;
import static dev.finetune4j.core.hub.HubFixture.modelScope;
import static dev.finetune4j.core.hub.HubFixture.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.cache.Sha256;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The caches of the hubs: their layouts, what other programs have put there, and where they are. */
@Timeout(30)
class HubCacheTest extends HubTestCase {
    @Test
    void theLayoutIsThatOfHuggingFace() throws IOException {
        Path snapshot = huggingFace(hub, home).fetch();
        Path model = home.resolve(".cache/huggingface/hub/models--org--tiny");
        assertEquals(hub.commit, Files.readString(model.resolve("refs/main")), "without a line break");
        Path link = snapshot.resolve(SHARD);
        String blob = Sha256.hex(hub.files.get(SHARD));
        assertEquals(
                Path.of("../../blobs", blob),
                Files.readSymbolicLink(link),
                "a relative link, by the hash of the content");
        Path nested = snapshot.resolve("additional_chat_templates/tools.jinja");
        assertEquals(
                Path.of("../../../blobs", FakeHub.gitHash(hub.files.get("additional_chat_templates/tools.jinja"))),
                Files.readSymbolicLink(nested));
        try (var blobs = Files.list(model.resolve("blobs"))) {
            assertTrue(blobs.allMatch(path -> path.getFileName().toString().matches("[0-9a-f]{40}|[0-9a-f]{64}")));
        }
        Path moved = Files.move(home.resolve(".cache"), home.resolve("moved"));
        assertModel(hub, moved.resolve("huggingface/hub/models--org--tiny/snapshots/" + hub.commit));
    }

    @Test
    void withoutLinksTheFilesLieInTheSnapshot() throws IOException {
        Path snapshot = huggingFace(hub, home, "HF_HUB_DISABLE_SYMLINKS", "1").fetch();
        assertModel(hub, snapshot);
        assertFalse(Files.isSymbolicLink(snapshot.resolve(SHARD)));
        assertEquals(snapshot, huggingFace(hub, home).offline().fetch());
    }

    /** As huggingface_hub 1.33 leaves it: names of blobs, relative links, and the ref without a line break. */
    private Path writtenByPython(String... names) throws IOException {
        Path model = home.resolve(".cache/huggingface/hub/models--org--tiny");
        Path snapshot = model.resolve("snapshots").resolve(hub.commit);
        Files.createDirectories(model.resolve("blobs"));
        Files.createDirectories(model.resolve("refs"));
        Files.createDirectories(model.resolve(".no_exist").resolve(hub.commit));
        Files.createDirectories(model.resolveSibling(".locks/models--org--tiny"));
        Files.writeString(model.resolve("refs/main"), hub.commit);
        for (String name : names) {
            byte[] bytes = hub.files.get(name);
            String blob = name.endsWith(".safetensors") ? Sha256.hex(bytes) : FakeHub.gitHash(bytes);
            Files.createFile(model.resolveSibling(".locks/models--org--tiny").resolve(blob + ".lock"));
            Files.write(model.resolve("blobs").resolve(blob), bytes);
            Files.createDirectories(snapshot.resolve(name).getParent());
            Files.createSymbolicLink(
                    snapshot.resolve(name),
                    snapshot.resolve(name)
                            .getParent()
                            .relativize(model.resolve("blobs").resolve(blob)));
        }
        return snapshot;
    }

    @Test
    void whatPythonHasFetchedIsUsedWithoutTheNetwork() throws IOException {
        Path snapshot = writtenByPython(hub.files.keySet().toArray(String[]::new));
        assertEquals(snapshot, huggingFace(hub, home, "HF_HUB_OFFLINE", "1").fetch());
        assertEquals(snapshot, huggingFace(hub, home).fetch());
        assertEquals(snapshot, huggingFace(hub, home).revision(hub.commit).fetch());
        assertEquals(Optional.of(snapshot), huggingFace(hub, home).cached());
        assertEquals(0, hub.seen.size());
    }

    @Test
    void whatPythonHasFetchedInPartIsCompleted() throws IOException {
        Path snapshot = writtenByPython("config.json", "tokenizer.json", "model.safetensors.index.json", SHARD);
        HubException refusal =
                refused(HubException.Reason.NOT_CACHED, huggingFace(hub, home).offline()::fetch);
        assertTrue(refusal.getMessage().contains("offline() was called"), refusal.getMessage());
        refused(HubException.Reason.NOT_CACHED, huggingFace(hub, home, "TRANSFORMERS_OFFLINE", "true")::fetch);
        assertEquals(0, hub.seen.size());
        assertEquals(snapshot, huggingFace(hub, home).fetch());
        assertModel(hub, snapshot);
        assertTrue(
                hub.seen.stream().noneMatch(seen -> seen.path().endsWith(SHARD)), "what is there is not fetched again");
    }

    @Test
    void aLinkToABlobThatIsGoneIsMended() throws IOException {
        Path snapshot = huggingFace(hub, home).fetch();
        Files.delete(snapshot.resolve(SHARD).toRealPath());
        assertEquals(snapshot, huggingFace(hub, home).fetch());
        assertModel(hub, snapshot);
    }

    @Test
    void aRefreshFetchesWhatHasChangedAndKeepsTheEarlierState() throws IOException {
        Path first = huggingFace(hub, home).fetch();
        byte[] unchanged = hub.files.get(SHARD);
        hub.files.putAll(FakeHub.model(8, 1000));
        hub.files.put(SHARD, unchanged);
        hub.commit = "f".repeat(40);
        assertEquals(first, huggingFace(hub, home).fetch(), "what is cached is used, though the hub has moved on");
        hub.seen.clear();
        Path second = huggingFace(hub, home).refresh().fetch();
        assertNotEquals(first, second);
        assertModel(hub, second);
        assertTrue(hub.seen.stream().noneMatch(seen -> seen.path().endsWith(SHARD)), "what is unchanged is linked");
        assertEquals(
                first,
                huggingFace(hub, home)
                        .revision("0123456789abcdef0123456789abcdef01234567")
                        .fetch());
    }

    @Test
    void damagedPartsOfEarlierDownloadsAreReplaced() throws IOException {
        Path blobs = home.resolve(".cache/huggingface/hub/models--org--tiny/blobs");
        Files.createDirectories(blobs);
        Path partial = blobs.resolve(Sha256.hex(hub.files.get(SHARD)) + ".finetune4j.incomplete");
        Files.write(partial, new byte[1000]); // not the first bytes of the file
        Path longer =
                blobs.resolve(Sha256.hex(hub.files.get("model-00002-of-00002.safetensors")) + ".finetune4j.incomplete");
        Files.write(longer, new byte[1_000_000]);
        assertModel(hub, huggingFace(hub, home).fetch());
        assertFalse(Files.exists(partial));
        assertFalse(Files.exists(longer));
    }

    @Test
    void aCacheThatCannotBeWrittenIsSaid() throws IOException {
        Path file = Files.createFile(home.resolve("file"));
        refused(HubException.Reason.DISK, huggingFace(hub, home).cache(file.resolve("below"))::fetch);
        refused(HubException.Reason.DISK, modelScope(hub, home).cache(file.resolve("below"))::fetch);
    }

    @Test
    void theLayoutOfModelScopeIsAPlainTree() throws IOException {
        Path folder = modelScope(hub, home).fetch();
        assertEquals(home.resolve(".cache/modelscope/hub/models/org/tiny"), folder);
        assertModel(hub, folder);
        int requests = hub.seen.size();
        assertEquals(folder, modelScope(hub, home).fetch());
        assertEquals(requests, hub.seen.size());
        refused(
                HubException.Reason.NOT_CACHED,
                modelScope(hub, home).revision("v1").offline()::fetch);
    }

    @Test
    void aPlainTreeIsReplacedAsAWhole() throws IOException {
        Path folder = modelScope(hub, home).fetch();
        hub.files.clear();
        hub.files.putAll(FakeHub.model(9, 5000));
        hub.files.keySet().removeIf(name -> name.startsWith("model"));
        hub.files.put("model.safetensors", new byte[77]);
        assertEquals(folder, modelScope(hub, home).refresh().fetch());
        assertModel(hub, folder);
    }

    @Test
    void aTreeWhoseReplacementWasBrokenOffIsNotTakenForWhole() throws IOException {
        Path folder = modelScope(hub, home).fetch();
        Path index = folder.resolve(".finetune4j.json");
        Files.writeString(index, Files.readString(index).replace("\"complete\" : true", "\"complete\" : false"));
        Files.write(folder.resolve(SHARD), new byte[300_001]); // of another revision, of the same size
        refused(HubException.Reason.NOT_CACHED, modelScope(hub, home).offline()::fetch);
        assertModel(hub, modelScope(hub, home).fetch());
    }

    @ParameterizedTest
    @ValueSource(strings = {"models/org/tiny", "org/tiny"})
    void whatModelScopesClientHasFetchedIsUsed(String place) throws IOException {
        Path folder = home.resolve(".cache/modelscope/hub").resolve(place);
        for (Map.Entry<String, byte[]> file : hub.files.entrySet()) {
            Files.createDirectories(folder.resolve(file.getKey()).getParent());
            Files.write(folder.resolve(file.getKey()), file.getValue());
        }
        Files.write(folder.resolve(".msc"), new byte[] {(byte) 0x80, 4, '.'});
        Files.writeString(folder.resolve(".mv"), "Revision:v1.2,CreatedAt:1700000000");
        assertEquals(folder, modelScope(hub, home).offline().fetch());
        assertEquals(folder, modelScope(hub, home).revision("v1.2").offline().fetch());
        refused(
                HubException.Reason.NOT_CACHED,
                modelScope(hub, home).revision("v1.3").offline()::fetch);
        Files.delete(folder.resolve("tokenizer.json"));
        assertEquals(folder, modelScope(hub, home).fetch());
        assertEquals(0, hub.seen.stream().filter(FakeHub.Seen::storage).count(), "what is there is not fetched again");
    }

    @Test
    void dotsOfAModelsNameAreUnderscoresInModelScopesTree() {
        HubModel model = new HubModel(new ModelScope(), "01ai/Yi-1.5-6B-Chat", environment(home));
        Repository repository = new Repository(
                new ModelScope(), model.name(), "master", hub.address(), null, home.resolve("c"), environment(home));
        assertEquals(home.resolve("c/models/01ai/Yi-1___5-6B-Chat"), new PlainCache(repository).folder());
    }

    @ParameterizedTest
    @CsvSource({
        "'', '', '', '', .cache/huggingface/hub",
        "'', '', '', xdg, xdg/huggingface/hub",
        "'', '', hf, xdg, hf/hub",
        "'', legacy, hf, '', legacy",
        "cache, legacy, hf, xdg, cache",
        "~/c, '', '', '', c",
        "$X/c, '', '', '', x/c"
    })
    void theCacheIsWhereTheVariablesSay(String cache, String legacy, String hfHome, String xdg, String expected) {
        HubEnvironment environment = environment(
                home,
                "HF_HUB_CACHE",
                at(cache),
                "HUGGINGFACE_HUB_CACHE",
                at(legacy),
                "HF_HOME",
                at(hfHome),
                "XDG_CACHE_HOME",
                at(xdg),
                "X",
                home.resolve("x").toString());
        assertEquals(home.resolve(expected), new HuggingFace().cache(environment));
    }

    private String at(String name) {
        return name.isEmpty() || name.startsWith("~") || name.startsWith("$")
                ? name
                : home.resolve(name).toString();
    }

    @Test
    void tokensComeFromTheUsualPlaces() throws IOException {
        HuggingFace hf = new HuggingFace();
        assertEquals(null, hf.token(environment(home)));
        Files.createDirectories(home.resolve(".cache/huggingface"));
        Files.writeString(home.resolve(".cache/huggingface/token"), "of_file\n");
        assertEquals("of_file", hf.token(environment(home)).value());
        assertEquals(
                "of_env", hf.token(environment(home, "HF_TOKEN", " of_env ")).value());
        assertEquals(
                "old",
                hf.token(environment(home, "HUGGING_FACE_HUB_TOKEN", "old")).value());
        Path elsewhere = Files.writeString(home.resolve("t"), "elsewhere");
        assertEquals(
                "elsewhere",
                hf.token(environment(home, "HF_TOKEN_PATH", elsewhere.toString()))
                        .value());
        assertEquals(null, hf.token(environment(home, "HF_TOKEN", "x", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")));
        assertEquals("***", new AccessToken(FakeHub.TOKEN).toString());
        IllegalArgumentException refusal = assertThrows(
                IllegalArgumentException.class, () -> huggingFace(hub, home).token("a\nb: " + FakeHub.TOKEN));
        assertFalse(refusal.getMessage().contains(FakeHub.TOKEN));
    }

    @ParameterizedTest
    @CsvSource({
        "'', '', https://huggingface.co, https://www.modelscope.cn",
        "https://hf-mirror.com/, www.modelscope.ai, https://hf-mirror.com, https://www.modelscope.ai",
        "http://proxy:81/hf, http://127.0.0.1:9, http://proxy:81/hf, http://127.0.0.1:9"
    })
    void theAddressesAreThoseOfTheVariables(String hf, String domain, String expectedHf, String expectedModelScope) {
        HubEnvironment environment = environment(home, "HF_ENDPOINT", hf, "MODELSCOPE_DOMAIN", domain);
        assertEquals(expectedHf, new HuggingFace().endpoint(environment).toString());
        assertEquals(expectedModelScope, new ModelScope().endpoint(environment).toString());
    }

    @ParameterizedTest
    @ValueSource(strings = {"ftp://x", "x", "https://user:secret@x", "https://x?token=secret", "http://[x"})
    void noAddressIsRefused(String address) {
        HubEnvironment environment = environment(home, "HF_ENDPOINT", address);
        IllegalArgumentException refusal =
                assertThrows(IllegalArgumentException.class, () -> new HuggingFace().endpoint(environment));
        assertFalse(refusal.getMessage().contains("user:secret"), refusal.getMessage());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "a/b/c", "../x", "a/..", "a--b/c", "/a", "a/", "a b", "org/x.git", "org/.x", "org/x\n"})
    void noIdIsRefused(String id) {
        assertThrows(IllegalArgumentException.class, () -> ModelSource.huggingFace(id));
        assertThrows(IllegalArgumentException.class, () -> ModelSource.modelScope(id));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "..", "a/../b", "/a", "a//b", "a b", "-x", "a?x=1", "a#b"})
    void noRevisionIsRefused(String revision) {
        assertThrows(
                IllegalArgumentException.class,
                () -> ModelSource.huggingFace("a/b").revision(revision));
    }

    @Test
    void aNameIsAFolderThenACachedModelAndNeverTheNetworkByItself() throws IOException {
        HubEnvironment none = environment(home);
        HubException refusal =
                refused(HubException.Reason.NOT_CACHED, () -> NameLookup.fetch(FakeHub.ID, none, HubModel::fetch));
        assertTrue(refusal.getMessage().contains("ModelSource.huggingFace(\"org/tiny\")"), refusal.getMessage());
        Path ofModelScope = modelScope(hub, home).fetch();
        assertEquals(ofModelScope, NameLookup.fetch(FakeHub.ID, none, HubModel::fetch));
        Path ofHuggingFace = huggingFace(hub, home).fetch();
        assertEquals(ofHuggingFace, NameLookup.fetch(FakeHub.ID, none, HubModel::fetch));
        HubEnvironment modelScope = new HubEnvironment(none.variables(), home, "ModelScope", HubFixture.QUICK);
        assertEquals(ofModelScope, NameLookup.fetch(FakeHub.ID, modelScope, HubModel::fetch));
        assertEquals(home, NameLookup.fetch(home.toString(), none, HubModel::fetch));
        assertEquals(Path.of("no/such/folder"), NameLookup.fetch("no/such/folder", none, HubModel::fetch));
        HubEnvironment wrong = new HubEnvironment(none.variables(), home, "hugging", HubFixture.QUICK);
        assertThrows(IllegalArgumentException.class, () -> NameLookup.fetch(FakeHub.ID, wrong, HubModel::fetch));
    }

    @Test
    void aSettingAllowsTheDownloadOfAName() throws IOException {
        for (String setting : new String[] {"huggingface", "modelscope"}) {
            HubEnvironment.Variables variables = name -> switch (name) {
                case "HF_ENDPOINT", "MODELSCOPE_DOMAIN" -> hub.address().toString();
                default -> null;
            };
            Path own = home.resolve(setting);
            HubEnvironment allowing = new HubEnvironment(variables, own, setting, HubFixture.QUICK);
            Path folder = NameLookup.fetch(FakeHub.ID, allowing, HubModel::fetch);
            assertModel(hub, folder);
            assertTrue(folder.startsWith(own.resolve(".cache").resolve(setting)), folder.toString());
        }
        assertTrue(new String(hub.files.get("config.json"), StandardCharsets.UTF_8).contains("llama"));
    }

    @Test
    void settingsComeWithoutTheWeightsWhichJoinThemLater() throws IOException {
        for (HubModel model : new HubModel[] {huggingFace(hub, home), modelScope(hub, home)}) {
            hub.seen.clear();
            Path settings = model.fetchSettings();
            assertTrue(Files.isRegularFile(settings.resolve("config.json")));
            assertTrue(Files.isRegularFile(settings.resolve("additional_chat_templates/tools.jinja")));
            assertFalse(Files.exists(settings.resolve("model.safetensors.index.json")), "which would promise weights");
            assertEquals(
                    0,
                    hub.seen.stream()
                            .filter(seen -> seen.path().endsWith(SHARD))
                            .count());
            assertEquals(settings, model.offline().fetchSettings());
            refused(HubException.Reason.NOT_CACHED, model.offline()::fetch);
            Path whole = model.fetch();
            assertModel(hub, whole);
            assertEquals(whole, model.offline().fetchSettings());
        }
        assertEquals(
                FakeHub.ID, ModelSource.local(huggingFace(hub, home).fetch()).name());
        assertEquals("a/b", ModelSource.local(Path.of("a/b")).name());
    }
}
