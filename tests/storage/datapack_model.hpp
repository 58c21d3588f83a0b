// A temporary datapack store, random packs that collide on purpose, and the reference that queries are held to.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "messages/check.hpp"
#include "storage/datapack_store.hpp"
#include "tests/support/random_values.hpp"

namespace drover::test {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "drover-packs-XXXXXX").string();
    DROVER_CHECK(::mkdtemp(pattern.data()) != nullptr, "no temporary directory");
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline storage::EnvOptions pack_options(const std::filesystem::path& path) {
  storage::EnvOptions options;
  options.path = path;
  options.databases = storage::DatapackStore::databases();
  options.map_initial_bytes = 64u << 20;
  options.sync = storage::Sync::nosync;
  return options;
}

struct TempStore {
  TempDir dir;
  storage::Env env = std::move(storage::Env::open(pack_options(dir.path() / "store")).value());
  storage::DatapackStore store{env};
};

// Few distinct values, so that filters hit, sorts tie and lists grow long.
inline Datapack colliding_pack(Rng& rng) {
  Datapack p = random_datapack(rng);
  const auto coarse = [&](double low, double high, uint64_t steps) {
    return low + (high - low) * static_cast<double>(below(rng, steps)) / static_cast<double>(steps);
  };
  p.task_name = pick(rng, {"drawer_vase", "drawer_vase", "drawer_vase", "dishwashing"});
  p.provenance.robot = chance(rng, 20) ? "" : labelled("robot-", below(rng, 12));
  p.provenance.start_unix_ns = static_cast<int64_t>(below(rng, 40)) * 43'200'000'000'000 - 86'400'000'000'000;
  p.provenance.end_unix_ns = p.provenance.start_unix_ns + 1;
  p.semantic_tags.clear();
  for (uint64_t n = below(rng, 5); n > 0; --n) p.semantic_tags.push_back(labelled("tag-", below(rng, 30)));
  if (chance(rng, 200)) p.semantic_tags.push_back("rare");
  Attribution& a = p.attribution;
  a.delta_J = chance(rng, 2) ? coarse(-3, 3, 24) : number(rng, -1, 1);
  a.trust_score = chance(rng, 2) ? 1.0 : coarse(0, 1, 16);
  a.w_econ = coarse(0, 2, 8);
  if (a.mvd_score) a.mvd_score = coarse(0, 5, 20);
  p.bucket = a.delta_J >= 0 ? Bucket::positive : Bucket::negative;
  if (p.bucket == Bucket::negative && p.counterfactual_plan_json.empty())
    p.counterfactual_plan_json = "{\"kind\":\"x\"}";
  if (chance(rng, 30)) p.skill_trace.back().skill_id = pick(rng, {"a", "b"}) == "a" ? -7 : 63;
  return p;
}

inline std::vector<Datapack> colliding_packs(Rng& rng, size_t count) {
  std::vector<Datapack> packs;
  packs.reserve(count);
  for (size_t i = 0; i < count; ++i) packs.push_back(colliding_pack(rng));
  return packs;
}

inline storage::PackQuery random_query(Rng& rng) {
  storage::PackQuery q;
  if (!chance(rng, 8)) q.task_name = pick(rng, {"drawer_vase", "drawer_vase", "dishwashing", "unknown"});
  if (chance(rng, 3)) q.bucket = chance(rng, 2) ? Bucket::positive : Bucket::negative;
  if (chance(rng, 3)) q.skill_id = static_cast<int64_t>(below(rng, 8)) - 1;
  if (chance(rng, 12)) q.skill_id = chance(rng, 2) ? -7 : 63;
  if (chance(rng, 5)) q.engine_type = pick(rng, {"pybullet", "isaac", "ue5", "mujoco", "real"});
  if (chance(rng, 4)) q.min_trust = chance(rng, 3) ? 1.0 : unit(rng);
  if (chance(rng, 4)) q.min_delta_j = chance(rng, 4) ? 0.0 : number(rng, -3, 3);
  if (chance(rng, 5)) q.min_mvd_score = number(rng, -1, 5);
  if (chance(rng, 5)) q.source_type = static_cast<SourceType>(below(rng, 3));
  if (chance(rng, 5)) q.robot = labelled("robot-", below(rng, 13));
  if (chance(rng, 4)) q.from_unix_ns = static_cast<int64_t>(below(rng, 1'800'000)) * 1'000'000'000 - 86'400'000'000'000;
  if (chance(rng, 4)) q.until_unix_ns = static_cast<int64_t>(below(rng, 1'800'000)) * 1'000'000'000;
  for (uint64_t n = chance(rng, 3) ? below(rng, 3) : 0; n > 0; --n)
    q.tags.push_back(chance(rng, 6) ? "rare" : labelled("tag-", below(rng, 31)));
  q.limit = static_cast<uint32_t>(chance(rng, 4) ? 1 + below(rng, 3000) : 1 + below(rng, 40));
  q.include_counterfactual = chance(rng, 5);
  q.include_sima = chance(rng, 5);
  q.sort_by = static_cast<storage::SortBy>(below(rng, 6));
  q.sort_descending = chance(rng, 2);
  return q;
}

