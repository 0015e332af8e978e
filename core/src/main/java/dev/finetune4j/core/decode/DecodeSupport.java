package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.AttentionSpec;
import dev.finetune4j.core.kernel.CpuExpertGemv;
import dev.finetune4j.core.kernel.DecodeAttention;
import dev.finetune4j.core.kernel.DecodeKernels;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.FusedGemv;
import dev.finetune4j.core.kernel.NormSpec;
import dev.finetune4j.core.kernel.RouterSpec;
import dev.finetune4j.core.kernel.RowProducts;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.DecoderBlock;
import dev.finetune4j.core.nn.DenseEmbedding;
import dev.finetune4j.core.nn.GatedMlp;
import dev.finetune4j.core.nn.HeadNorm;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.MixtureOfExperts;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.nn.PlainMlp;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.RotaryEmbedding;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The step of a model, or why there is none: what the model and its blocks say of themselves, against what the kernels say of
 * themselves.
 *
 * @param step null when something is not supported
 * @param reason what, as the end of a sentence; empty with a step
 */
record DecodeSupport(@Nullable DecodeStep step, String reason) {
    private static DecodeSupport none(String reason) {
        return new DecodeSupport(null, reason);
    }

    /**
     * What a set of kernels makes of a model on its device.
     *
     * @param wanted the set
     * @param elsewhere the reason when the model's device has another one, or none
     */
    static DecodeSupport of(CausalLM model, Class<? extends DecodeKernels> wanted, String elsewhere) {
        return of(model, wanted, elsewhere, DecodeSupport::gemv);
    }

    /**
     * As {@link #of(CausalLM, Class, String)}.
     *
     * @param products how linears of one input are computed
     */
    static DecodeSupport of(
            CausalLM model, Class<? extends DecodeKernels> wanted, String elsewhere, ProductsFactory products) {
        ScalarType type = Tensors.typeOf(model.placement().precision());
        if (!DeviceKernels.supports(type)) {
            return none("it computes in " + type);
        }
        return DeviceKernels.of(model.placement().device())
                .decode(type)
                .filter(wanted::isInstance)
                .map(kernels -> of(model, kernels, products))
                .orElseGet(() -> none(elsewhere));
    }

    private static DecodeSupport of(CausalLM model, DecodeKernels kernels, ProductsFactory products) {
        try (Lifetime.Use use = model.use()) {
            return new DecodeSupport(new DecodeStep(kernels, new Assembly(kernels, products).parts(model)), "");
        } catch (UnsupportedPartException e) {
            return none(e.reason);
        }
    }

    /** How linears of one input are computed. */
    @FunctionalInterface
    interface ProductsFactory {
        /** Null when they have no common kernel. */
        @Nullable
        RowProducts of(List<Named<Linear>> linears, ScalarType type);
    }

    /** By the kernels for few rows. */
    static @Nullable RowProducts gemv(List<Named<Linear>> linears, ScalarType type) {
        try (TensorScope scope = new TensorScope()) {
            List<Linear.Rescaled> forms = new ArrayList<>();
            for (Named<Linear> linear : linears) {
                Linear.Rescaled form = linear.module().rescaled(type);
                // What several share cannot be rescaled for one of them.
                if (form == null || (form.input() != null && linears.size() > 1)) {
                    return null;
                }
                forms.add(form);
            }
            FusedGemv products = FusedGemv.of(
                    forms.stream().map(Linear.Rescaled::weight).collect(Collectors.toCollection(ArrayList::new)));
            if (products == null || forms.stream().allMatch(Linear.Rescaled::isPlain)) {
                return products;
            }
            return new RescaledProducts(
                    products, linears.stream().map(Named::module).toList(), type);
        }
    }

    /** Says which part has no decode kernel. */
    private static final class UnsupportedPartException extends RuntimeException {
        private static final long serialVersionUID = 1;

        private final String reason;

        UnsupportedPartException(String reason) {
            super(reason, null, false, false);
            this.reason = reason;
        }
    }

    /** Puts a step together, part by part, as each part describes itself. */
    private record Assembly(DecodeKernels kernels, ProductsFactory factory) {
        DecodeStep.Parts parts(CausalLM model) {
            DenseEmbedding embedding = embedding(model);
            List<RotaryEmbedding> rotaries = new ArrayList<>();
            List<DecodeStep.Layer> layers = new ArrayList<>();
            for (int i = 0; i < model.blocks().size(); i++) {
                RotaryEmbedding rotary = model.rotary(i);
                if (!rotaries.contains(rotary)) {
                    rotaries.add(rotary);
                }
                int window = model.config().layerTypes().get(i).window();
                layers.add(layer(model.blocks().get(i), window, rotaries.indexOf(rotary)));
            }
            return new DecodeStep.Parts(
                    embedding.weight(),
                    rounded(embedding.scale()),
                    List.copyOf(rotaries),
                    List.copyOf(layers),
                    norm(model.norm()),
                    products(List.of(new Named<>("lm_head", model.head()))),
                    model.config().finalLogitSoftcapping(),
                    model.config().logitsScaling());
        }

        private DenseEmbedding embedding(CausalLM model) {
            if (model.embedding() instanceof DenseEmbedding embedding
                    && Tensors.typeOf(embedding.weight()) == kernels.type()
                    && embedding.weight().is_contiguous()) {
                return embedding;
            }
            throw new UnsupportedPartException("its embedding is adapted or of another type");
        }

