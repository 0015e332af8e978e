/**
 * Several processes that train one model together: each computes the gradients of its own part of a batch, and a collective operation
 * adds them up. {@link dev.finetune4j.core.collective.Communicator} is what a training sees of it.
 *
 * <p>Three things are kept apart. Ranks find each other by way of a {@linkplain dev.finetune4j.core.collective.Rendezvous store} on
 * the address and the port that they all were given. Tensors are added by a {@link dev.finetune4j.core.collective.ProcessGroup}: Gloo on
 * the CPU, NCCL on GPUs. What the hosts agree on between two steps, and whether all are still there, goes through plain connections
 * around rank 0 ({@link dev.finetune4j.core.collective.Peers}): they tell at once that a process has ended, which the collectives do
 * not, and they may wait for hours while a training is paused, which the collectives must not.
 *
 * <p>Nothing here contacts the network unless a communicator of more than one rank is opened. What ranks say to each other is not
 * encrypted, and whoever reaches the store can read and write it, as with torchrun: the address belongs into a network that is
 * trusted. The connections around rank 0 begin with a secret that is in the store; any other caller is refused with a line in the log,
 * and once all ranks have come nobody listens there.
 */
@NullMarked
package dev.finetune4j.core.collective;

import org.jspecify.annotations.NullMarked;
