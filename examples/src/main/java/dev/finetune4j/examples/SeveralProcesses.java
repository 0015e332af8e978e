package dev.finetune4j.examples;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.lora.parallel.DataParallel;
import java.nio.file.Path;

/**
 * Data parallel: the identity of the quick start, learned by several processes of this machine at once, each on a GPU of its own where
 * there are GPUs. It starts itself as often as it is told to, or is started by torchrun.
 */
public final class SeveralProcesses {
    private SeveralProcesses() {}

    /**
     * Starts the processes; in each of them, trains.
     *
     * @param args the number of processes, by default 2, and the folder for the adapter, by default {@code several-processes-output}
     */
    public static void main(String[] args) throws InterruptedException {
        if (!DataParallel.isLaunched()) {
            int count = args.length > 0 ? Integer.parseInt(args[0]) : 2;
            System.exit(DataParallel.launch(count, SeveralProcesses.class, args, Terminal.out()));
        }
        train(Path.of(args.length > 1 ? args[1] : "several-processes-output"), DataParallel.fromEnvironment());
    }

    private static void train(Path folder, DataParallel processes) {
        try (FineTunedModel tuned = FineTuner.builder()
                .model(Bundled.baseModel())
                .lora(l -> l.rank(16).alpha(32))
                .dataset(Bundled.identityDataset())
                .placeholder("name", "张三")
                .placeholder("author", "某某公司")
                // Of each process: a step trains two times as many examples with two of them.
                .training(t -> t.batchSize(4))
                .dataParallel(processes)
                .train()) {
            tuned.save(folder); // rank 0 alone writes
            if (processes.isFirst()) {
                Terminal.out().println(tuned.ask("你是谁?"));
            }
        }
    }
}