        /** As the type of the activations holds it, which is what the published models multiply by. */
        private float rounded(double scale) {
            try (TensorScope scope = new TensorScope()) {
                Tensor one = Tensors.ones(ComputeDevice.cpu(), kernels.type(), 1);
                return Tensors.toFloats(one.mul_(Tensors.scalar(scale)))[0];
            }
        }

        private FeedForwardStep feedForward(DecoderBlock block) {
            if (block.mlp() instanceof MixtureOfExperts mixture) {
                if (block.isParallel()) {
                    throw new UnsupportedPartException("its experts are beside attention");
                }
                return experts(mixture, block.mlpNorms());
            }
            if (block.mlp() instanceof PlainMlp mlp) {
                return new FeedForwardStep.Plain(
                        products(mlp.up().linears()),
                        mlp.activation(),
                        products(mlp.down().linears()));
            }
            GatedMlp mlp = (GatedMlp) block.mlp();
            return new FeedForwardStep.Dense(
                    products(mlp.gateAndUp().linears()),
                    mlp.activation(),
                    products(mlp.down().linears()));
        }

        private FeedForwardStep experts(MixtureOfExperts mixture, DecoderBlock.Norms norms) {
            RouterSpec router = mixture.router().module().spec();
            refuse(kernels.unsupportedReason(router));
            MixtureOfExperts.Gemv gemv = kernels.choosesOnHost() ? oneByOne(mixture) : mixture.gemv(kernels.type());
            if (gemv == null) {
                throw new UnsupportedPartException(
                        "its experts have no common GEMV kernel: they lie apart, are of another type or adapted one by one");
            }
            if (norms.after() != null) {
                throw new UnsupportedPartException("it has a norm behind its experts");
            }
            GatedMlp first = mixture.experts().get(0);
            return new FeedForwardStep.Experts(
                    router, gemv, inner(first), first.activation(), shared(mixture.shared()));
        }

        /** The experts by products of their own; null where one has none. */
        private MixtureOfExperts.@Nullable Gemv oneByOne(MixtureOfExperts mixture) {
            List<RowProducts> inputs = new ArrayList<>();
            List<RowProducts> outputs = new ArrayList<>();
            for (GatedMlp expert : mixture.experts()) {
                RowProducts gateAndUp = gemv(expert.gateAndUp().linears(), kernels.type());
                RowProducts down = gemv(expert.down().linears(), kernels.type());
                if (gateAndUp == null || gateAndUp.linears() != 2 || down == null) {
                    return null;
                }
                inputs.add(gateAndUp);
                outputs.add(down);
            }
            return new MixtureOfExperts.Gemv(
                    new CpuExpertGemv(List.copyOf(inputs), kernels.type()),
                    new CpuExpertGemv(List.copyOf(outputs), kernels.type()));
        }

        private static long inner(GatedMlp mlp) {
            return mlp.down().linears().get(0).module().inFeatures();
        }

        private FeedForwardStep.Experts.@Nullable Shared shared(MixtureOfExperts.@Nullable Shared shared) {
            return shared == null
                    ? null
                    : new FeedForwardStep.Experts.Shared(
                            products(shared.mlp().gateAndUp().linears()),
                            inner(shared.mlp()),
                            products(shared.mlp().down().linears()),
                            products(List.of(shared.gate())));
        }

        private DecodeStep.Layer layer(DecoderBlock block, int window, int angles) {
            Attention attention = block.attention();
            Attention.HeadNorms heads = attention.norms();
            return new DecodeStep.Layer(
                    block.isParallel(),
                    norms(block.attentionNorms()),
                    products(attention.inputs().linears()),
                    new DecodeAttention(
                            supported(attention.spec(window)),
                            heads == null ? null : norm(heads.query()),
                            heads == null ? null : norm(heads.key()),
                            angles),
                    products(List.of(attention.output())),
                    norms(block.mlpNorms()),
                    feedForward(block));
        }

        private DecodeStep.Norms norms(DecoderBlock.Norms norms) {
            Named<RmsNorm> after = norms.after();
            if (after != null && norms.multiplier() != 1) {
                throw new UnsupportedPartException("what its norms give is scaled");
            }
            Named<RmsNorm> before = norms.before();
            return new DecodeStep.Norms(
                    before == null ? null : norm(before), after == null ? null : norm(after), norms.multiplier());
        }

        private AttentionSpec supported(AttentionSpec attention) {
            refuse(kernels.unsupportedReason(attention));
            return attention;
        }

        private NormSpec norm(Named<RmsNorm> norm) {
            return supported(norm.module().spec(), norm.name());
        }

        private NormSpec norm(HeadNorm heads) {
            String name = heads.norms().get(0).name();
            NormSpec spec = heads.spec()
                    .orElseThrow(() -> new UnsupportedPartException(
                            "the norms of its heads lie apart, as trained ones do (" + name + ")"));
            return supported(spec, name);
        }

        private NormSpec supported(NormSpec spec, String name) {
            refuse(kernels.unsupportedReason(spec).map(reason -> reason + " (" + name + ")"));
            return spec;
        }

        private RowProducts products(List<Named<Linear>> linears) {
            RowProducts products = factory.of(linears, kernels.type());
            if (products == null) {
                String names = linears.stream().map(Named::name).collect(Collectors.joining(", "));
                throw new UnsupportedPartException(names + " have no common GEMV kernel");
            }
            return products;
        }

        private static void refuse(Optional<String> reason) {
            if (reason.isPresent()) {
                throw new UnsupportedPartException(reason.get());
            }
        }
    }
}
