package dev.finetune4j.core.tensor;

import dev.finetune4j.core.DeviceMemory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The memory that Linux lets a process have: the machine's, within the limits of its control groups of
 * <a href="https://docs.kernel.org/admin-guide/cgroup-v2.html">version 2</a> or
 * <a href="https://docs.kernel.org/admin-guide/cgroup-v1/memory.html">version 1</a> and of all groups around them. Pages of
 * files count as free, because the system gives them back; swap does not count: a training would crawl in it.
 *
 * @param root of the file system in which {@code /proc} and {@code /sys} lie
 */
record HostMemory(Path root) {
    private static final long KIB = 1024;

    /** The limits and the use of one group; a file that is absent says nothing. */
    private record Version(List<String> limits, String use, List<String> reclaimable) {}

    private static final Version ONE = new Version(
            List.of("memory.limit_in_bytes"),
            "memory.usage_in_bytes",
            List.of("total_inactive_file", "total_active_file"));
    /** Above {@code memory.high} a process is slowed down until it hardly moves, so that is a limit too. */
    private static final Version TWO = new Version(
            List.of("memory.max", "memory.high"),
            "memory.current",
            List.of("inactive_file", "active_file", "slab_reclaimable"));

    /** What is free and what there is, or nothing where this is no Linux. */
    Optional<DeviceMemory> read() {
        Map<String, Long> machine = numbers(root.resolve("proc/meminfo"));
        Long available = machine.get("MemAvailable");
        Long total = machine.get("MemTotal");
        if (available == null || total == null) {
            return Optional.empty();
        }
        DeviceMemory memory = new DeviceMemory(available * KIB, total * KIB);
        for (String line : lines(root.resolve("proc/self/cgroup"))) {
            // hierarchy:controllers:path
            String[] parts = line.split(":", 3);
            if (parts.length == 3 && parts[1].isEmpty()) {
                memory = within(memory, root.resolve("sys/fs/cgroup"), parts[2], TWO);
            } else if (parts.length == 3 && List.of(parts[1].split(",")).contains("memory")) {
                memory = within(memory, root.resolve("sys/fs/cgroup/memory"), parts[2], ONE);
            }
        }
        return Optional.of(memory);
    }

    /**
     * What a group and those around it leave of some memory. Within a container the path may be the one outside of it, of
     * which nothing is seen but the container's own group at the mount point.
     */
    private static DeviceMemory within(DeviceMemory memory, Path mount, String path, Version version) {
        DeviceMemory least = memory;
        Path group = mount.resolve(path.substring(Math.min(1, path.length()))).normalize();
        while (group != null && group.startsWith(mount)) {
            least = within(least, group, version);
            group = group.getParent();
        }
        return least;
    }

    private static DeviceMemory within(DeviceMemory memory, Path group, Version version) {
        long limit = Long.MAX_VALUE;
        for (String name : version.limits()) {
            Long value = number(group.resolve(name));
            limit = value == null ? limit : Math.min(limit, value);
        }
        Long used = number(group.resolve(version.use()));
        if (limit == Long.MAX_VALUE) {
            return memory;
        }
        Map<String, Long> items = numbers(group.resolve("memory.stat"));
        long files = version.reclaimable().stream()
                .mapToLong(name -> items.getOrDefault(name, 0L))
                .sum();
        long free = used == null ? limit : limit - Math.max(0, used - files);
        return new DeviceMemory(Math.max(0, Math.min(memory.free(), free)), Math.min(memory.total(), limit));
    }

    /** The number in a file; null when it is absent or says {@code max}. */
    private static @Nullable Long number(Path file) {
        List<String> lines = lines(file);
        return lines.isEmpty() ? null : parsed(lines.get(0).strip());
    }

    /** The numbers of a file of names and numbers, such as {@code MemTotal: 16 kB}. */
    private static Map<String, Long> numbers(Path file) {
        Map<String, Long> numbers = new HashMap<>();
        for (String line : lines(file)) {
            String[] words = line.strip().split(":?\\s+", -1);
            Long value = words.length < 2 ? null : parsed(words[1]);
            if (value != null) {
                numbers.put(words[0], value);
            }
        }
        return numbers;
    }

    private static @Nullable Long parsed(String text) {
        try {
            return Long.valueOf(text);
        } catch (NumberFormatException e) {
            return null; // "max", or a number above all that can be
        }
    }

    private static List<String> lines(Path file) {
        try {
            return new ArrayList<>(Files.readAllLines(file));
        } catch (IOException e) {
            return List.of();
        }
    }
}
