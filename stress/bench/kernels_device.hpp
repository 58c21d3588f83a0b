// The parts of drover-bench-kernels about correctness on this machine and about its CUDA device.
#pragma once

#include <cstdint>

#include "messages/result.hpp"

namespace drover::bench {

// Runs pooling, ViT and MLP on random inputs on each instruction set and on the CUDA device in both precisions; prints
// a line each with the error beside what is allowed. False when one is over.
bool check_backends(uint64_t seed);

// Device times (events) of pooling beside a copy of the same bytes, and of ViT and MLP; times of whole host calls. One
// line with the reason when there is no device.
Status bench_device();

}  // namespace drover::bench
