package dev.finetune4j.core.collective;

import org.bytedeco.pytorch.Tensor;

/** The only rank. */
enum Alone implements Communicator {
    INSTANCE;

    @Override
    public int rank() {
        return 0;
    }

    @Override
    public int size() {
        return 1;
    }

    @Override
    public int localSize() {
        return 1;
    }

    @Override
    public void sum(Tensor values) {}

    @Override
    public void broadcast(Tensor values) {}

    @Override
    public long[] exchange(long mine) {
        return new long[] {mine};
    }

    @Override
    public void requireAll() {}

    @Override
    public void fail(Throwable reason) {}

    @Override
    public void close() {}
}
