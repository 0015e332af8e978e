package dev.finetune4j;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.collective.Membership;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.EmbeddingNoise;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.Threads;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.EncodedDataset;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.objective.ReferenceScores;
import dev.finetune4j.lora.parallel.DataParallel;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Expectations;
import dev.finetune4j.lora.train.loop.ListenerSet;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.quant.kernel.DequantizedCopies;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** One run of a fine-tuning: opens the model's folder, checks, encodes, plans, loads and trains, in this order. */
final class TrainingRun {
    private final FineTuning tuning;
    private final Dataset dataset;
    private final ComputeDevice device;
    private final BooleanSupplier cancelled;
    private final List<TrainingListener> all;
    private final ListenerSet listeners;
    private final long began = System.nanoTime();
    private Communicator ranks = Communicator.alone();

    /**
     * @param cancelled whether to stop before the next micro-batch
     * @param progress hears of each step after the listeners of the fine-tuning
     */
    TrainingRun(FineTuning tuning, Dataset dataset, BooleanSupplier cancelled, TrainingListener progress) {
        this.tuning = tuning;
        this.dataset = dataset;
        this.device = tuning.compute().chosenDevice();
        this.cancelled = cancelled;
        this.all =
                new ArrayList<>(tuning.compute().rank() == 0 ? tuning.course().listeners() : List.of());
        all.add(progress);
        this.listeners = new ListenerSet(all);
    }

    FineTunedModel run() {
        listeners.enter(TrainingListener.Phase.READING_DATA);
        try {
            return checkedRun();
        } finally {
            listeners.enter(TrainingListener.Phase.ENDED);
        }
    }

    private FineTunedModel checkedRun() {
        TorchRuntime.require(device);
        DataParallel parallel = tuning.compute().parallel();
        if (parallel == null) {
            return openAndRun();
        }
        try (Communicator joined = Communicator.join(membership(parallel), device)) {
            ranks = joined;
            try {
                return openAndRun();
            } catch (RuntimeException | Error e) {
                ranks.fail(e);
                throw e;
            }
        }
    }

    private static Membership membership(DataParallel place) {
        return new Membership(
                place.rank(),
                place.worldSize(),
                place.masterAddress(),
                place.masterPort(),
                place.agentStore(),
                place.joinTimeout());
    }

    private FineTunedModel openAndRun() {
        try (Threads.Share share = Threads.share(tuning.compute().threads())) {
            LanguageModel loaded = tuning.loaded();
            PretrainedFolder folder = loaded == null ? PretrainedFolder.open(fetched()) : loaded.folder();
            AdapterSettings adapter = tuning.method().adapter();
            if (adapter != null) {
                AdapterKinds.check(adapter, folder.moduleNames());
            }
            return loaded == null ? run(folder, Tokenizer.load(folder.path())) : run(loaded);
        }
    }

    /** The folder of the base, downloaded if need be. */
    private Path fetched() {
        if (!tuning.base().isFolder()) {
            listeners.enter(TrainingListener.Phase.FETCHING_MODEL);
            tuning.base().folder(cancelled);
            listeners.enter(TrainingListener.Phase.READING_DATA);
        }
        return tuning.base().folder();
    }

    /** Trains on a base that others use too: it is closed neither here nor with the tuned model. */
    private FineTunedModel run(LanguageModel loaded) {
        // Whoever closes it waits for the end of this use, which comes before the next micro-batch.
        try (Lifetime.Use use = loaded.model().use()) {
            return run(loaded.folder(), loaded.encoder(), () -> loaded);
        }
    }

    /** @param tokenizer the tuned model's, or closed when there is none */
    FineTunedModel run(PretrainedFolder folder, Tokenizer tokenizer) {
        try {
            ChatEncoder encoder =
                    BaseLoading.encoder(folder, tokenizer, tuning.encoding().chatTemplate());
            return run(folder, encoder, () -> LanguageModel.load(loading(), folder, tokenizer, encoder));
        } catch (RuntimeException | Error e) {
            tokenizer.close();
            throw e;
        }
    }

