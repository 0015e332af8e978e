package dev.finetune4j.core.hub;

import static dev.finetune4j.core.hub.FakeHub.breakAfter;
import static dev.finetune4j.core.hub.FakeHub.content;
import static dev.finetune4j.core.hub.FakeHub.ignoreRange;
import static dev.finetune4j.core.hub.FakeHub.status;
import static dev.finetune4j.core.hub.HubFixture.assertModel;
import static dev.finetune4j.core.hub.HubFixture.huggingFace;
import static dev.finetune4j.core.hub.HubFixture.modelScope;
import static dev.finetune4j.core.hub.HubFixture.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Downloads from a hub that answers well and badly. */
@Timeout(30)
class HubDownloadTest extends HubTestCase {
    @Test
    void whatAModelNeedsComesAndTheRestDoesNot() throws IOException {
        List<DownloadProgress> told = new ArrayList<>();
        Path folder = huggingFace(hub, home).listener(told::add).fetch();
        assertModel(hub, folder);
        assertEquals(home.resolve(".cache/huggingface/hub/models--org--tiny/snapshots/" + hub.commit), folder);
        DownloadProgress last = told.get(told.size() - 1);
        assertEquals(DownloadProgress.Phase.DONE, last.phase());
        assertEquals(last.totalBytes(), last.bytes());
        assertEquals(7, last.totalFiles());
        assertEquals(7, last.files());

        int requests = hub.seen.size();
        assertEquals(folder, huggingFace(hub, home).fetch());
        assertEquals(requests, hub.seen.size(), "what the cache has in full is not asked for");
        assertEquals(folder, huggingFace(hub, home).refresh().fetch());
        assertEquals(requests + 1, hub.seen.size(), "a refresh asks what the revision is now, and nothing else");
    }

    @Test
    void aMirrorThatListsNamesAloneServesToo() throws IOException {
        hub.listsNamesAlone = true;
        assertModel(hub, huggingFace(hub, home).fetch());
        assertTrue(hub.seen.stream()
                .noneMatch(seen -> seen.storage() && seen.method().equals("HEAD")));
    }

    @Test
    void theTokenStaysAtTheHub() throws IOException {
        hub.tokenNeeded = FakeHub.TOKEN;
        assertModel(hub, huggingFace(hub, home, "HF_TOKEN", FakeHub.TOKEN).fetch());
        assertModel(
                hub,
                modelScope(hub, home, "MODELSCOPE_API_TOKEN", FakeHub.TOKEN).fetch());
        assertEquals(4, hub.seen.stream().filter(FakeHub.Seen::storage).count());
        for (FakeHub.Seen seen : hub.seen) {
            assertEquals(seen.storage(), !seen.headers().toString().contains(FakeHub.TOKEN), seen.toString());
        }
        assertFalse(huggingFace(hub, home).token(FakeHub.TOKEN).toString().contains(FakeHub.TOKEN));
    }

