package dev.finetune4j.benchmarks;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.decode.CpuDecoder;
import dev.finetune4j.core.decode.CudaGraphDecoder;
import dev.finetune4j.core.decode.TokenDecoder;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.io.IOException;
import java.util.Arrays;
import java.util.Locale;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * Times greedy decoding behind a prompt, by a captured CUDA graph or the kernels of the CPU ({@code static}) and by the ordinary pass
 * on a growing cache ({@code dynamic}). One line of JSON for each cell, with the keys that the comparison with Python uses.
 *
 * <p>Arguments: {@code --device cuda --precision bf16 --preset 6b --methods qlora,lora --cache static,dynamic --adapters
 * false,true,experts --batch 1,8 --prompt 128 --new 128}. {@code true} is LoRA on all linears besides experts, {@code experts} LoRA of
 * rank 8 on all experts of each layer too. The CPU takes one sequence.
 */
public final class DecodeCells {
    private static final int ROUNDS = 3;
    private static final double BITS_OF_WEIGHT = 4.127;

    private final RandomModel shape;
    private final String method;
    private final String adapters;
    private final CausalLM model;
    private final int prompt;
    private final int tokens;

    private DecodeCells(RandomModel shape, String method, String adapters, CausalLM model, int prompt, int tokens) {
        this.shape = shape;
        this.method = method;
        this.adapters = adapters;
        this.model = model;
        this.prompt = prompt;
        this.tokens = tokens;
    }

    public static void main(String[] args) throws IOException {
        RandomModel shape = RandomModel.of(option(args, "--preset", "6b"));
        int prompt = Integer.parseInt(option(args, "--prompt", "128"));
        int tokens = Integer.parseInt(option(args, "--new", "128"));
        ComputeDevice device =
                option(args, "--device", "cuda").equals("cpu") ? ComputeDevice.cpu() : ComputeDevice.cuda(0);
        Precision precision =
                Precision.valueOf(option(args, "--precision", "bf16").toUpperCase(Locale.ROOT));
        Placement placement = new Placement(device, precision);
        for (String method : option(args, "--methods", "qlora").split(",", -1)) {
            LinearFactory factory =
                    method.equals("qlora") ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
            try (CausalLM base = shape.load(factory, placement)) {
                for (String adapters : option(args, "--adapters", "false").split(",", -1)) {
                    try (PeftAdapter adapter = AdapterKinds.create(base, settings(adapters), InitSources.seed(1))) {
                        CausalLM model = adapters.equals("false") ? base : adapter.attachTo(base);
                        new DecodeCells(shape, method, adapters, model, prompt, tokens).cells(args);
                    }
                }
            }
        }
    }

    private static LoraSettings settings(String adapters) {
        return adapters.equals("experts")
                ? LoraSettings.builder()
                        .rank(8)
                        .targetModules(TargetModules.allLinear())
                        .targetParameters("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
                        .build()
                : LoraSettings.defaults();
    }

    private void cells(String[] args) {
        for (String cache : option(args, "--cache", "static,dynamic").split(",", -1)) {
            for (String batch : option(args, "--batch", onGpu() ? "1,8" : "1").split(",", -1)) {
                cell(cache.equals("static"), Integer.parseInt(batch));
            }
        }
    }

    private boolean onGpu() {
        return model.placement().device().kind() == ComputeDevice.Kind.CUDA;
    }

    private static String option(String[] args, String name, String usual) {
        for (int i = 0; i + 1 < args.length; i++) {
            if (args[i].equals(name)) {
                return args[i + 1];
            }
        }
        return usual;
    }

    private void cell(boolean captured, int batch) {
        try (KvCache cache = model.newCache();
                TokenDecoder decoder =
                        onGpu() ? new CudaGraphDecoder(model, cache, batch) : new CpuDecoder(model, cache)) {
            if (onGpu()) {
                CudaMemory.resetPeak(ComputeDevice.cuda(0));
            }
            double[] millis = new double[ROUNDS + 1];
            for (int round = 0; round <= ROUNDS; round++) {
                cache.truncate(0);
                long first = prefill(model, shape, cache, batch, prompt);
                millis[round] = captured ? stepped(decoder, batch, first) : plain(cache, batch, first);
            }
            // The first round compiles and records.
            double[] timed = Arrays.copyOfRange(millis, 1, millis.length);
            Arrays.sort(timed);
            print(captured, batch, timed[ROUNDS / 2]);
        }
    }

    /** Takes up random prompts; returns the likeliest next token of the first. */
    static long prefill(CausalLM model, RandomModel shape, KvCache cache, int batch, int prompt) {
        SplittableRandom random = new SplittableRandom(7);
        long[] ids = random.longs((long) batch * prompt, 3, shape.vocabulary).toArray();
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor hidden = model.hidden(ModelInput.cached(model.tokens(ids, batch, prompt), cache));
            Tensor last = model.logits(hidden.narrow(1, prompt - 1L, 1));
            return Tensors.toLongs(last.reshape(batch, -1).select(0, 0).argmax())[0];
        }
    }

