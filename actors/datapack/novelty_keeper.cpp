#include "actors/datapack/novelty_keeper.hpp"

#include <algorithm>
#include <cstring>

namespace drover::datapack {
namespace {

using storage::Neighbour;
using storage::ReadTxn;
using storage::RowId;
using storage::SpacePlace;
using storage::Valuation;
using storage::WriteTxn;

bool ahead(const Neighbour& a, const Neighbour& b) {
  return std::pair(a.distance2, a.id) < std::pair(b.distance2, b.id);
}

ByteView bytes_of(const std::vector<int8_t>& values) {
  return std::as_bytes(std::span(values));
}

uint32_t reach_of(const SpacePlace& place, uint32_t neighbours) {
  return place.neighbours.size() < neighbours ? UINT32_MAX : place.neighbours.back().distance2;
}

// What is known of a vector beside its bytes, from the row of its pack.
struct Known {
  RowId id;
  double delta_j = 0;
  uint32_t reach2 = 0;
};

}  // namespace

struct NoveltyKeeper::Writes {
  std::map<RowId, Valuation> rows;
  struct Vector {
    uint64_t space = 0;
    RowId id;
    std::vector<int8_t> values;
  };
  std::vector<Vector> vectors;
  std::vector<RowId> done;
  NoveltyProgress progress;
};

NoveltyKeeper::NoveltyKeeper(storage::Env& env, std::optional<NoveltyConfig> config)
    : env_(env), packs_(env), values_(env), asked_(std::move(config)) {}

NoveltyFacts NoveltyKeeper::facts() const {
  NoveltyFacts facts;
  facts.spaces = spaces_.size();
  for (const auto& [space, index] : spaces_) {
    facts.vectors += index.size();
    facts.memory_bytes += index.memory_bytes();
  }
  return facts;
}

NoveltyIndex& NoveltyKeeper::index_of(uint64_t space, size_t dim) {
  return spaces_.try_emplace(space, dim).first->second;
}

// Settles the config, starts the rows anew where it changed, and lists packs that nobody listed (older stores).
Status NoveltyKeeper::begin() {
  struct Found {
    std::string fingerprint;
    uint64_t packs = 0, valued = 0, todo = 0;
  };
  DROVER_ASSIGN(const Found found, env_.read([&](const ReadTxn& txn) -> Result<Found> {
    Found f;
    DROVER_ASSIGN(f.fingerprint, values_.fingerprint(txn));
    DROVER_ASSIGN(f.packs, packs_.count(txn));
    DROVER_ASSIGN(f.valued, values_.count(txn));
    DROVER_ASSIGN(f.todo, packs_.todo_count(txn));
    return f;
  }));
  config_ = asked_ ? *asked_ : novelty_config_of(found.fingerprint).value_or(NoveltyConfig{});
  DROVER_TRY(check(config_));
  const std::string fingerprint = novelty_fingerprint(config_);
  if (fingerprint == found.fingerprint && found.valued + found.todo == found.packs) return {};
  return env_.write([&](WriteTxn& txn) -> Status {
    DROVER_TRY(values_.restart_in(txn, fingerprint));
    return packs_.redo_all_in(txn);
  });
}

Status NoveltyKeeper::load(const ReadTxn& txn) {
  std::map<uint64_t, std::vector<Known>> known;  // by space, in order of time as the rows are
  DROVER_TRY(values_.for_each(txn, false, [&](const RowId& id, const Valuation& value) -> Result<bool> {
    for (const SpacePlace& place : value.places)
      known[place.space].push_back({id, value.delta_j, reach_of(place, config_.neighbours)});
    return true;
  }));
  std::map<uint64_t, size_t> next;
  return values_.for_each_vector(txn, [&](const storage::ValuationStore::Vector& vector) -> Result<bool> {
    const auto& list = known[vector.space];
    const size_t at = next[vector.space]++;
    if (at >= list.size() || list[at].id != vector.id || vector.bytes.empty() || vector.bytes.size() > novelty_dim_max)
      return fail(Errc::corrupt, "value.vectors", "a vector has no row");
    std::vector<int8_t> values(vector.bytes.size());
    std::memcpy(values.data(), vector.bytes.data(), values.size());
    NoveltyIndex& index = index_of(vector.space, values.size());
    if (index.dim() != values.size())
      return fail(Errc::corrupt, "value.vectors", "vectors of one space differ in size");
    index.add(index.probe(values), values, {list[at].id, list[at].delta_j, list[at].reach2});
    return true;
  });
}

Status NoveltyKeeper::open() {
  if (ready_) return {};
  spaces_.clear();
  DROVER_TRY(begin());
  DROVER_TRY(env_.read([&](const ReadTxn& txn) { return load(txn); }));
  ready_ = true;
  return {};
}

// A later pack has a new near neighbour.
Status NoveltyKeeper::revise(const ReadTxn& txn, const RowId& id, const Neighbour& newcomer, uint64_t space,
                             Writes& writes) {
  auto at = writes.rows.find(id);
  if (at == writes.rows.end()) {
    DROVER_ASSIGN(auto stored, values_.get(txn, id));
    if (!stored) return fail(Errc::corrupt, "value.rows", "the row of a vector is missing");
    at = writes.rows.emplace(id, std::move(*stored)).first;
  }
  Valuation& value = at->second;
  for (SpacePlace& place : value.places) {
    if (place.space != space) continue;
    auto& list = place.neighbours;
    list.insert(std::upper_bound(list.begin(), list.end(), newcomer, ahead), newcomer);
    if (list.size() > config_.neighbours) list.pop_back();
  }
  const NoveltyScore score = score_novelty(value.places, value.delta_j, config_.neighbours);
  value.novelty = score.novelty;
  value.causal_gain = score.causal_gain;
  ++writes.progress.revised;
  return {};
}

Status NoveltyKeeper::value(const ReadTxn& txn, const Datapack& pack, const RowId& id, Writes& writes) {
  Valuation value;
  value.delta_j = pack.attribution.delta_J;
  for (FeatureVector& vector : feature_vectors(pack, config_)) {
    SpacePlace place;
    place.space = space_id(pack.task_name, vector);
    place.unit = vector.unit;
    NoveltyIndex& index = index_of(place.space, vector.values.size());
    const auto probe = index.probe(vector.values);
    place.neighbours = index.nearest(probe, id, config_.neighbours);
    for (const NoveltyIndex::Later& later : index.later(probe, id)) {
      const RowId other = index.member(later.slot).id;
      DROVER_TRY(revise(txn, other, {later.distance2, id, value.delta_j}, place.space, writes));
      for (const SpacePlace& changed : writes.rows.at(other).places)
        if (changed.space == place.space) index.set_reach(later.slot, reach_of(changed, config_.neighbours));
    }
    index.add(probe, vector.values, {id, value.delta_j, reach_of(place, config_.neighbours)});
    writes.vectors.push_back({place.space, id, std::move(vector.values)});
    value.places.push_back(std::move(place));
  }
  const NoveltyScore score = score_novelty(value.places, value.delta_j, config_.neighbours);
  value.novelty = score.novelty;
  value.causal_gain = score.causal_gain;
  writes.rows.insert_or_assign(id, std::move(value));
  ++writes.progress.valued;
  return {};
}

Result<NoveltyProgress> NoveltyKeeper::take(size_t packs_max) {
  Writes writes;
  DROVER_TRY(env_.read([&](const ReadTxn& txn) -> Status {
    DROVER_ASSIGN(auto ids, packs_.todo(txn, packs_max + 1));
    writes.progress.more = ids.size() > packs_max;
    if (writes.progress.more) ids.pop_back();
    for (const RowId& id : ids) {
      writes.done.push_back(id);
      DROVER_ASSIGN(const auto valued, values_.get(txn, id));
      if (valued) continue;
      DROVER_ASSIGN(const auto flat, packs_.flat_at(txn, id));
      if (!flat) return fail(Errc::corrupt, "packs.data", "a pack that is to be valued is missing");
      DROVER_ASSIGN(const Datapack pack, decode_datapack(*flat));
      DROVER_TRY(value(txn, pack, id, writes));
    }
    return {};
  }));
  if (writes.done.empty()) return writes.progress;
  DROVER_TRY(env_.write([&](WriteTxn& txn) -> Status {
    for (const auto& [id, value] : writes.rows) DROVER_TRY(values_.put_in(txn, id, value));
    for (const auto& v : writes.vectors) DROVER_TRY(values_.put_vector_in(txn, v.space, v.id, bytes_of(v.values)));
    for (const RowId& id : writes.done) DROVER_TRY(packs_.done_in(txn, id));
    return {};
  }));
  return writes.progress;
}

Result<NoveltyProgress> NoveltyKeeper::step(size_t packs_max) {
  DROVER_TRY(open());
  auto progress = take(std::max<size_t>(packs_max, 1));
  if (!progress) ready_ = false;  // memory may be ahead of the store
  return progress;
}

Result<Valuation> NoveltyKeeper::ask(const Datapack& pack) {
  DROVER_TRY(open());
  const RowId own = storage::summarize(pack).id();
  constexpr RowId end{UINT64_MAX, UINT64_MAX};
  Valuation value;
  value.delta_j = pack.attribution.delta_J;
  for (const FeatureVector& vector : feature_vectors(pack, config_)) {
    SpacePlace place;
    place.space = space_id(pack.task_name, vector);
    place.unit = vector.unit;
    if (const auto at = spaces_.find(place.space); at != spaces_.end())
      place.neighbours = at->second.nearest(at->second.probe(vector.values), end, config_.neighbours + 1);
    std::erase_if(place.neighbours, [&](const Neighbour& n) { return n.id == own; });
    if (place.neighbours.size() > config_.neighbours) place.neighbours.pop_back();
    value.places.push_back(std::move(place));
  }
  const NoveltyScore score = score_novelty(value.places, value.delta_j, config_.neighbours);
  value.novelty = score.novelty;
  value.causal_gain = score.causal_gain;
  DROVER_ASSIGN(const auto limits, env_.read([&](const ReadTxn& txn) { return values_.thresholds(txn); }));
  value.tier = storage::tier_of(value.novelty, value.causal_gain, limits);
  return value;
}

}  // namespace drover::datapack
