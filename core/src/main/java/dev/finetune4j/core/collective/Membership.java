package dev.finetune4j.core.collective;

import java.time.Duration;

/**
 * Which process of a training this is, and where it finds the others.
 *
 * @param rank its number, counted from 0
 * @param size how many there are
 * @param address host name or address of rank 0
 * @param port on which the store listens there
 * @param hosted whether something else than rank 0, such as torchrun, provides the store
 * @param joining how long to wait for the others in the beginning
 */
public record Membership(int rank, int size, String address, int port, boolean hosted, Duration joining) {
    /** The store's place, for messages. */
    String place() {
        return address + ":" + port;
    }
}
