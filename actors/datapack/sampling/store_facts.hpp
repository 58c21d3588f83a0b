// What a coordinator's store holds, as facts for the sampler: datapacks, what they are worth learning from, what
// enrichments say of them, and how the episodes of each task went. Reads only.
//
// Threads: one at a time. Cost: a look at every pack of the task; afterwards the sampler lives on `put`.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "actors/datapack/sampling/curriculum.hpp"
#include "actors/datapack/sampling/facts.hpp"
#include "actors/datapack/sampling/sampler.hpp"
#include "messages/result.hpp"
#include "storage/datapack_store.hpp"
#include "storage/episode_store.hpp"
#include "storage/valuation_store.hpp"

namespace drover::sampling {

// The tables of one transaction.
struct StoreView {
  const storage::ReadTxn& txn;
  const storage::DatapackStore& packs;
  const storage::EpisodeStore* episodes = nullptr;      // enrichments; null: none
  const storage::ValuationStore* valuations = nullptr;  // null: every tier by rule of thumb
};

struct PoolOptions {
  std::string task = {};  // empty: every task
  // Called for every episode of a task in order of start time.
  std::function<void(const std::string& task, const EpisodeResult&)> on_episode = {};
};

struct Pool {
  std::vector<PackFacts> facts;  // by task, then start time
  std::vector<std::string> tasks;
  UrgencySignals signals;   // of the most urgent task
  uint64_t enriched = 0;    // packs with an enrichment
  uint64_t valued = 0;      // packs with a valuation
  uint64_t expected = 0;    // of these, with an expectation
  uint64_t unreadable = 0;  // enrichment records that are not JSON
  uint64_t prerequisites_met = 0;
  std::array<double, 64> skill_failure{};  // by skill bit; too few attempts: 0
  std::vector<std::string> unmet;          // prerequisites that are not met, with their figures
};

// Errors: corrupt (a stored pack cannot be read).
Result<Pool> load_pool(const StoreView& store, const PoolOptions& options, const SamplingConfig& config,
                       const TagTrust& trust);

// pack_id of what was drawn. Errors: not_found (it is not in the store).
Result<std::string> pack_id_of(const StoreView& store, const PackKey& key);

// How an episode went, from its pack: from episode_metrics where it has them, else from the skill trace (`estimated`).
EpisodeResult episode_result(const Datapack& pack);

}  // namespace drover::sampling
