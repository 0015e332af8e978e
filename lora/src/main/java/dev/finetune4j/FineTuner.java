package dev.finetune4j;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.hub.ModelSource;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.FreezeSettings;
import dev.finetune4j.lora.adapter.Ia3Settings;
import dev.finetune4j.lora.adapter.LnTuningSettings;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.PTuningSettings;
import dev.finetune4j.lora.adapter.PrefixSettings;
import dev.finetune4j.lora.adapter.PromptTuningSettings;
import dev.finetune4j.lora.adapter.VeraSettings;
import dev.finetune4j.lora.eval.EvalTask;
import dev.finetune4j.lora.objective.AnswerLoss;
import dev.finetune4j.lora.objective.Cpo;
import dev.finetune4j.lora.objective.Kto;
import dev.finetune4j.lora.objective.Orpo;
import dev.finetune4j.lora.objective.PreferenceLoss;
import dev.finetune4j.lora.objective.SimPo;
import dev.finetune4j.lora.objective.WithSft;
import dev.finetune4j.lora.parallel.DataParallel;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.DpoSettings;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.quant.QuantSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Fine-tunes a chat model: choose a model, a method and a data set, then train.
 *
 * <pre>{@code
 * try (FineTunedModel tuned = FineTuner.builder()
 *         .model(Path.of("Yi-1.5-6B-Chat"))
 *         .qlora(q -> q.rank(16).alpha(32))
 *         .dataset(Path.of("identity.json"))
 *         .placeholder("name", "张三")
 *         .training(t -> t.epochs(3).learningRate(1e-4))
 *         .train()) {
 *     tuned.save(Path.of("adapter"));
 *     String answer = tuned.ask("你好,你是谁?");
 * }
 * }</pre>
 *
 * <p>Everything that can be known to be wrong beforehand — settings, config.json, the chat template, the data — is checked
 * before any weight is read. A fine-tuner is immutable and may train several times.
 */
public final class FineTuner {
    private final FineTuning tuning;
    private final Dataset dataset;

    private FineTuner(FineTuning tuning, Dataset dataset) {
        this.tuning = tuning;
        this.dataset = dataset;
    }

