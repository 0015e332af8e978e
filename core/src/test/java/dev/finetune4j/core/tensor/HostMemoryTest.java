package dev.finetune4j.core.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.DeviceMemory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HostMemoryTest {
    private static final long GIB = 1L << 30;

    @TempDir
    private Path root;

    @BeforeEach
    void aMachineWithSixteenOfTwentyFourGibibytesAvailable() throws IOException {
        write("proc/meminfo", """
                MemTotal:       25165824 kB
                MemFree:         1048576 kB
                MemAvailable:   16777216 kB
                SwapFree:       67108864 kB
                """);
    }

    private void write(String name, String text) throws IOException {
        Path file = root.resolve(name);
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
    }

    private DeviceMemory memory() {
        return new HostMemory(root).read().orElseThrow();
    }

    @Test
    void cachesOfTheSystemAreFreeAndSwapIsNot() {
        assertEquals(new DeviceMemory(16 * GIB, 24 * GIB), memory());
    }

    @Test
    void aSystemThatSaysNothingHasNoAnswer() {
        assertTrue(new HostMemory(root.resolve("elsewhere")).read().isEmpty());
    }

    @Test
    void aContainerOfVersionTwoHasItsLimitAndItsFilesAreFree() throws IOException {
        write("proc/self/cgroup", "0::/\n");
        write("sys/fs/cgroup/memory.max", 4 * GIB + "\n");
        write("sys/fs/cgroup/memory.high", "max\n");
        write("sys/fs/cgroup/memory.current", 3 * GIB + "\n");
        write("sys/fs/cgroup/memory.stat", """
                anon %d
                file %d
                shmem 0
                inactive_file %d
                active_file %d
                slab_reclaimable 0
                """.formatted(GIB, 2 * GIB, GIB, GIB));
        assertEquals(new DeviceMemory(3 * GIB, 4 * GIB), memory());
        write("sys/fs/cgroup/memory.high", 2 * GIB + "\n");
        assertEquals(new DeviceMemory(GIB, 2 * GIB), memory());
    }

    @Test
    void theGroupsAroundAGroupCountToo() throws IOException {
        write("proc/self/cgroup", "0::/slice/service\n");
        write("sys/fs/cgroup/slice/service/memory.max", 8 * GIB + "\n");
        write("sys/fs/cgroup/slice/service/memory.current", GIB + "\n");
        write("sys/fs/cgroup/slice/memory.max", 12 * GIB + "\n");
        write("sys/fs/cgroup/slice/memory.current", 10 * GIB + "\n");
        assertEquals(new DeviceMemory(2 * GIB, 8 * GIB), memory(), "others of the slice hold nine");
    }

    @Test
    void versionOneIsFoundByItsPathAndInsideAContainerAtItsMount() throws IOException {
        write("proc/self/cgroup", "12:cpu,cpuacct:/box/7\n4:memory:/box/7\n0::/\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("sys/fs/cgroup/memory/memory.usage_in_bytes", 9 * GIB + "\n");
        write("sys/fs/cgroup/memory/box/7/memory.limit_in_bytes", 6 * GIB + "\n");
        write("sys/fs/cgroup/memory/box/7/memory.usage_in_bytes", 5 * GIB + "\n");
        write(
                "sys/fs/cgroup/memory/box/7/memory.stat",
                "inactive_file 7\ntotal_inactive_file " + GIB + "\ntotal_active_file " + GIB + "\n");
        assertEquals(new DeviceMemory(3 * GIB, 6 * GIB), memory());
        write("proc/self/cgroup", "4:memory:/seen/only/outside\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", 10 * GIB + "\n");
        assertEquals(new DeviceMemory(GIB, 10 * GIB), memory());
    }

    @Test
    void aGroupAboveItsLimitLeavesNothing() throws IOException {
        write("proc/self/cgroup", "0::/\n");
        write("sys/fs/cgroup/memory.max", GIB + "\n");
        write("sys/fs/cgroup/memory.current", 2 * GIB + "\n");
        assertEquals(new DeviceMemory(0, GIB), memory());
    }
}
