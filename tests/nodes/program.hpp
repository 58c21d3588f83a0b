// The program as a user runs it, and stores for it to look at.
#pragma once

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "actors/datapack/portable.hpp"
#include "actors/sync/central_store.hpp"
#include "tests/support/random_values.hpp"

namespace drover::test {

struct Ran {
  int code = -1;
  std::string text;  // stdout and stderr
};

inline Ran drover_run(const std::string& words) {
  const std::string line = "'" DROVER_PROGRAM "' " + words + " 2>&1";
  std::FILE* pipe = popen(line.c_str(), "r");
  REQUIRE(pipe != nullptr);
  Ran out;
  char buffer[4096];
  for (size_t size = 0; (size = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.text.append(buffer, size);
  const int status = pclose(pipe);
  out.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}
inline bool has(const Ran& ran, const std::string& text) {
  return ran.text.find(text) != std::string::npos;
}

template <class T>
inline T must(Result<T> result) {
  if (!result) FAIL(result.error().message());
  return std::move(*result);
}

inline std::unique_ptr<sync::CentralStore> open_store(const std::string& path) {
  sync::CentralStoreOptions options;
  options.path = path;
  options.sync = storage::Sync::nosync;
  options.map_initial_bytes = 1u << 20;
  return must(sync::CentralStore::open(options));
}

// A store in `path` with these packs, closed again.
inline void make_store(const std::string& path, const std::vector<Datapack>& packs) {
  const auto store = open_store(path);
  if (const Status done = store->import_packs(packs); !done) FAIL(done.error().message());
}

// Gives a pack artifacts that read, small, different for different seeds and with a field that nobody knows; and takes
// its raw data path away.
inline void make_portable(Datapack& pack, uint64_t seed) {
  auto builder = must(datapack::PortableBuilder::make({}));
  const double shift = static_cast<double>(seed % 100) / 100;
  REQUIRE(builder.add_pose({0, "vase", {shift, 0, 0.9}, {{1, 0, 0, 0}}, 0.25, true}));
  REQUIRE(builder.add_pose({1, "vase", {shift, 0.5, 0.9}, {{1, 0, 0, 0}}, 0.25, true}));
  const std::vector<uint8_t> rgb(8 * 8 * 3, static_cast<uint8_t>(seed));
  REQUIRE(builder.add_frame({0, "front", 8, 8, rgb}));
  auto artifacts = must(builder.finish(1));
  artifacts.slice_labels_json.insert(1, "\"stranger\":{\"n\":0.10},");
  datapack::attach_portable(std::move(artifacts), pack);
}

}  // namespace drover::test
