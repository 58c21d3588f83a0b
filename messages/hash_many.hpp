// SHA-256 of many short inputs at once: the same digests as sha256(), in about half the time where the machine and the
// build carry Intel's multi-buffer library, because several inputs go through the processor's units side by side.
#pragma once

#include <span>

#include "messages/hash.hpp"

namespace drover {

// hashes[i] = sha256(inputs[i]). Both spans have the same length; the inputs stay in place during the call.
// Thread safe; each thread that calls it keeps some 100 KB for it.
void sha256_many(std::span<const ByteView> inputs, std::span<Hash> hashes);

// "multi-buffer AVX512" and the like, or "one by one": for benchmarks and logs.
std::string sha256_many_backend();

}  // namespace drover