    @Test
    void aRedirectBackToTheHubDoesNotBringTheTokenBack() throws IOException {
        hub.fault(
                content(SHARD),
                (exchange, bytes) ->
                        status(302, "Location", hub.address() + "/back").answer(exchange, bytes));
        hub.fault(
                seen -> seen.path().equals("/back"),
                (exchange, bytes) -> status(404).answer(exchange, bytes));
        refused(HubException.Reason.MISSING, huggingFace(hub, home).token(FakeHub.TOKEN)::fetch);
        FakeHub.Seen back = hub.seen.stream()
                .filter(seen -> seen.path().equals("/back"))
                .findFirst()
                .orElseThrow();
        assertEquals("", back.header("Authorization"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"file:///etc/passwd", "ftp://127.0.0.1/x", "http://user:pass@127.0.0.1/x", "http://[bad"})
    void strangeRedirectsAreNotFollowed(String target) {
        hub.fault(
                FakeHub.api(),
                status(302, "Location", target),
                status(302, "Location", target),
                status(302, "Location", target));
        refused(HubException.Reason.UNREACHABLE, huggingFace(hub, home)::fetch);
    }

    @Test
    void aRedirectOfTheHubItselfIsFollowed() throws IOException {
        hub.fault(FakeHub.api(), status(307, "Location", "/api/models/org/tiny/revision/" + hub.commit));
        assertModel(hub, huggingFace(hub, home).token(FakeHub.TOKEN).fetch());
        assertEquals("Bearer " + FakeHub.TOKEN, hub.seen.get(1).header("Authorization"));
    }

    @Test
    void redirectsInACircleEnd() {
        FakeHub.Fault circle = status(302, "Location", "/api/models/org/tiny/revision/main");
        FakeHub.Fault[] many = new FakeHub.Fault[40];
        Arrays.fill(many, circle);
        hub.fault(FakeHub.api(), many);
        assertTrue(refused(HubException.Reason.UNREACHABLE, huggingFace(hub, home)::fetch)
                .getMessage()
                .contains("redirects"));
    }

    @Test
    void aConnectionThatBreaksGoesOnWhereItWas() throws IOException {
        hub.fault(content(SHARD), breakAfter(100_000), breakAfter(50_000), status(503), breakAfter(1));
        assertModel(hub, huggingFace(hub, home).fetch());
        List<String> ranges = hub.seen.stream()
                .filter(content(SHARD))
                .map(seen -> seen.header("Range"))
                .toList();
        assertEquals(5, ranges.size());
        assertEquals("", ranges.get(0));
        assertTrue(ranges.get(1).matches("bytes=\\d+-"), ranges.toString());
        assertEquals(ranges.get(2), ranges.get(3), "a status brings no byte");
    }

    @Test
    void aServerThatIgnoresTheRangeBeginsAnew() throws IOException {
        hub.fault(content(SHARD), breakAfter(100_000), ignoreRange());
        assertModel(hub, huggingFace(hub, home).fetch());
    }

    @Test
    void aRangeOfAnotherPlaceIsNotTaken() throws IOException {
        hub.fault(content(SHARD), breakAfter(100_000), (exchange, bytes) -> {
            exchange.getResponseHeaders().set("Content-Range", "bytes 5-" + (bytes.length - 1) + "/" + bytes.length);
            exchange.sendResponseHeaders(206, bytes.length - 5);
            exchange.getResponseBody().write(bytes, 5, bytes.length - 5);
            return true;
        });
        assertModel(hub, huggingFace(hub, home).fetch());
    }

    @Test
    void aSlowDripAndASilentServerArrive() throws IOException {
        hub.fault(content(SHARD), (exchange, bytes) -> {
            exchange.sendResponseHeaders(200, bytes.length);
            OutputStream out = exchange.getResponseBody();
            for (int i = 0; i < 8; i++) {
                out.write(bytes, i * 10, 10);
                out.flush();
                pause(150); // longer than the silence that is borne, taken together
            }
            pause(1500);
            throw new IOException("silent until the client has gone");
        });
        assertModel(hub, huggingFace(hub, home).fetch());
        assertEquals(
                "bytes=80-",
                hub.seen.stream()
                        .filter(content(SHARD))
                        .skip(1)
                        .findFirst()
                        .orElseThrow()
                        .header("Range"));
    }

    @Test
    void moreBytesThanTheFileHasAreNotTaken() throws IOException {
        hub.fault(content(SHARD), (exchange, bytes) -> {
            exchange.sendResponseHeaders(200, bytes.length + 9);
            exchange.getResponseBody().write(bytes);
            exchange.getResponseBody().write(new byte[9]);
            return true;
        });
        assertModel(hub, huggingFace(hub, home).fetch());
    }

    @Test
    void contentOfAnotherHashIsFetchedOnceMoreAndThenRefused() throws IOException {
        FakeHub.Fault changed = (exchange, bytes) -> {
            byte[] other = bytes.clone();
            other[12_345] ^= 1;
            exchange.sendResponseHeaders(200, other.length);
            exchange.getResponseBody().write(other);
            return true;
        };
        hub.fault(content(SHARD), changed);
        assertModel(hub, huggingFace(hub, home).fetch());
        FakeHub.Fault config = (exchange, bytes) -> {
            exchange.sendResponseHeaders(200, bytes.length);
            exchange.getResponseBody().write(new byte[bytes.length]);
            return true;
        };
        hub.fault(seen -> seen.path().endsWith("/config.json"), config, config);
        Path other = home.resolve("other");
        assertTrue(refused(HubException.Reason.DAMAGED, huggingFace(hub, home).cache(other)::fetch)
                .getMessage()
                .contains("config.json"));
        assertFalse(Files.exists(other.resolve("models--org--tiny/snapshots")), "nothing looks complete");
        assertModel(hub, huggingFace(hub, home).cache(other).fetch());
    }

    @ParameterizedTest
    @CsvSource({
        "401, GatedRepo, GATED, agree to its licence",
        "403, GatedRepo, GATED, agree to its licence",
        "401, RepoNotFound, MISSING, see how its id is spelled",
        "401, , FORBIDDEN, HF_TOKEN",
        "403, , FORBIDDEN, HF_TOKEN",
        "404, RepoNotFound, MISSING, see how its id is spelled",
        "404, RevisionNotFound, MISSING, has no revision",
        "404, , MISSING, see how its id is spelled"
    })
    void refusalsAreTypedAndSayWhatHelps(int status, String code, HubException.Reason reason, String help) {
        hub.fault(FakeHub.api(), code == null ? status(status) : status(status, "X-Error-Code", code));
        HubException refusal = refused(reason, huggingFace(hub, home)::fetch);
        assertTrue(refusal.getMessage().contains(help), refusal.getMessage());
        assertTrue(refusal.getMessage().contains(FakeHub.ID), refusal.getMessage());
        assertEquals(1, hub.seen.size(), "no use to ask again");
    }

    @Test
    void aGatedFileIsSaidToBeGated() {
        hub.fault(seen -> seen.path().endsWith(SHARD), status(403, "X-Error-Code", "GatedRepo"));
        refused(HubException.Reason.GATED, huggingFace(hub, home).token(FakeHub.TOKEN)::fetch);
    }

    @Test
    void aBusyHubIsAskedAgainAfterTheTimeItNames() throws IOException {
        hub.fault(FakeHub.api(), status(429, "Retry-After", "1"), status(502));
        long start = System.nanoTime();
        assertModel(hub, huggingFace(hub, home).fetch());
        assertTrue(System.nanoTime() - start > 1_000_000_000L, "Retry-After is heeded");
    }

    @ParameterizedTest
    @CsvSource({"Retry-After, 3600", "RateLimit, '\"api\";r=0;t=3600'"})
    void tooLongAWaitIsTheCallers(String header, String value) {
        hub.fault(FakeHub.api(), status(429, header, value));
        assertTrue(refused(HubException.Reason.RATE_LIMITED, huggingFace(hub, home)::fetch)
                .getMessage()
                .contains("3600 s"));
    }

    @Test
    void aLinkThatHasExpiredIsAskedForAgain() throws IOException {
        hub.fault(content(SHARD), status(403), status(404));
        assertModel(hub, huggingFace(hub, home).fetch());
        hub.fault(content(SHARD), status(403), status(403), status(403));
        HubException refusal = refused(HubException.Reason.UNREACHABLE, huggingFace(hub, home.resolve("b"))::fetch);
        assertTrue(refusal.getMessage().contains("status 403"), refusal.getMessage());
    }

    @Test
    void aHubThatFailsOnAndOnIsGivenUp() {
        hub.fault(content(SHARD), status(500), status(503), status(500), status(500));
        refused(HubException.Reason.UNREACHABLE, huggingFace(hub, home)::fetch);
        assertEquals(3, hub.seen.stream().filter(content(SHARD)).count());
        FakeHub gone = hub;
        gone.close();
        refused(HubException.Reason.UNREACHABLE, huggingFace(hub, home.resolve("b"))::fetch);
    }

    @Test
    void aLoginPageIsNoHub() {
        hub.fault(FakeHub.api(), (exchange, bytes) -> {
            byte[] page = "<html>log in</html>".getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, page.length);
            exchange.getResponseBody().write(page);
            return true;
        });
        assertTrue(refused(HubException.Reason.UNREACHABLE, huggingFace(hub, home)::fetch)
                .getMessage()
                .contains("login page"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"../evil.json", "/etc/passwd", "a/../../b", "a//b", "C:/x", "a\\\\b", "a\\u0000b", "..", ""})
    void namesThatLeadOutOfTheFolderAreRefused(String name) throws IOException {
        hub.extraNames.add(name);
        refused(HubException.Reason.UNUSABLE, huggingFace(hub, home)::fetch);
        try (Stream<Path> left = Files.walk(home)) {
            assertTrue(left.noneMatch(path -> path.toString().contains("evil")));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"../x.safetensors", "sub/x.safetensors", "pytorch_model.bin", "", "absent.safetensors"})
    void anIndexThatNamesOtherThanItsOwnShardsIsRefused(String shard) {
        hub.files.put(
                "model.safetensors.index.json",
                ("{\"weight_map\": {\"w\": \"" + shard + "\"}}").getBytes(StandardCharsets.UTF_8));
        refused(HubException.Reason.UNUSABLE, huggingFace(hub, home)::fetch);
    }

    @ParameterizedTest
    @CsvSource({
        "model.safetensors.index.json, pickle form",
        "tokenizer.json, no tokenizer.json",
        "config.json, no config.json"
    })
    void aRepositoryWithoutWhatAModelNeedsIsRefusedBeforeAnythingIsFetched(String lacking, String said) {
        hub.files.remove(lacking);
        HubException refusal = refused(HubException.Reason.UNUSABLE, huggingFace(hub, home)::fetch);
        assertTrue(refusal.getMessage().contains(said), refusal.getMessage());
        assertEquals(1, hub.seen.size());
    }

    @Test
    void aCommitThatIsNoneIsRefused() {
        hub.commit = "../../../etc";
        refused(HubException.Reason.UNREACHABLE, huggingFace(hub, home)::fetch);
    }

    @Test
    void aDiskWithoutRoomIsSaidBeforeTheDownload() {
        String listing = "{\"sha\": \"" + hub.commit + "\", \"siblings\": [{\"rfilename\": \"config.json\"},"
                + "{\"rfilename\": \"tokenizer.json\"}, {\"rfilename\": \"model.safetensors\", \"lfs\": {\"sha256\": \""
                + "0".repeat(64) + "\", \"size\": " + Long.MAX_VALUE / 2 + "}}]}";
        hub.fault(FakeHub.api(), (exchange, bytes) -> {
            byte[] answer = listing.getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            return true;
        });
        assertTrue(refused(HubException.Reason.DISK, huggingFace(hub, home)::fetch)
                .getMessage()
                .contains("free"));
        assertTrue(hub.seen.stream().noneMatch(FakeHub.Seen::storage));
    }

    @Test
    void cancelAndInterruptEndItAndTheNextCallGoesOn() throws Exception {
        FakeHub.Fault slow = (exchange, bytes) -> {
            exchange.sendResponseHeaders(200, bytes.length);
            exchange.getResponseBody().write(bytes, 0, 200_000);
            exchange.getResponseBody().flush();
            pause(5000);
            return true;
        };
        hub.fault(content(SHARD), slow);
        AtomicBoolean cancelled = new AtomicBoolean();
        HubModel model = huggingFace(hub, home).listener(progress -> cancelled.set(progress.bytes() > 500_000));
        refused(HubException.Reason.CANCELLED, () -> model.fetch(cancelled::get));
        assertFalse(Thread.currentThread().isInterrupted());

        hub.fault(content(SHARD), (exchange, bytes) -> {
            pause(5000);
            return true;
        });
        Thread.currentThread().interrupt();
        refused(HubException.Reason.CANCELLED, huggingFace(hub, home)::fetch);
        assertTrue(Thread.interrupted(), "the flag stays set");

        assertModel(hub, huggingFace(hub, home).fetch());
        assertTrue(
                hub.seen.stream()
                        .filter(content(SHARD))
                        .anyMatch(seen -> seen.header("Range").equals("bytes=200000-")),
                "what had come is not fetched again");
    }

    @Test
    void whatTheListenerThrowsEndsIt() {
        RuntimeException own = new IllegalStateException("own");
        HubModel model = huggingFace(hub, home).listener(progress -> {
            throw own;
        });
        assertSame(own, assertThrows(IllegalStateException.class, model::fetch));
    }

    @Test
    void filesOfTheSameContentComeOnce() throws IOException {
        hub.files.put("model-00002-of-00002.safetensors", hub.files.get(SHARD));
        assertModel(hub, huggingFace(hub, home).fetch());
        assertModel(
                hub,
                huggingFace(hub, home.resolve("b"), "HF_HUB_DISABLE_SYMLINKS", "1")
                        .fetch());
        assertModel(hub, modelScope(hub, home).fetch());
        assertEquals(
                Set.of(3L),
                Set.of(hub.seen.stream()
                        .filter(seen -> seen.storage() && seen.path().contains("safetensors"))
                        .count()));
    }

    static void pause(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