    private FineTunedModel run(PretrainedFolder folder, ChatEncoder encoder, Supplier<LanguageModel> source) {
        try (RunCheckpoints checkpoints = RunCheckpoints.open(tuning.course().checkpoints(), ranks.isFirst())) {
            return run(folder, encoder, source, checkpoints);
        }
    }

    private FineTunedModel run(
            PretrainedFolder folder, ChatEncoder encoder, Supplier<LanguageModel> source, RunCheckpoints checkpoints) {
        LanguageModel base = null;
        MemoryPlan plan = null;
        try {
            TrainingPlan planner = new TrainingPlan(tuning, folder, device, ranks.localSize());
            EncodedDataset data = planner.encode(dataset, encoder);
            BatchLoader batches = planner.loader(data);
            Dataset apart = tuning.course().heldOut();
            EncodedDataset heldOut = apart == null ? null : planner.encode(apart, encoder);
            TrainingSettings settings = planner.settings(batches);
            plan = checkpoints.plan(planner, data, batches, settings);
            tuning.compute().memory().training(plan, device);
            RunRecord record = RunRecord.of(planner, data, settings, plan);
            if (tuning.course().repeated() != null) {
                record.requireRepeats(tuning.course().repeated());
            }
            record.requireSame(ranks);
            checkpoints.requireSame(record, batches.stepsPerEpoch());
            listeners.enter(TrainingListener.Phase.LOADING_MODEL);
            if (tuning.method().adapter() != null) {
                AdapterKinds.prepare(tuning.method().adapter(), device);
            }
            try (Rehearsal rehearsal = rehearsal(planner, data, settings, plan)) {
                base = source.get();
            }
            BatchLoader judged = heldOut == null ? null : planner.loader(heldOut);
            return train(base, new Batches(data, batches, heldOut, judged), record, plan, checkpoints);
        } catch (RuntimeException | Error e) {
            if (base != null && base != tuning.loaded()) {
                base.close();
            }
            if (e instanceof RuntimeException failure) {
                throw TrainingPlan.advised(MemoryErrors.typed(failure, device, "preparing the training"), plan);
            }
            throw e;
        }
    }

    /** One for the time in which a model is read; null where it is there already. */
    private @Nullable Rehearsal rehearsal(
            TrainingPlan planner, EncodedDataset data, TrainingSettings settings, MemoryPlan plan) {
        return tuning.loaded() != null || data.isLazy() || !Rehearsal.fitsBeside(plan)
                ? null
                : Rehearsal.begin(tuning, planner.folder(), loading(), planner.loader(data), settings, plan);
    }

    private BaseLoading loading() {
        return BaseLoading.forTraining(device, tuning.compute().precision(), tuning.method());
    }

    /**
     * The data of a training.
     *
     * @param data all examples
     * @param loader deals them out
     * @param heldOut examples to evaluate; null for none
     * @param judged deals them out
     */
    private record Batches(
            EncodedDataset data,
            BatchLoader loader,
            @Nullable EncodedDataset heldOut,
            @Nullable BatchLoader judged) {
        /** Remembers what the reference of a preference training says of the examples of which it is asked more than once. */
        ReferenceScores referenceScores(TrainingSettings settings) {
            int steps = loader.stepsPerEpoch();
            boolean again = settings.totalSteps(steps) > steps && !data.isLazy();
            return new ReferenceScores(
                    again ? data.examples() : List.of(),
                    heldOut == null || heldOut.isLazy() ? List.of() : heldOut.examples());
        }
    }

