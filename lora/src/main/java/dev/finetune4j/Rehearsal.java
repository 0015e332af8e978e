package dev.finetune4j;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.WarmUpPasses;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Trains a small model of the same shapes on a GPU while the real one is read from its file, in a thread of its own: the first
 * steps of a process would else wait seconds for kernels to be compiled and loaded, and for the JVM to compile what enqueues
 * them. It takes less memory than the training itself, and is over when that begins.
 */
final class Rehearsal implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Rehearsal.class);
    private static final int VOCABULARY = 8192;
    private static final int MOST_STEPS = 100;
    /** One over the share of a training's memory that has to be free beside it. */
    private static final int ROOM = 8;

    private final FineTuning tuning;
    private final AdapterSettings adapter;
    private final PretrainedFolder folder;
    private final BaseLoading loading;
    private final BatchLoader batches;
    private final TrainingSettings settings;
    private final ActivationCheckpointing activations;
    private final Thread thread = new Thread(this::train, "finetune4j rehearsal");
    private final Thread hook = new Thread(this::end, "finetune4j rehearsal end");
    private volatile boolean over;

    private Rehearsal(
            FineTuning tuning,
            AdapterSettings adapter,
            PretrainedFolder folder,
            BaseLoading loading,
            BatchLoader batches,
            TrainingSettings settings,
            ActivationCheckpointing activations) {
        this.tuning = tuning;
        this.adapter = adapter;
        this.folder = folder;
        this.loading = loading;
        this.batches = batches;
        this.settings = settings;
        this.activations = activations;
    }

    /**
     * Whether the memory lets one run while the model is loaded. Weights, and what a pass over two blocks takes, are less than the
     * training's own peak; the two blocks themselves and the small vocabulary come on top. Dense copies of 4-bit weights are made later.
     */
    static boolean fitsBeside(MemoryPlan plan) {
        long peak = plan.peak() - plan.bytes().dequantized();
        return peak + peak / ROOM <= plan.memory().free();
    }

    /**
     * Begins one, if it is an adapter that is trained, and on a GPU.
     *
     * @param loading of the model that is to be trained
     * @param batches have the shapes of the training's first ones; the rehearsal's own
     * @param plan of the training, which {@linkplain #fitsBeside leaves room}
     * @return what ends it; null where there is none
     */
    static @Nullable Rehearsal begin(
            FineTuning tuning,
            PretrainedFolder folder,
            BaseLoading loading,
            BatchLoader batches,
            TrainingSettings settings,
            MemoryPlan plan) {
        AdapterSettings adapter = tuning.method().adapter();
        if (adapter == null || tuning.compute().chosenDevice().kind() != ComputeDevice.Kind.CUDA) {
            return null;
        }
        Rehearsal rehearsal = new Rehearsal(tuning, adapter, folder, loading, batches, settings, plan.activations());
        rehearsal.thread.setDaemon(true);
        // A library must not be at work while its process ends.
        Runtime.getRuntime().addShutdownHook(rehearsal.hook);
        rehearsal.thread.start();
        return rehearsal;
    }

    /** What fails here fails in the training too, or does not matter to it. */
    private void train() {
        try (CausalLM small = loading.miniature(folder, VOCABULARY);
                PeftAdapter trained = AdapterKinds.create(small, adapter, InitSources.seed(settings.seed()))) {
            CausalLM view = trained.attachTo(small).withActivations(activations);
            new WarmUpPasses(
                            view,
                            trained.trainable(),
                            tuning.method().groups(settings),
                            tuning.objective().of(small, view, tuning.method(), Communicator.alone(), null),
                            settings)
                    .run(batches, MOST_STEPS, () -> over);
        } catch (RuntimeException e) {
            LOG.debug("the first steps have to do without rehearsal: {}", e.toString());
        } finally {
            CudaMemory.emptyCache();
        }
    }

    private void end() {
        over = true;
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Ends it after the step that it is at. */
    @Override
    public void close() {
        end();
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            LOG.debug("the process ends");
        }
    }
}
