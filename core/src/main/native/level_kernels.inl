// Everything that a level has, built from its vectors. Included once for each level, inside its namespace.

#include "codes.inl"
#include "gemv.inl"
#include "elements.inl"
#include "moments.inl"
#include "decode.inl"
#include "dropout.inl"
#include "gemm.inl"
#include "attention.inl"
#ifdef FINETUNE4J_PAIRS
#include "gemv_bf16.inl"
#include "gemm_bf16.inl"
#endif

inline void few_rows(
    const Codes &codes, int64_t in, int64_t out, const bf16 *x, int64_t tokens, const bf16 *bias, bf16 *y,
    int64_t stride, bool add, int threads) {
#ifdef FINETUNE4J_PAIRS
    if (pairs_fit(codes, in)) {
        multiply_pairs(codes, in, out, x, tokens, bias, y, stride, add, threads);
        return;
    }
#endif
    multiply_rows(codes, in, out, x, tokens, bias, y, stride, add, threads);
}

template <typename T>
inline Elements<T> elements() {
    return {rms_forward<T>, rms_backward<T>, swiglu_forward<T>, swiglu_backward<T>, rope<T>, cross_entropy<T>};
}

template <typename T>
inline Tokens<T> tokens() {
    return {gemv<T>, low_rank<T>, high_rank<T>, attend<T>};
}

inline const Kernels &kernels() {
    static const Kernels all = {
        {decode<float>, decode<bf16>, decode<f16>},
        {absmax<float>, absmax<bf16>, absmax<f16>},
        {encode<float>, encode<bf16>, encode<f16>},
        {multiply_rows<float>, few_rows},
        {float_by_rows<float>, float_by_columns<float>, float_add_columns<float>, float_forward<float>,
         float_backward<float>},
#ifdef FINETUNE4J_PAIRS
        {pairs_by_rows, pairs_by_columns, pairs_add_columns, pairs_forward, pairs_backward},
        true,
#else
        {float_by_rows<bf16>, float_by_columns<bf16>, float_add_columns<bf16>, float_forward<bf16>,
         float_backward<bf16>},
        false,
#endif
        elements<float>(),
        elements<bf16>(),
        adamw,
        adamw8bit,
        tokens<float>(),
        tokens<bf16>(),
        {dropout<float>, dropout<bf16>},
        {attend_sequences<float>, attend_sequences_back<float>},
        {attend_sequences<bf16>, attend_sequences_back<bf16>},
    };
    return all;
}