    private FineTunedModel train(
            LanguageModel base, Batches batches, RunRecord record, MemoryPlan plan, RunCheckpoints checkpoints) {
        TrainingSettings settings = record.settings().training();
        TuningMethod method = tuning.method();
        Adapter adapter = method.adapter() == null ? null : begin(base, method.adapter(), settings.seed());
        try (DequantizedCopies copies = DequantizedCopies.of(
                        base.model().linears().values(),
                        base.model().placement(),
                        plan.bytes().dequantized());
                Adapter frozen = frozen(base);
                ReferenceScores known = tuning.objective().sequences() > 1
                        ? batches.referenceScores(settings)
                        : new ReferenceScores(List.of(), List.of())) {
            CausalLM model = noisy(adapter == null ? base.model() : adapter.view(), settings);
            Trainer trainer = new Trainer(
                            model.withActivations(plan.activations()),
                            adapter == null
                                    ? Parameter.named(model.parameters())
                                    : adapter.peft().trainable(),
                            method.groups(settings),
                            batches.loader(),
                            settings,
                            all,
                            this::isOver)
                    .minimizing(tuning.objective()
                            .of(frozen == null ? base.model() : frozen.view(), model, method, ranks, known))
                    .among(ranks)
                    .expecting(expected(base.model(), batches.data()))
                    .savingBy(folder -> save(base, adapter, folder));
            if (batches.judged() != null) {
                trainer.evaluating(batches.judged());
            }
            if (!tuning.course().exams().isEmpty()) {
                trainer.examining(new Exams(
                        tuning.course().exams(), base, adapter, batches.loader().largestBatch(1)));
            }
            checkpoints.connect(trainer, base, adapter, record);
            TrainingReport report = trainer.run();
            if (isLoadedBaseClosing()) {
                throw new IllegalStateException(
                        "the model was closed during the training; keep it open until the job has ended");
            }
            return new FineTunedModel(
                    base,
                    base != tuning.loaded(),
                    adapter,
                    report,
                    record.content(RunResult.of(report)),
                    ranks.isFirst());
        } catch (RuntimeException | Error e) {
            if (adapter != null) {
                adapter.close();
            }
            throw e;
        }
    }

    private static CausalLM noisy(CausalLM model, TrainingSettings settings) {
        double alpha = settings.neftuneNoiseAlpha();
        return alpha == 0 ? model : model.withNoise(new EmbeddingNoise(alpha));
    }

    private static void save(LanguageModel base, @Nullable Adapter adapter, Path folder) {
        if (adapter != null) {
            adapter.save(folder);
        } else {
            base.export(folder, ModelFormat.huggingFace(base.model().placement().precision()));
        }
    }

    /** Whether to end before the next micro-batch; waits while the training is paused. */
    private boolean isOver() {
        return cancelled.getAsBoolean() || isLate() || isLoadedBaseClosing();
    }

    private boolean isLoadedBaseClosing() {
        return tuning.loaded() != null && tuning.loaded().isClosing();
    }

    private boolean isLate() {
        Duration limit = tuning.course().timeLimit();
        return limit != null && System.nanoTime() - began >= limit.toNanos();
    }

    /** The adapter before the first step: a new one, or the one whose training goes on. */
    private Adapter begin(LanguageModel base, AdapterSettings settings, long seed) {
        Path continued = tuning.method().continued();
        if (continued != null) {
            return Adapter.load(base, continued);
        }
        InitSources sources = new InitSources(seed, base.folder().files()::weights, base.encoder()::encodeText);
        return new Adapter(base, AdapterKinds.create(base.model(), settings, sources));
    }

    /** What the trained adapter is compared with, as it was before the training; null where that is the base, or nothing. */
    private @Nullable Adapter frozen(LanguageModel base) {
        Path continued = tuning.method().continued();
        return continued != null && tuning.objective().needsReference() ? Adapter.load(base, continued) : null;
    }

    private Expectations expected(CausalLM base, EncodedDataset data) {
        ModelConfig config = base.config();
        return new Expectations(
                yardstick(base),
                data::report,
                UsualSettings.rate(tuning, config),
                UsualSettings.highestRate(tuning, config));
    }

    /** The base, where the model does not answer as it does before anything is trained. */
    private @Nullable CausalLM yardstick(CausalLM base) {
        return tuning.method().virtualTokens() == 0 ? null : base;
    }
}
