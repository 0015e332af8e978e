// Working memory of a thread for the length of a part.
#pragma once
#include <cstddef>
#include <memory>
#include <new>

namespace finetune4j {

struct FreeAligned {
    void operator()(unsigned char *memory) const { ::operator delete[](memory, std::align_val_t{64}); }
};

/// At least so many bytes, not set to anything, where 64 bytes begin; they are the thread's until its next call and are kept for
/// that, so that no product waits for the system to make them zero.
inline unsigned char *room_of_thread(size_t bytes) {
    thread_local std::unique_ptr<unsigned char[], FreeAligned> kept;
    thread_local size_t size = 0;
    if (size < bytes) {
        kept.reset();
        size = 0;
        kept.reset(static_cast<unsigned char *>(::operator new[](bytes, std::align_val_t{64})));
        size = bytes;
    }
    return kept.get();
}

}  // namespace finetune4j