    /** Starts with nothing chosen; a model, a method and a data set are required. */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * Trains and waits for the end. An interrupt of the thread ends it as {@link TrainingJob#stop()} does: the model is as the last finished
     * step left it, the report says {@code STOPPED}, and the interrupt flag stays set.
     *
     * @return the tuned model, which the caller closes
     * @throws dev.finetune4j.core.FineTune4jException when something is wrong; the message says what and how to mend it. {@link
     *     dev.finetune4j.core.OutOfDeviceMemoryException} when the plan says that memory will not suffice ({@link
     *     Builder#ignoreMemoryPlan()}), or when it runs out nevertheless: everything is freed then, and a smaller
     *     training can follow
     */
    public FineTunedModel train() {
        return newRun(() -> Thread.currentThread().isInterrupted(), new TrainingListener() {})
                .run();
    }

    /** Starts the training in a thread of its own; what goes wrong there arrives in the job's await and completion. */
    public TrainingJob start() {
        TrainingJob job = TrainingJob.start(
                (cancelled, progress) -> newRun(cancelled, progress).run());
        if (tuning.loaded() != null) {
            tuning.loaded().endWithThis(job);
        }
        return job;
    }

    TrainingRun newRun(BooleanSupplier cancelled, TrainingListener progress) {
        return new TrainingRun(tuning, dataset, cancelled, progress);
    }

    /**
     * The memory that the training will take with its data, in the largest of its batches: {@link #train} plans the same. Of
     * the model's folder config.json and the tokenizer are read, and nothing is loaded.
     *
     * @throws dev.finetune4j.core.FineTune4jException when config.json, the settings, the data or the device do not go
     *     together
     */
    public MemoryPlan plan() {
        return TrainingPlan.open(tuning).of(dataset);
    }

    /**
     * What the model will see of the data: lengths, what is left out or shortened, what the texts hold, and the first rows with
     * their learned tokens marked. Nothing is loaded but the tokenizer. The training's own report has the same.
     *
     * @throws dev.finetune4j.core.FineTune4jException when config.json, the settings or the data do not go together
     */
    public DataReport dataReport() {
        return TrainingPlan.open(tuning).report(dataset);
    }

    /**
     * Collects what is chosen for a fine-tuning. Each choice is made once: a second call is an {@link IllegalStateException},
     * so that none silently takes the place of another. Values are checked together at the end. Not thread-safe.
     */
    public static final class Builder {
        private final TuningChoices choices = new TuningChoices();

        private Builder() {}

        /** The folder of the base model, in Hugging Face's layout. Required, unless the base is given in another way. */
        public Builder model(Path folder) {
            return model(ModelSource.local(Arguments.given(folder, "model(folder)")));
        }

        /**
         * A folder, or the id of a model that a hub's cache on this machine has: {@link ModelSource#of}. Nothing is downloaded unless a
         * setting allows it.
         */
        public Builder model(String name) {
            return model(ModelSource.of(Arguments.given(name, "model(name)")));
        }

        /**
         * The base from wherever it comes, such as {@code ModelSource.modelScope("01ai/Yi-1.5-6B-Chat")}. It is looked up and, where that
         * is needed, downloaded when the training begins; a plan or a report on data fetches the settings and the tokenizer alone.
         */
        public Builder model(ModelSource source) {
            choices.base.source(Arguments.given(source, "model(source)"));
            return this;
        }

        /**
         * A base that is loaded already, in place of a folder: an adapter is trained on it while it answers, and its weights are in
         * memory once. Answers of the base and of its other adapters stay what they are. Device, number format, 4-bit form and chat
         * template are those that it was loaded with.
         *
         * <p>It stays its owner's and has to be open as long as the tuned model is used: closing it ends the training with {@link
         * IllegalStateException}.
         */
        public Builder model(LanguageModel base) {
            choices.base.loaded(Arguments.given(base, "model(base)"));
            return this;
        }

        /** Trains a LoRA adapter on the base as it is. One method is required. */
        public Builder lora(Consumer<LoraSettings.Builder> options) {
            LoraSettings.Builder chosen = LoraSettings.builder();
            Arguments.given(options, "lora(options)").accept(chosen);
            return adapter("lora", chosen::build);
        }

        /** Trains a LoRA adapter on the base in 4 bits: NF4 with double quantization unless {@link #quantize} says otherwise. */
        public Builder qlora(Consumer<LoraSettings.Builder> options) {
            LoraSettings.Builder chosen = LoraSettings.builder();
            Arguments.given(options, "qlora(options)").accept(chosen);
            choices.method.choose("qlora", () -> new TuningMethod.WithAdapter(chosen.build(), QuantSettings.nf4()));
            return this;
        }

        /** QLoRA with its defaults. */
        public Builder qlora() {
            return qlora(options -> {});
        }

        /** Trains factors that rescale keys, values and inner activations, a few thousand values in all: (IA)³. */
        public Builder ia3() {
            return adapter("ia3", Ia3Settings::defaults);
        }

        /** Trains two vectors for each linear, which scale random matrices that all linears share: VeRA. */
        public Builder vera(Consumer<VeraSettings.Builder> options) {
            VeraSettings.Builder chosen = VeraSettings.builder();
            Arguments.given(options, "vera(options)").accept(chosen);
            return adapter("vera", chosen::build);
        }

        /** Trains the weights of the norms alone: LN tuning. */
        public Builder lnTuning() {
            return adapter("lnTuning", LnTuningSettings::defaults);
        }

        /** Trains keys and values that stand before those of the first token in every layer: prefix tuning. */
        public Builder prefixTuning(int virtualTokens) {
            return adapter("prefixTuning", () -> PrefixSettings.of(virtualTokens));
        }

        /** Trains virtual tokens before the first one by way of a small network: P-tuning. */
        public Builder pTuning(int virtualTokens) {
            return adapter("pTuning", () -> PTuningSettings.of(virtualTokens));
        }

        /** Trains virtual tokens before the first one, which start at random: prompt tuning. */
        public Builder promptTuning(int virtualTokens) {
            return adapter("promptTuning", () -> PromptTuningSettings.random(virtualTokens));
        }

        /** Prompt tuning that starts from the tokens of a text which says what the model is to do. */
        public Builder promptTuning(int virtualTokens, String text) {
            Arguments.given(text, "promptTuning(text)");
            return adapter("promptTuning", () -> PromptTuningSettings.fromText(virtualTokens, text));
        }

        /** Trains an adapter of any kind, with all of its settings. */
        public Builder adapter(AdapterSettings settings) {
            Arguments.given(settings, "adapter(settings)");
            return adapter("adapter", () -> settings);
        }

        /**
         * Trains an adapter further, with the settings that it was saved with. What is learned from preferences is compared with a
         * frozen copy of it, as it is in the folder: DPO on top of a supervised fine-tuning.
         *
         * @param folder in PEFT's format; it stays as it is, and where the result is saved says the caller
         */
        public Builder continueAdapter(Path folder) {
            Arguments.given(folder, "continueAdapter(folder)");
            choices.method.choose("continueAdapter", () -> TuningMethod.continuing(folder, choices.base.settings()));
            return this;
        }

        private Builder adapter(String name, Supplier<AdapterSettings> settings) {
            choices.method.adapter(name, settings);
            return this;
        }

        /**
         * Trains the weights of some layers themselves, in float32, and leaves all others as they are: freeze tuning, such as {@code
         * freeze(f -> f.lastLayers(4).extraModules("norm"))}.
         */
        public Builder freeze(Consumer<FreezeSettings.Builder> options) {
            FreezeSettings.Builder chosen = FreezeSettings.builder();
            Arguments.given(options, "freeze(options)").accept(chosen);
            return adapter("freeze", chosen::build);
        }

        /** Trains all weights of the model, kept in float32. */
        public Builder full() {
            choices.method.choose("full", TuningMethod.Full::new);
            return this;
        }

        /** Keeps the base in 4 bits of this form while an adapter is trained; {@link #qlora()} does so by itself, in NF4. */
        public Builder quantize(QuantSettings form) {
            choices.method.quantize(Arguments.given(form, "quantize(form)"));
            return this;
        }

        /** Lets B of a LoRA adapter learn so many times as fast as A (LoRA+); 1 by default, 16 is usual. */
        public Builder loraPlus(double ratio) {
            choices.method.loraPlus(ratio);
            return this;
        }

        /**
         * Learns from preference pairs, towards the chosen and away from the rejected answers, by how much more than the model as it is
         * now the trained one prefers them: direct preference optimization. The rows are pairs, and an adapter is trained.
         */
        public Builder dpo(Consumer<DpoSettings.Builder> options) {
            DpoSettings.Builder chosen = DpoSettings.builder();
            Arguments.given(options, "dpo(options)").accept(chosen);
            return objective("dpo(…)", () -> TuningObjective.loss(chosen.build()));
        }

        /** DPO with its defaults. */
        public Builder dpo() {
            return dpo(options -> {});
        }

        /**
         * Learns the chosen answers of preference pairs and how much likelier than the rejected ones they should be: ORPO, which needs
         * neither a reference nor a supervised fine-tuning before.
         *
         * @param weight of the preference; 0.1 is usual
         */
        public Builder orpo(double weight) {
            return objective("orpo(…)", () -> new Orpo(weight));
        }

        /**
         * Learns from preference pairs by the likelihood per token, without a reference: SimPO.
         *
         * @param beta scale of the margin; 2 to 10
         * @param gamma what the scaled margin should reach; about half of beta
         */
        public Builder simPo(double beta, double gamma) {
            return objective("simPo(…)", () -> new SimPo(beta, gamma));
        }

        /**
         * Learns from preference pairs by the likelihood of whole answers, without a reference, and the chosen answers beside it: CPO.
         *
         * @param beta scale of the margin; 0.1 is usual
         */
        public Builder cpo(double beta) {
            return objective("cpo(…)", () -> new WithSft(new Cpo(beta, 0), 1, AnswerLoss.EACH_ANSWER));
        }

        /**
         * Learns from answers that were judged by themselves, as good or bad: KTO. The rows are judged answers, and an adapter is
         * trained.
         *
         * @param beta strength of the pull towards the model as it is now; 0.1 is usual
         */
        public Builder kto(double beta) {
            return kto(beta, 1, 1);
        }

        /**
         * KTO where good and bad answers do not weigh the same: weights times numbers of both should be about equal.
         *
         * @param desirableWeight weight of a good answer
         * @param undesirableWeight weight of a bad answer
         */
        public Builder kto(double beta, double desirableWeight, double undesirableWeight) {
            return objective("kto(…)", () -> new Kto(beta, desirableWeight, undesirableWeight));
        }

        private Builder objective(String call, Supplier<PreferenceLoss> loss) {
            choices.objective(call, loss);
            return this;
        }

        /** The examples, from a file or a folder of files as {@link Dataset#read(Path)} reads them. A data set is required. */
        public Builder dataset(Path file) {
            choices.dataset(Arguments.given(file, "dataset(file)"), () -> Dataset.read(file));
            return this;
        }

        /** The examples, from memory. */
        public Builder dataset(Dataset examples) {
            choices.dataset(Arguments.given(examples, "dataset(examples)"), () -> examples);
            return this;
        }

        /** Replaces <code>{{name}}</code> in the examples. Every placeholder in the data needs a value. */
        public Builder placeholder(String name, String value) {
            choices.placeholder(
                    Arguments.given(name, "placeholder(name)"), Arguments.given(value, "placeholder(value)"));
            return this;
        }

        /** The name of the chat template; by default it is recognised from the tokenizer's configuration. */
        public Builder chatTemplate(String name) {
            choices.encoding.chatTemplate(Arguments.given(name, "chatTemplate(name)"));
            return this;
        }

        /** The longest example in tokens; by default the model's own limit, at most 2048. */
        public Builder maxSequenceLength(int tokens) {
            choices.encoding.maxSequenceLength(tokens);
            return this;
        }

        /** What happens to longer examples; by default they are an error. */
        public Builder truncation(Truncation policy) {
            choices.encoding.truncation(Arguments.given(policy, "truncation(policy)"));
            return this;
        }

        /** Which tokens of a conversation are learned; by default every answer with its end. */
        public Builder trainOn(TrainOn tokens) {
            choices.encoding.trainOn(Arguments.given(tokens, "trainOn(tokens)"));
            return this;
        }

        /**
         * Keeps encoded examples in a folder, so that the same data need not be encoded again for the same tokenizer, chat template
         * and settings. Rows that are not held in memory are then encoded as a whole before the training, and read from there while
         * it runs. The folder may be deleted at any time, and shared by several processes.
         */
        public Builder encodingCache(Path folder) {
            choices.encoding.cache(Arguments.given(folder, "encodingCache(folder)"));
            return this;
        }

        /**
         * Packs examples into rows of so many tokens before the training, each into the row that it fills up best, and makes
         * such a row the unit of the batch size, as TRL does: a batch of 4 is four rows, an epoch all rows once, and longer
         * examples are treated as {@link #truncation} says. Attention keeps the examples of a row apart, and the loss stays the mean
         * over the target tokens of a step. Rows that are not held in memory are encoded as a whole before, into a temporary file or
         * that of {@link #encodingCache}, since their lengths have to be known.
         *
         * <p>Without it the batch size counts examples: a step holds the same ones on every device, an epoch each once. They
         * lie behind one another in one row there too, so that nothing is computed for padding, where the method allows
         * it; with virtual tokens they are padded, and those of nearly the same length come together.
         */
        public Builder packing(int tokens) {
            choices.encoding.packing(tokens);
            return this;
        }

        /**
         * How it is trained: learning rate, epochs, batches and more, such as {@code training(t -> t.epochs(2).batchSize(4))}.
         * What is left open takes the usual values: of the learning rate those of the method (2e-4 for LoRA and 2e-5 for full
         * fine-tuning of a model of width 4096, more for a narrower and less for a wider one, by the square root of the width;
         * 3e-3 for (IA)³ and LN tuning, 4e-3 for VeRA, 1e-2 for prefix tuning, 1e-3 for P-tuning and 3e-2 for prompt
         * tuning; a tenth of each for preferences, and a third with Lion), of the length 3 epochs, and for small data sets as many as make 60 steps.
         */
        public Builder training(Consumer<TrainingSettings.Builder> settings) {
            Arguments.given(settings, "training(settings)").accept(choices.training());
            return this;
        }

        /** Where to train; by default the first CUDA GPU if there is one, otherwise the CPU. */
        public Builder device(ComputeDevice chosen) {
            choices.compute.device(Arguments.given(chosen, "device(chosen)"));
            return this;
        }

        /**
         * Trains together with other processes, which run the same program on other GPUs or machines; {@code
         * dataParallel(DataParallel.fromEnvironment())} where torchrun or {@link DataParallel#launch} has started them.
         * The batch size is that of each process; a step trains so many times as many examples, and its loss and gradient are those of all of
         * them. Each process trains on the GPU of its local rank unless {@link #device} says otherwise. Only rank 0 tells the listeners
         * anything, and only there {@link FineTunedModel#save} and {@link FineTunedModel#export} write. When a process ends or fails, the
         * others end with a {@link dev.finetune4j.core.RankLostException} that names it.
         */
        public Builder dataParallel(DataParallel processes) {
            choices.compute.dataParallel(Arguments.given(processes, "dataParallel(processes)"));
            return this;
        }

        /** The number format of the computation; by default that in which the device is fastest, see {@link LanguageModel.Loader#precision}. */
        public Builder precision(Precision chosen) {
            choices.compute.precision(Arguments.given(chosen, "precision(chosen)"));
            return this;
        }

        /**
         * How many threads an operation of the training may use on the CPU; by default as many as hold for the process ({@code
         * TorchRuntime.setThreads}). The tuned model answers with the latter.
         */
        public Builder threads(int number) {
            choices.compute.threads(number);
            return this;
        }

        /**
         * Which blocks keep only their input for the backward pass and recompute the rest then, which saves memory and costs
         * time. By default as few as the memory plan finds enough, see {@link #plan()}.
         */
        public Builder activationCheckpointing(ActivationCheckpointing policy) {
            choices.compute.activationCheckpointing(Arguments.given(policy, "activationCheckpointing(policy)"));
            return this;
        }

        /**
         * Keeps the weights of a 4-bit base dense beside their codes while it is trained on a GPU, as many as the
         * {@link #plan()} finds room for: two bytes for each weight, so that nothing is dequantized in the passes. The numbers
         * are the same. Short batches gain most. Without effect on the CPU and on a base that is not in 4 bits.
         */
        public Builder keepDequantized() {
            choices.compute.keepDequantized();
            return this;
        }

        /**
         * Trains even when the {@link #plan()} does not fit, with a warning in the log. By default such a training is refused:
         * on the CPU when the plan does not fit, because there the operating system ends the whole process when memory runs
         * out; on a GPU, where that is an error like others, when what does not depend on the batch is already too much.
         */
        public Builder ignoreMemoryPlan() {
            choices.compute.ignoreMemoryPlan();
            return this;
        }

        /**
         * A task by which the model is measured at each evaluation, as {@link EvalTask#run} does: after each epoch or each
         * {@link TrainingSettings.Builder#evaluationSteps}, with held-out examples or without. Its figure is the metric
         * {@code exam/NAME} of {@code TrainingReport.Evaluation}, with which it goes to listeners and logs. No more is computed at once than takes
         * the memory of a step. Several calls add up.
         */
        public Builder exam(EvalTask task) {
            choices.course.exam(Arguments.given(task, "exam(task)"));
            return this;
        }

        /**
         * Examples that are not trained on, such as one part of {@link Dataset#split}, with their placeholders {@linkplain Dataset#bind bound}. The loss on them is measured at the end of each epoch
         * or each {@link TrainingSettings.Builder#evaluationSteps}, without gradients, in batches of the training's size, and
         * reported to the listeners and in {@code TrainingReport.evaluations}.
         */
        public Builder evaluation(Dataset examples) {
            choices.course.evaluation(Arguments.given(examples, "evaluation(examples)"));
            return this;
        }

        /**
         * Ends the training as {@link TrainingJob#stop()} does when so much time has passed since {@link #train()} or {@link #start()}, reading the
         * model and pauses included; a paused one ends when it is resumed.
         */
        public Builder timeLimit(Duration limit) {
            choices.course.timeLimit(Arguments.given(limit, "timeLimit(limit)"));
            return this;
        }

        /** Writes checkpoints to a folder, at the end of each epoch and on a stop, of which the latest three stay; see the other method. */
        public Builder checkpoints(Path folder) {
            return checkpoints(folder, options -> {});
        }

        /**
         * Writes checkpoints, {@code checkpoint-120} after step 120, from which a later training goes on as if nothing had happened: the
         * adapter (after full fine-tuning the model) in the format that others read, and with it the optimizer's state and where the
         * data, the schedule and the random numbers are. Each appears complete or not at all, and is written while the training goes on; a full disk
         * costs that one and is a warning ({@link TrainingListener#onCheckpoint}).
         *
         * @param folder made if absent; of this training alone
         * @param options such as {@code c -> c.saveSteps(100).saveTotalLimit(2)}
         */
        public Builder checkpoints(Path folder, Consumer<TrainingSettings.CheckpointSettings.Builder> options) {
            choices.course.checkpoints(
                    Arguments.given(folder, "checkpoints(folder)"), Arguments.given(options, "checkpoints(options)"));
            return this;
        }

        /**
         * Goes on from the latest whole checkpoint in the folder of {@link #checkpoints}, and begins anew when there is none: a program that
         * was killed is started again as it is. Base, data and settings must be those of then; epochs, steps and what accompanies the
         * training may change, and so may the number of processes of {@link #dataParallel} if a step holds as many examples as before. With
         * more epochs than before, the steps that are left have the learning rates of a training of the new
         * length. One that has no step left returns what it has trained, and its report says so.
         */
        public Builder resume() {
            choices.course.resume();
            return this;
        }

        /**
         * Goes on from a checkpoint, which has to be there; else as {@link #resume()}.
         *
         * @param folder a checkpoint, or a folder of checkpoints, of which the latest whole one counts
         */
        public Builder resumeFrom(Path folder) {
            choices.course.resumeFrom(Arguments.given(folder, "resumeFrom(folder)"));
            return this;
        }

        /**
         * Takes all settings of an earlier training from the {@code run.json} that lies beside what it saved: method, objective, encoding,
         * training, precision, threads and, unless another was chosen before, the device. Model and data set are given as ever, and
         * checked to be those of then. On the same machine, with the same version of this library, the result is the same bit by bit on the
         * CPU in float32. What {@link #training} says afterwards takes the place of the recorded value.
         *
         * @param run the file, or the folder that it is in
         * @throws dev.finetune4j.core.ModelFileException when there is none, or it was changed
         */
        public Builder repeating(Path run) {
            choices.repeat(Arguments.given(run, "repeating(run)"));
            return this;
        }

        /** Adds somebody who watches, and may stop, evaluate or save. */
        public Builder listener(TrainingListener listener) {
            choices.course.listener(Arguments.given(listener, "listener(listener)"));
            return this;
        }

        /**
         * Checks the settings and reads the data set.
         *
         * @throws SettingsException naming all that is missing or cannot work together
         * @throws dev.finetune4j.data.DatasetException when the data set cannot be read
         */
        public FineTuner build() {
            FineTuning tuning = choices.withData();
            return new FineTuner(tuning, choices.examples());
        }

        /**
         * The memory that a training with these settings takes, for batches of the longest examples that are allowed. Model and
         * method must have been chosen, a data set need not; only config.json is read, and nothing is loaded.
         *
         * @throws SettingsException naming all that is missing or cannot work together
         * @throws dev.finetune4j.core.ModelFileException when config.json cannot be read or is not supported
         * @throws dev.finetune4j.core.DeviceException when the device is absent
         */
        public MemoryPlan plan() {
            return TrainingPlan.open(choices.tuning(List.of())).longest();
        }

        /** Builds the fine-tuner and trains. See {@link FineTuner#train()}. */
        public FineTunedModel train() {
            return build().train();
        }

        /** Builds the fine-tuner and starts it. See {@link FineTuner#start()}. */
        public TrainingJob start() {
            return build().start();
        }
    }
}