    /** Milliseconds of a token. */
    private double stepped(TokenDecoder decoder, int batch, long first) {
        if (decoder instanceof CudaGraphDecoder captured) {
            return captured(captured, batch, first);
        }
        long next = first;
        long begin = System.nanoTime();
        for (int i = 0; i < tokens; i++) {
            try (TensorScope scope = new TensorScope()) {
                next = Tensors.toLongs(decoder.feed(next).argmax())[0];
            }
        }
        return (System.nanoTime() - begin) / 1e6 / tokens;
    }

    private double captured(CudaGraphDecoder decoder, int batch, long first) {
        long[] start = new long[batch];
        Arrays.fill(start, first);
        decoder.reserve(prompt + tokens + 2L);
        decoder.feed(start);
        decoder.feedArgmax();
        CudaMemory.synchronize();
        long begin = System.nanoTime();
        for (int i = 0; i < tokens; i++) {
            decoder.feedArgmax();
        }
        decoder.argmax(tokens);
        return (System.nanoTime() - begin) / 1e6 / tokens;
    }

    private double plain(KvCache cache, int batch, long first) {
        long[] next = new long[batch];
        Arrays.fill(next, first);
        if (onGpu()) {
            CudaMemory.synchronize();
        }
        long begin = System.nanoTime();
        for (int i = 0; i < tokens; i++) {
            try (TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                Tensor hidden = model.hidden(ModelInput.cached(model.tokens(next, batch, 1), cache));
                next = Tensors.toLongs(model.logits(hidden)
                        .reshape(batch, -1)
                        .argmax(new org.bytedeco.pytorch.LongOptional(-1), false));
            }
        }
        return (System.nanoTime() - begin) / 1e6 / tokens;
    }

    private void print(boolean captured, int batch, double millis) {
        double head = (double) shape.vocabulary * shape.hidden;
        double linear = shape.linearWeights();
        double bytes = linear * (method.equals("qlora") ? BITS_OF_WEIGHT / 8 : 2) + head * 2;
        System.out.printf(
                Locale.ROOT,
                "{\"part\": \"decode\", \"provider\": \"finetune4j\", \"preset\": \"%s\", \"method\": \"base of %s\","
                        + " \"cache\": \"%s\", \"batch\": %d, \"prompt\": %d, \"new\": %d, \"adapters\": %s,"
                        + " \"ms_token\": %.4f, \"tokens_per_s\": %.1f, \"peak_alloc_gib\": %.2f,"
                        + " \"weight_stream_gb_s\": %.0f}%n",
                shape.label,
                method,
                captured ? "static" : "dynamic",
                batch,
                prompt,
                tokens,
                adapters.equals("experts") ? "\"experts\"" : adapters,
                millis,
                batch / millis * 1e3,
                onGpu() ? CudaMemory.of(ComputeDevice.cuda(0)).peak() / (double) (1 << 30) : 0,
                bytes / millis / 1e6);
    }
}
