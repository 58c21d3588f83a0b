// Weights: named float arrays of one model, and the file they travel in (WEIGHTS.md).
//
// Invariants: a decoded file has every byte accounted for: header, directory and every array carry a checksum, padding
// is zero, nothing follows the last array. So any changed byte is found. Checksums detect damage, they prove no origin.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/result.hpp"

namespace drover::kernels {

enum class Architecture : uint32_t { mlp_policy = 1, vit_encoder = 2 };

constexpr size_t weights_params_max = 64;
constexpr size_t weights_tensors_max = 1024;
constexpr size_t weights_rank_max = 4;
constexpr uint32_t weights_dim_max = 1u << 20;
constexpr size_t weights_values_max = size_t{1} << 28;  // in all: 1 GiB
constexpr size_t weights_param_name_max = 23;
constexpr size_t weights_tensor_name_max = 47;
constexpr size_t weights_note_max = 63;

struct Param {
  std::string name;  // 1..23 of [a-z0-9_.]
  uint64_t value = 0;
};

struct Tensor {
  std::string name;             // 1..47 of [a-z0-9_.]
  std::vector<uint32_t> shape;  // 1..4 dimensions of 1..2^20, row-major
  std::vector<float> values;    // finite
};

struct Weights {
  Architecture architecture = Architecture::mlp_policy;
  bool trained = false;  // false: seeded values that have seen no data
  uint64_t seed = 0;     // of the generator or the training run
  std::string note;      // printable ASCII, at most 63 characters, for people
  std::vector<Param> params;
  std::vector<Tensor> tensors;

  // Null when there is none of that name.
  const Tensor* tensor(std::string_view name) const noexcept;
  // not_found names the parameter; too_large when it is over `max`.
  Result<uint32_t> param(std::string_view name, uint32_t max) const;
  // not_found names the array; invalid_argument when its shape is another.
  Result<const Tensor*> tensor_of(std::string_view name, const std::vector<uint32_t>& shape) const;
};

// invalid_argument or too_large names what breaks the limits above.
Result<std::vector<std::byte>> encode_weights(const Weights& weights);

// truncated, corrupt, too_large or unsupported_version with the place. Allocates only what `bytes` holds.
Result<Weights> decode_weights(ByteView bytes);

// Replaces `path` whole or not at all (written beside it, synced, renamed). io names the path.
Status write_weights_file(const std::string& path, const Weights& weights);

// not_found or io names the path; then as decode_weights.
Result<Weights> read_weights_file(const std::string& path);

}  // namespace drover::kernels
