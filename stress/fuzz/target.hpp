// Fuzz targets: one entry point for every parser of bytes from outside, the same for libFuzzer (drover-fuzz, built with
// clang) and for the replay with a seeded mutator (test_fuzz, any compiler).
//
// Contract of an entry point: whatever the bytes, it returns; it never crashes, hangs, leaks, throws or keeps state
// that changes what later bytes do. Where a law holds (what was read is written and read back the same), it checks it
// with DROVER_CHECK, which ends the process. Threads: one at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/check.hpp"

namespace drover::fuzz {

using Seeds = std::vector<std::string>;

struct Target {
  std::string_view name;        // folder of its corpus under tests/fuzz
  std::string_view about;       // which parser
  std::string_view dictionary;  // tests/fuzz/dictionaries/<this>.dict; empty: none
  uint32_t input_bytes_max = 4096;
  void (*run)(ByteView bytes) = nullptr;
  Seeds (*seeds)() = nullptr;  // made-up inputs that are good, always the same; null: only the corpus
};

// In the order in which they are run. Names are unique.
std::span<const Target> targets();
// Null: there is none of that name.
const Target* find_target(std::string_view name);

// Where the targets take the shipped configuration from.
std::string configs_folder();
std::string read_file(const std::string& path);

// ---- the rooms' shares
std::span<const Target> record_targets();
std::span<const Target> log_targets();
std::span<const Target> text_targets();
std::span<const Target> node_targets();

}  // namespace drover::fuzz