// Domain meaning of a query, written without the store's filters.
inline bool reference_matches(const storage::PackQuery& q, const Datapack& p) {
  const auto has = [](const std::vector<std::string>& list, const std::string& tag) {
    return std::find(list.begin(), list.end(), tag) != list.end();
  };
  if (!q.task_name.empty() && p.task_name != q.task_name) return false;
  if (q.bucket && p.bucket != *q.bucket) return false;
  if (q.skill_id && std::none_of(p.skill_trace.begin(), p.skill_trace.end(),
                                 [&](const SkillStep& s) { return s.skill_id == *q.skill_id; }))
    return false;
  if (!q.engine_type.empty() && p.condition.engine_type != q.engine_type) return false;
  if (q.min_trust && p.attribution.trust_score < *q.min_trust) return false;
  if (q.min_delta_j && p.attribution.delta_J < *q.min_delta_j) return false;
  if (q.min_mvd_score && (!p.attribution.mvd_score || *p.attribution.mvd_score < *q.min_mvd_score)) return false;
  if (q.source_type && p.attribution.source_type != *q.source_type) return false;
  if (!q.robot.empty() && p.provenance.robot != q.robot) return false;
  if (q.from_unix_ns && p.provenance.start_unix_ns < *q.from_unix_ns) return false;
  if (q.until_unix_ns && p.provenance.start_unix_ns >= *q.until_unix_ns) return false;
  for (const std::string& tag : q.tags)
    if (!has(p.semantic_tags, tag) && !has(p.energy_driver_tags, tag)) return false;
  if (q.include_counterfactual && p.counterfactual_plan_json.empty()) return false;
  return !q.include_sima || p.sima_annotation.has_value();
}

inline double reference_value(storage::SortBy sort, const Datapack& p) {
  switch (sort) {
    case storage::SortBy::delta_j:
      return p.attribution.delta_J;
    case storage::SortBy::trust:
      return p.attribution.trust_score;
    case storage::SortBy::mvd:
      return p.attribution.mvd_score.value_or(-INFINITY);
    case storage::SortBy::w_econ:
      return p.attribution.w_econ;
    default:
      return 0;
  }
}

// The ids the query should give, in order.
inline std::vector<std::string> reference_answer(const storage::PackQuery& q, const std::vector<Datapack>& packs) {
  std::vector<const Datapack*> found;
  for (const Datapack& p : packs)
    if (reference_matches(q, p)) found.push_back(&p);
  std::sort(found.begin(), found.end(), [&](const Datapack* a, const Datapack* b) {
    if (q.sort_descending) std::swap(a, b);
    if (q.sort_by == storage::SortBy::pack_id) return a->pack_id < b->pack_id;
    const double va = reference_value(q.sort_by, *a), vb = reference_value(q.sort_by, *b);
    if (va != vb) return va < vb;
    if (a->provenance.start_unix_ns != b->provenance.start_unix_ns)
      return a->provenance.start_unix_ns < b->provenance.start_unix_ns;
    return storage::name_hash(a->pack_id) < storage::name_hash(b->pack_id);
  });
  if (found.size() > q.limit) found.resize(q.limit);
  std::vector<std::string> ids;
  for (const Datapack* p : found) ids.push_back(p->pack_id);
  return ids;
}

// Puts packs in batches of `batch_packs`, one transaction each.
inline Status put_all(const storage::Env& env, const storage::DatapackStore& store, const std::vector<Datapack>& packs,
                      size_t batch_packs) {
  for (size_t start = 0; start < packs.size(); start += batch_packs) {
    const size_t end = std::min(packs.size(), start + batch_packs);
    DROVER_TRY(const_cast<storage::Env&>(env).write([&](storage::WriteTxn& txn) -> Status {
      storage::DatapackBatch batch(store, txn);
      for (size_t i = start; i < end; ++i) DROVER_TRY(batch.put(packs[i]));
      return batch.finish();
    }));
  }
  return {};
}

}  // namespace drover::test
