// A root mean square norm or a layer norm without a bias as the host hands it over; values: null for none. What counts from one and
// a layer norm are scaled in float, otherwise the normalised value is rounded before it is scaled, as the published models do. Every
// field has eight bytes.
constexpr int FROM_ONE = 1, CENTERED = 2;

struct Norm {
    const void* values;                // float, or the type of the activations
    alignas(8) int isFloat;
    alignas(8) int form;               // 0: a weight that counts from zero
    alignas(8) float epsilon;

    template <class T> __device__ __forceinline__ float weight(int i) const {
        return isFloat ? reinterpret_cast<const float*>(values)[i] : wide(reinterpret_cast<const T*>(values)[i]);
    }

    // Of eight numbers from i on.
    template <class T> __device__ __forceinline__ void weights(int i, float* to) const {
        if (isFloat) {
            load(reinterpret_cast<const float*>(values) + i, to);
        } else {
            load(reinterpret_cast<const T*>(values) + i, to);
        }
    }

    template <class T> __device__ __forceinline__ float scaled(float x, float factor, float weight) const {
        if (form == FROM_ONE) return wide(narrow<T>(x * factor * (1.f + weight)));
        return form == CENTERED ? wide(narrow<T>(x * factor * weight)) : wide(narrow<T>(wide(narrow<T>(x * factor)) * weight));
    }
};
