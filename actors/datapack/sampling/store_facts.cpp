#include "actors/datapack/sampling/store_facts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <nlohmann/json.hpp>

namespace drover::sampling {
namespace {

using nlohmann::json;
constexpr uint64_t skill_attempts_min = 10;  // fewer say nothing about a weak spot
constexpr size_t recent_episodes = 100;      // that signals look at

PackKey key_of(const Datapack& pack) {
  return {storage::name_hash(pack.pack_id), pack.provenance.start_unix_ns};
}
storage::RowId row_of(const PackKey& key) {
  return {storage::ordered_time(key.start_unix_ns), key.hash};
}

Origin origin_of(SourceType type) {
  return type == SourceType::real ? Origin::real : type == SourceType::synthetic ? Origin::synthetic : Origin::hybrid;
}

std::optional<double> number(const json& from, const char* key) {
  const auto at = from.is_object() ? from.find(key) : from.end();
  if (!from.is_object() || at == from.end() || !at->is_number()) return std::nullopt;
  const double value = at->get<double>();
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

bool worked(const std::string& outcome) {
  return outcome == "success" || outcome == "recovered";
}

// One load: the builder, and what is gathered on the way.
class Loader {
 public:
  Loader(const StoreView& store, const PoolOptions& options, const SamplingConfig& config, const TagTrust& trust)
      : store_(store), options_(options), config_(config), builder_(config, trust) {}

  Result<Pool> run() {
    DROVER_ASSIGN(const auto tasks, store_.packs.tasks(store_.txn));
    for (const storage::TaskCount& task : tasks) {
      if (!options_.task.empty() && task.task_name != options_.task) continue;
      pool_.tasks.push_back(task.task_name);
      pool_.facts.reserve(pool_.facts.size() + task.packs);
      recent_.clear();
      DROVER_TRY(store_.packs.for_each(store_.txn, task.task_name, [&](ByteView flat) -> Result<bool> {
        DROVER_ASSIGN(const Datapack pack, decode_datapack(flat));
        DROVER_TRY(take(pack));
        return true;
      }));
      const UrgencySignals signals = urgency_signals(recent_, config_.urgency);
      pool_.signals.error = std::max(pool_.signals.error, signals.error);
      pool_.signals.energy = std::max(pool_.signals.energy, signals.energy);
      pool_.signals.mpl = std::max(pool_.signals.mpl, signals.mpl);
    }
    finish();
    return std::move(pool_);
  }

 private:
  Status take(const Datapack& pack) {
    PackInput input;
    input.key = key_of(pack);
    input.task_name = pack.task_name;
    const Attribution& a = pack.attribution;
    input.trust = a.trust_score;
    input.w_econ = a.w_econ;
    input.delta_J = a.delta_J;
    input.negative = pack.bucket == Bucket::negative;
    input.origin = origin_of(a.source_type);
    for (const SkillStep& step : pack.skill_trace)
      input.skills.push_back({step.skill_id, worked(step.outcome), worked(step.outcome) || step.outcome == "failure"});
    DROVER_TRY(read_tags(pack, input));
    DROVER_TRY(read_value(input));
    pool_.facts.push_back(builder_.add(input));
    const EpisodeResult result = episode_result(pack);
    recent_.push_back({result.errors, result.attempts, a.delta_ep, a.delta_mpl});
    if (recent_.size() > recent_episodes) recent_.pop_front();
    if (options_.on_episode) options_.on_episode(pack.task_name, result);
    return {};
  }

  Status read_tags(const Datapack& pack, PackInput& input) {
    if (store_.episodes != nullptr) {
      DROVER_TRY(store_.episodes->for_each_enrichment(store_.txn, pack.pack_id, [&](ByteView flat) -> Result<bool> {
        DROVER_ASSIGN(const Enrichment record, decode_enrichment(flat));
        if (!input.tags.add_enrichment(record.tags_json)) ++pool_.unreadable;
        return true;
      }));
    }
    input.tags.add_words(pack.semantic_tags);
    input.tags.add_words(pack.energy_driver_tags);
    pool_.enriched += input.tags.enriched ? 1 : 0;
    return {};
  }

  Status read_value(PackInput& input) {
    if (store_.valuations == nullptr) return {};
    DROVER_ASSIGN(const auto value, store_.valuations->get(store_.txn, row_of(input.key)));
    if (!value) return {};
    input.value = PackInput::Value{value->novelty, value->tier, value->expected ? value->expected->dmpl : 0};
    ++pool_.valued;
    pool_.expected += value->expected ? 1 : 0;
    return {};
  }

  void finish() {
    pool_.prerequisites_met = builder_.met_prerequisites();
    for (size_t i = 0; i < builder_.prerequisite_names().size(); ++i) {
      if ((pool_.prerequisites_met >> i & 1) != 0) continue;
      const std::string name = builder_.prerequisite_names().name(i);
      const Tally at = builder_.carried(name);
      pool_.unmet.push_back(fmt::format("{} ({} of {} episodes)", name, at.successes, at.attempts));
    }
    for (size_t i = 0; i < pool_.skill_failure.size(); ++i)
      if (builder_.skills()[i].attempts >= skill_attempts_min)
        pool_.skill_failure[i] = 1 - builder_.skills()[i].success();
  }

  const StoreView& store_;
  const PoolOptions& options_;
  const SamplingConfig& config_;
  FactsBuilder builder_;
  std::deque<RecentEpisode> recent_;
  Pool pool_;
};

}  // namespace

EpisodeResult episode_result(const Datapack& pack) {
  EpisodeResult out;
  out.key = key_of(pack);
  uint32_t failures = 0;
  for (const SkillStep& step : pack.skill_trace) {
    const bool failed = step.outcome == "failure";
    if (!failed && !worked(step.outcome)) continue;
    ++out.skill_attempts;
    failures += failed ? 1 : 0;
  }
  out.skill_successes = out.skill_attempts - failures;
  const json metrics = json::parse(pack.episode_metrics_json, nullptr, false);
  const auto errors = number(metrics, "errors"), attempts = number(metrics, "attempts");
  const auto rate = number(metrics, "error_rate");
  if (errors && attempts) {
    out.errors = *errors;
    out.attempts = *attempts;
  } else if (rate) {
    out.errors = *rate;
    out.attempts = 1;
  } else {
    out.errors = pack.bucket == Bucket::negative && failures > 0 ? 1 : 0;
    out.attempts = 1;
    out.estimated = true;
  }
  out.mpl_units_per_h = number(metrics, "mpl_units_per_h");
  return out;
}

Result<Pool> load_pool(const StoreView& store, const PoolOptions& options, const SamplingConfig& config,
                       const TagTrust& trust) {
  return Loader(store, options, config, trust).run();
}

Result<std::string> pack_id_of(const StoreView& store, const PackKey& key) {
  DROVER_ASSIGN(const auto flat, store.packs.flat_at(store.txn, row_of(key)));
  if (!flat) return fail(Errc::not_found, "packs", "a pack that was drawn is not in the store");
  DROVER_ASSIGN(const Datapack pack, decode_datapack(*flat));
  return pack.pack_id;
}

}  // namespace drover::sampling
