// The same rows and the same questions in SQLite, for comparison. Not part of the product.
//
// One table of packs with a column for every filter and the encoded pack as a blob, tables of skills and tags, and an
// index for each list that the datapack store keeps.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "storage/datapack_store.hpp"

namespace drover::bench {

class SqlitePacks {
 public:
  static bool available();
  // Makes a new file. `synced`: journal in WAL with full synchronisation; else none.
  SqlitePacks(const std::filesystem::path& file, bool synced);
  ~SqlitePacks();
  SqlitePacks(const SqlitePacks&) = delete;
  SqlitePacks& operator=(const SqlitePacks&) = delete;

  void import(const std::vector<Datapack>& packs);  // one transaction
  void analyze();
  // Reads pack_id and blob of every hit. Statements are prepared once and kept.
  size_t query(const storage::PackQuery& query);
  // total, positive, mean and mean square of delta_J, mean trust, packs by class.
  void statistics();
  uint64_t bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace drover::bench
