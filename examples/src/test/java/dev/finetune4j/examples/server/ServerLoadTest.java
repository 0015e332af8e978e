package dev.finetune4j.examples.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.Precision;
import dev.finetune4j.examples.Bundled;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Many clients at once get the answers that each gets alone, and leave nothing behind. */
class ServerLoadTest {
    private static final Logger LOG = LoggerFactory.getLogger(ServerLoadTest.class);
    private static final boolean LONG = Boolean.getBoolean("finetune4j.long");
    private static final double MOST_GROWTH_MIB = 48;

    @TempDir
    private Path folder;

    @Test
    void everyAnswerIsTheOneGivenAlone() throws Exception {
        try (ModelServer server = ModelServer.start(ServerSettings.builder("base")
                .address(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .maxRequests(LONG ? 256 : 12)
                .build())) {
            server.load(() -> LanguageModel.loader(Bundled.baseModel())
                    .precision(Precision.FP32)
                    .load());
            List<String> models = new ArrayList<>(List.of("base"));
            for (int i = 0; i < (LONG ? 8 : 2); i++) {
                Path adapter = RandomAdapters.write(folder.resolve("a" + i), Bundled.baseModel(), 0.3, i);
                server.loadAdapter("a" + i, adapter);
                models.add("a" + i);
            }
            ServerLoad load = new ServerLoad(server.address(), LONG ? 64 : 16, 0);
            List<ServerLoad.Known> known = load.alone(models, 5);
            long different =
                    known.stream().map(ServerLoad.Known::text).distinct().count();
            assertTrue(different > known.size() / 2, different + " different answers");
            ServerLoad.Seen seen = load.run(known, LONG ? 64 : 16, LONG ? 60 : 2, 1);
            LOG.info("{}", seen);
            assertEquals(List.of(), seen.wrong(), seen::toString);
            assertEquals(0, seen.ties(), "in float32 there are none");
            assertTrue(seen.answers() > seen.clients(), seen::toString);
            assertTrue(LONG ? seen.busy() == 0 : seen.busy() > 0, seen::toString);
            assertTrue(!LONG || seen.rss()[1] - seen.rss()[0] < MOST_GROWTH_MIB, seen::toString);
        }
    }
}
