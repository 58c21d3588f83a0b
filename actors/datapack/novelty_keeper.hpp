// NoveltyKeeper: values the packs of a store as they come, and holds the index that this needs in memory.
//
// Exactly once by content: a step takes packs off the todo list, and writes their rows, the rows of later packs that
// they are near to, and their vectors in one transaction. The rows depend on the packs alone (valuation_store.hpp).
// After an error the keeper forgets its memory and reads it back from the store at the next step.
// Threads: one at a time. Blocking: belongs into an actor with a thread of its own. Memory: see NoveltyIndex.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "actors/datapack/novelty.hpp"
#include "actors/datapack/novelty_index.hpp"
#include "storage/datapack_store.hpp"
#include "storage/valuation_store.hpp"

namespace drover::datapack {

struct NoveltyProgress {
  uint64_t valued = 0;   // packs of this step
  uint64_t revised = 0;  // rows of later packs that changed
  bool more = false;     // packs are left
};

struct NoveltyFacts {
  uint64_t vectors = 0;
  uint64_t spaces = 0;
  uint64_t memory_bytes = 0;
};

class NoveltyKeeper {
 public:
  // Without a config: that of the rows which are there, else the defaults. With one that differs from what the rows
  // were made with, every pack is valued anew. `env` outlives the keeper.
  NoveltyKeeper(storage::Env& env, std::optional<NoveltyConfig> config);

  // Values at most packs_max packs in one transaction. Errors: those of the store, invalid_argument (config).
  Result<NoveltyProgress> step(size_t packs_max);
  // Opens what a step needs without valuing anything.
  Status open();
  NoveltyFacts facts() const;

  // How novel a pack would be among all packs that are valued now, itself excluded. Nothing is stored.
  Result<storage::Valuation> ask(const Datapack& pack);

 private:
  struct Writes;
  Status begin();
  Status load(const storage::ReadTxn& txn);
  Result<NoveltyProgress> take(size_t packs_max);
  Status value(const storage::ReadTxn& txn, const Datapack& pack, const storage::RowId& id, Writes& writes);
  Status revise(const storage::ReadTxn& txn, const storage::RowId& id, const storage::Neighbour& newcomer,
                uint64_t space, Writes& writes);
  NoveltyIndex& index_of(uint64_t space, size_t dim);

  storage::Env& env_;
  storage::DatapackStore packs_;
  storage::ValuationStore values_;
  std::optional<NoveltyConfig> asked_;
  NoveltyConfig config_;
  std::map<uint64_t, NoveltyIndex> spaces_;
  bool ready_ = false;
};

}  // namespace drover::datapack
