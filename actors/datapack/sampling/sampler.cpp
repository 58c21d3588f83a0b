// Cells: packs that no rule of the strategy tells apart lie in one WeightedSet. A set of the plan ("tier 1", "fragile")
// is a list of cells, so a draw picks a cell by its total and then a pack in it.
#include "actors/datapack/sampling/sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "actors/runtime/rng.hpp"
#include "messages/check.hpp"

namespace drover::sampling {
namespace {

constexpr double weight_unit = 1.0 / (1 << 24);
constexpr double weight_max = 255;
constexpr uint32_t no_row = UINT32_MAX;

// Cell numbers: tier | urgent | bit of each quota | synthetic. Only what the strategy asks about is filled in.
constexpr uint16_t tier_mask = 3;
constexpr uint16_t urgent_bit = 1 << 2;
constexpr unsigned quota_shift = 3;
constexpr uint16_t synthetic_bit = 1 << (quota_shift + quotas_max);

uint32_t fixed(double weight) {
  if (!(weight > 0)) return 0;
  return static_cast<uint32_t>(std::max(1.0, std::round(std::min(weight, weight_max) / weight_unit)));
}

// Whole slots for shares of a batch: largest remainder, ties to the first.
std::vector<uint32_t> apportion(const std::vector<double>& shares, uint32_t batch) {
  std::vector<uint32_t> out(shares.size());
  std::vector<std::pair<double, size_t>> remainders;
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  if (!(sum > 0)) return out;
  uint32_t given = 0;
  for (size_t i = 0; i < shares.size(); ++i) {
    const double exact = shares[i] / sum * batch;
    out[i] = static_cast<uint32_t>(exact + 1e-9);
    given += out[i];
    if (shares[i] > 0) remainders.emplace_back(out[i] - exact, i);
  }
  std::sort(remainders.begin(), remainders.end(), [](const auto& a, const auto& b) {
    return std::abs(a.first - b.first) > 1e-9 ? a.first < b.first : a.second < b.second;
  });
  for (size_t i = 0; given < batch; i = (i + 1) % remainders.size()) ++out[remainders[i].second], ++given;
  return out;
}

}  // namespace

// What a batch is made of. The last set takes what others could not fill when `free_last`.
struct Sampler::Plan {
  struct Set {
    std::string name;
    double share = 0;
    uint16_t mask = 0, value = 0;  // cells with (number & mask) == value belong to it
  };
  std::vector<Set> sets;
  std::vector<uint32_t> wanted;
  bool free_last = false;
};

std::string_view strategy_name(Strategy strategy) noexcept {
  constexpr std::array<std::string_view, 4> names{"balanced", "frontier_focused", "urgency_driven", "tag_aware"};
  return names[static_cast<size_t>(strategy)];
}
std::optional<Strategy> strategy_from_name(std::string_view name) noexcept {
  for (size_t i = 0; i < 4; ++i)
    if (strategy_name(static_cast<Strategy>(i)) == name) return static_cast<Strategy>(i);
  return std::nullopt;
}
std::string_view phase_name(Phase phase) noexcept {
  constexpr std::array<std::string_view, phase_count> names{"warmup", "skill_building", "frontier", "fine_tuning"};
  return names[static_cast<size_t>(phase)];
}
std::optional<Phase> phase_from_name(std::string_view name) noexcept {
  for (size_t i = 0; i < phase_count; ++i)
    if (phase_name(static_cast<Phase>(i)) == name) return static_cast<Phase>(i);
  return std::nullopt;
}
std::string_view exclusion_name(Exclusion exclusion) noexcept {
  constexpr std::array<std::string_view, 4> names{"", "tier", "critical fragility", "prerequisite not met"};
  return names[static_cast<size_t>(exclusion)];
}

SamplerSetup phase_setup(Phase phase) {
  SamplerSetup out;
  out.phase = phase;
  switch (phase) {
    case Phase::warmup:
      out.strategy = Strategy::balanced, out.preset = "safety";
      break;
    case Phase::skill_building:
      out.strategy = Strategy::tag_aware, out.preset = "balanced";
      break;
    case Phase::frontier:
      out.strategy = Strategy::frontier_focused;
      break;
    case Phase::fine_tuning:
      out.strategy = Strategy::urgency_driven;
      break;
  }
  return out;
}

Sampler::Sampler(const SamplingConfig& config, SamplerSetup setup) : config_(config), setup_(std::move(setup)) {
  emphasis_.assign(config_.groups.size(), 1);
  if (const auto preset = config_.presets.find(setup_.preset); preset != config_.presets.end())
    for (const auto& [group, value] : preset->second) {
      const size_t at = group_index(config_.groups, group);
      if (at < emphasis_.size()) emphasis_[at] = value;
    }
  constexpr std::array<const char*, 3> names{"error", "energy", "mpl"};
  for (size_t i = 0; i < names.size(); ++i) {
    const size_t at = group_index(config_.groups, names[i]);
    if (at < config_.groups.size()) urgent_groups_[i] = static_cast<uint16_t>(1u << at);
  }
  rehash(64);
}

// ---- weights

double Sampler::urgency(const PackFacts& pack) const {
  const FrontierConfig& f = config_.frontier;
  const double expected = std::min(static_cast<double>(pack.expected_dmpl) / f.expected_full, 1.0);
  const double value = f.tier_weights[pack.tier] *
                       (f.base + f.novelty * static_cast<double>(pack.novelty) + f.expected * expected) *
                       (pack.safety_critical ? f.safety_factor : 1.0);
  return std::min(value, 1.0);
}

double Sampler::base_weight(const PackFacts& pack, double urgency) const {
  const double trust = static_cast<double>(pack.trust);
  switch (setup_.strategy) {
    case Strategy::balanced:
    case Strategy::tag_aware:
      return trust;
    case Strategy::frontier_focused:
      return urgency;
    case Strategy::urgency_driven:
      break;
  }
  double value = config_.urgency.unmatched;
  const std::array<double, 3> signals{setup_.signals.error, setup_.signals.energy, setup_.signals.mpl};
  for (size_t i = 0; i < signals.size(); ++i)
    if ((pack.groups & urgent_groups_[i]) != 0) value += signals[i];
  if (setup_.phase == Phase::fine_tuning) {
    double weakest = 0;
    for (uint64_t bits = pack.skills; bits != 0; bits &= bits - 1)
      weakest = std::max(weakest, setup_.skill_failure[static_cast<size_t>(std::countr_zero(bits))]);
    value += config_.urgency.weakness * weakest;
  }
  return trust * value;
}

Exclusion Sampler::exclusion(const PackFacts& pack) const {
  if (!setup_.phase) return Exclusion::none;
  if (*setup_.phase == Phase::warmup) {
    if (pack.tier > 1) return Exclusion::tier;
    if (pack.fragility >= static_cast<float>(config_.curriculum.critical_fragility))
      return Exclusion::critical_fragility;
  }
  if (*setup_.phase == Phase::frontier && pack.tier < 1) return Exclusion::tier;
  return (pack.prerequisites & ~setup_.prerequisites_met) != 0 ? Exclusion::prerequisite : Exclusion::none;
}

uint16_t Sampler::cell_of(const PackFacts& pack, double urgency) const {
  uint16_t out = pack.origin == Origin::real ? 0 : synthetic_bit;
  const auto set = [&](uint16_t bits) { out = static_cast<uint16_t>(out | bits); };
  if (setup_.strategy == Strategy::balanced) set(pack.tier);
  if (setup_.strategy == Strategy::frontier_focused && urgency >= config_.frontier.urgent_from) set(urgent_bit);
  if (setup_.strategy == Strategy::tag_aware)
    for (size_t i = 0; i < config_.quotas.size(); ++i)
      if ((pack.groups >> group_index(config_.groups, config_.quotas[i].group) & 1) != 0)
        set(static_cast<uint16_t>(1u << (quota_shift + i)));
  return out;
}

PackWeight Sampler::weigh(const PackFacts& pack) const {
  PackWeight out;
  out.excluded = exclusion(pack);
  const double urgent = urgency(pack);
  out.base = base_weight(pack, urgent);
  out.multiplier = setup_.trust.multiplier(pack.kinds);
  double emphasis = 0;
  for (uint32_t bits = pack.groups; bits != 0; bits &= bits - 1)
    emphasis = std::max(emphasis, emphasis_[static_cast<size_t>(std::countr_zero(bits))]);
  out.emphasis = pack.groups == 0 ? 1 : emphasis;
  out.gated = pack.origin != Origin::real && pack.trust < static_cast<float>(config_.synthetic.trust_min);
  out.weight = out.gated ? 0 : std::min(out.base * out.multiplier * out.emphasis, weight_max);
  out.cell = cell_of(pack, urgent);
  return out;
}

// ---- the population

uint32_t Sampler::row_of(const PackKey& key) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = key.hash & mask; slots_[at] != 0; at = (at + 1) & mask)
    if (rows_[slots_[at] - 1].key == key) return slots_[at] - 1;
  return no_row;
}

void Sampler::remember(uint32_t row) {
  const size_t mask = slots_.size() - 1;
  size_t at = rows_[row].key.hash & mask;
  while (slots_[at] != 0) at = (at + 1) & mask;
  slots_[at] = row + 1;
}

void Sampler::rehash(size_t slots) {
  slots_.assign(slots, 0);
  for (uint32_t row = 0; row < rows_.size(); ++row) remember(row);
}

void Sampler::place(uint32_t row) {
  const PackWeight w = weigh(rows_[row]);
  if (w.excluded != Exclusion::none) return;
  const uint32_t weight = fixed(w.weight);
  if (weight > 0)
    cells_[w.cell].put({rows_[row].key, weight, row});
  else
    idle_.put({rows_[row].key, 1, row});
}

void Sampler::unplace(uint32_t row) {
  const PackWeight w = weigh(rows_[row]);
  if (w.excluded != Exclusion::none) return;
  if (fixed(w.weight) > 0)
    cells_[w.cell].erase(rows_[row].key);
  else
    idle_.erase(rows_[row].key);
}

void Sampler::put(const PackFacts& pack) {
  DROVER_CHECK(pack.tier < tier_count, "facts come from a FactsBuilder");
  uint32_t row = row_of(pack.key);
  if (row == no_row) {
    row = static_cast<uint32_t>(rows_.size());
    rows_.push_back(pack);
    alive_.push_back(true);
    ++live_;
    if (rows_.size() * 2 > slots_.size())
      rehash(slots_.size() * 2);
    else
      remember(row);
  } else {
    if (alive_[row]) unplace(row);
    if (!alive_[row]) ++live_;
    alive_[row] = true;
    rows_[row] = pack;
  }
  place(row);
}

bool Sampler::erase(const PackKey& key) {
  const uint32_t row = row_of(key);
  if (row == no_row || !alive_[row]) return false;
  unplace(row);
  alive_[row] = false;
  --live_;
  return true;
}

const PackFacts* Sampler::find(const PackKey& key) const {
  const uint32_t row = row_of(key);
  return row == no_row || !alive_[row] ? nullptr : &rows_[row];
}

Population Sampler::population() const {
  Population out;
  out.groups.assign(config_.groups.size(), 0);
  for (size_t row = 0; row < rows_.size(); ++row) {
    if (!alive_[row]) continue;
    const PackFacts& pack = rows_[row];
    const PackWeight w = weigh(pack);
    ++out.packs;
    ++out.tiers[pack.tier];
    ++out.excluded[static_cast<size_t>(w.excluded)];
    out.unvalued += pack.valued ? 0 : 1;
    if (w.excluded == Exclusion::none && fixed(w.weight) == 0) ++out.zero_weight, out.gated += w.gated ? 1 : 0;
    for (size_t i = 0; i < out.groups.size(); ++i) out.groups[i] += pack.groups >> i & 1;
  }
  out.excluded[0] = 0;
  return out;
}

uint64_t Sampler::memory_bytes() const {
  uint64_t out = rows_.capacity() * sizeof(PackFacts) + alive_.capacity() / 8 + slots_.capacity() * sizeof(uint32_t);
  for (const auto& [number, cell] : cells_) out += cell.memory_bytes();
  return out + idle_.memory_bytes();
}

// ---- drawing

Sampler::Plan Sampler::plan(uint32_t batch) const {
  Plan out;
  switch (setup_.strategy) {
    case Strategy::balanced:
      for (uint16_t tier = 0; tier < tier_count; ++tier) {
        const bool barred =
            (setup_.phase == Phase::warmup && tier > 1) || (setup_.phase == Phase::frontier && tier < 1);
        out.sets.push_back({fmt::format("tier {}", tier), barred ? 0 : config_.tier_shares[tier], tier_mask, tier});
      }
      break;
    case Strategy::frontier_focused:
      out.sets.push_back({"urgent", config_.frontier.urgent_share, urgent_bit, urgent_bit});
      out.sets.push_back({"below", 1 - config_.frontier.urgent_share, urgent_bit, 0});
      break;
    case Strategy::urgency_driven:
      out.sets.push_back({"all", 1, 0, 0});
      break;
    case Strategy::tag_aware: {
      double rest = 1;
      for (size_t i = 0; i < config_.quotas.size(); ++i) {
        const auto bit = static_cast<uint16_t>(1u << (quota_shift + i));
        out.sets.push_back({config_.quotas[i].group, config_.quotas[i].share, bit, bit});
        rest -= config_.quotas[i].share;
      }
      out.sets.push_back({"free", std::max(0.0, rest), 0, 0});
      out.free_last = true;
      break;
    }
  }
  std::vector<double> shares;
  for (const Plan::Set& set : out.sets) shares.push_back(set.share);
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (Plan::Set& set : out.sets) set.share = sum > 0 ? set.share / sum : 0;
  out.wanted = apportion(shares, batch);
  return out;
}

// One batch in the making. What it takes out of the cells is put back when it ends.
class Sampler::Drawing {
 public:
  Drawing(Sampler& sampler, const DrawRequest& request, Plan plan)
      : sampler_(sampler),
        request_(request),
        plan_(std::move(plan)),
        rng_(runtime::Rng::stream(request.seed, fmt::format("sample/{}", request.number))) {}
  ~Drawing() { put_back(); }
  Drawing(const Drawing&) = delete;
  Drawing& operator=(const Drawing&) = delete;

  Batch run() {
    gather();
    shuffle_slots();
    std::vector<uint32_t> unfilled(plan_.sets.size());
    for (const uint16_t set : slots_)
      if (!take(set)) ++unfilled[set];
    refill(unfilled);
    report(unfilled);
    return std::move(out_);
  }

  Batch run_uniform() {
    out_.uniform = true;
    out_.sets.push_back({"all", 1, request_.batch, 0, 0});
    out_.notes.push_back("every weight is 0: drawn uniformly");
    cells_.assign(1, {{&sampler_.idle_, false}});
    while (out_.draws.size() < request_.batch) take_or_repeat();
    return std::move(out_);
  }

 private:
  struct CellRef {
    WeightedSet* cell = nullptr;
    bool synthetic = false;
  };
  struct Taken {
    WeightedSet* cell = nullptr;
    PackKey key;
    uint32_t weight = 0;
  };

  // Cells of each set, what they weigh, and how many of the batch may be synthetic.
  void gather() {
    uint64_t real = 0;
    for (auto& [number, cell] : sampler_.cells_)
      if ((number & synthetic_bit) == 0) real += cell.total();
    capped_ = real > 0;
    synthetic_max_ = static_cast<uint32_t>(sampler_.config_.synthetic.share_max * request_.batch + 1e-9);
    cells_.resize(plan_.sets.size());
    for (size_t i = 0; i < plan_.sets.size(); ++i) {
      const Plan::Set& set = plan_.sets[i];
      uint64_t total = 0;
      for (auto& [number, cell] : sampler_.cells_) {
        if ((number & set.mask) != set.value || cell.total() == 0) continue;
        cells_[i].push_back({&cell, (number & synthetic_bit) != 0});
        total += cell.total();
      }
      out_.sets.push_back({set.name, set.share, plan_.wanted[i], 0, static_cast<double>(total) * weight_unit});
    }
  }

  // In any order, so that no set is served before another.
  void shuffle_slots() {
    for (size_t i = 0; i < plan_.wanted.size(); ++i)
      slots_.insert(slots_.end(), plan_.wanted[i], static_cast<uint16_t>(i));
    for (size_t i = slots_.size(); i > 1; --i) std::swap(slots_[i - 1], slots_[rng_.below(i)]);
  }

  bool closed(const CellRef& ref) const { return ref.synthetic && capped_ && out_.synthetic >= synthetic_max_; }

  uint64_t weight_of(size_t set) const {
    uint64_t total = 0;
    for (const CellRef& ref : cells_[set]) total += closed(ref) ? 0 : ref.cell->total();
    return total;
  }

  // False: nothing is left in the set.
  bool take(size_t set) {
    const uint64_t total = weight_of(set);
    if (total == 0) return false;
    uint64_t point = rng_.below(total);
    for (const CellRef& ref : cells_[set]) {
      if (closed(ref)) continue;
      if (point >= ref.cell->total()) {
        point -= ref.cell->total();
        continue;
      }
      const WeightedSet::Item item = ref.cell->at(point);
      ref.cell->set_weight(item.key, 0);
      taken_.push_back({ref.cell, item.key, item.weight});
      record(item.row, set);
      return true;
    }
    DROVER_CHECK(false, "the totals of the cells add up");
    return false;
  }

  void record(uint32_t row, size_t set) {
    const PackFacts& pack = sampler_.rows_[row];
    out_.draws.push_back({pack, sampler_.weigh(pack), static_cast<uint16_t>(set)});
    ++out_.sets[set].drawn;
    ++out_.tiers[pack.tier];
    out_.synthetic += pack.origin == Origin::real ? 0 : 1;
    out_.groups.resize(sampler_.config_.groups.size());
    for (size_t i = 0; i < out_.groups.size(); ++i) out_.groups[i] += pack.groups >> i & 1;
  }

  // Slots that their own set could not fill: to the free set, else to the others by their shares.
  void refill(const std::vector<uint32_t>& unfilled) {
    uint32_t left = std::accumulate(unfilled.begin(), unfilled.end(), 0u);
    while (left > 0) {
      std::vector<double> shares(plan_.sets.size());
      double sum = 0;
      for (size_t i = 0; i < shares.size(); ++i) {
        if (plan_.free_last && i + 1 < shares.size()) continue;
        if (weight_of(i) > 0) sum += shares[i] = std::max(plan_.sets[i].share, 1e-6);
      }
      if (!(sum > 0)) {
        repeat();
        continue;
      }
      const std::vector<uint32_t> more = apportion(shares, left);
      for (size_t i = 0; i < more.size(); ++i)
        for (uint32_t n = 0; n < more[i] && take(i); ++n) --left;
    }
  }

  void take_or_repeat() {
    if (!take(0)) repeat();
  }

  // Every pack was drawn: all of them may come again.
  void repeat() {
    if (!out_.repeats)
      out_.notes.push_back(fmt::format("the batch of {} is larger than the set of {} packs: packs repeat",
                                       request_.batch, out_.draws.size()));
    out_.repeats = true;
    DROVER_CHECK(!taken_.empty(), "a draw begins with weight");
    put_back();
  }

  void put_back() {
    for (const Taken& t : taken_) t.cell->set_weight(t.key, t.weight);
    taken_.clear();
  }

  void report(const std::vector<uint32_t>& unfilled) {
    for (size_t i = 0; i < unfilled.size(); ++i)
      if (unfilled[i] > 0)
        out_.notes.push_back(fmt::format("{}: {} of {} slots went to others, too few packs have weight",
                                         plan_.sets[i].name, unfilled[i], plan_.wanted[i]));
    if (capped_ && out_.synthetic >= synthetic_max_ && out_.synthetic > 0)
      out_.notes.push_back(fmt::format("synthetic packs end at {} of {}", synthetic_max_, request_.batch));
    if (!capped_) out_.notes.push_back("no real pack has weight: the whole batch is synthetic");
  }

  Sampler& sampler_;
  DrawRequest request_;
  Plan plan_;
  runtime::Rng rng_;
  std::vector<std::vector<CellRef>> cells_;  // by set
  std::vector<uint16_t> slots_;
  std::vector<Taken> taken_;
  uint32_t synthetic_max_ = 0;
  bool capped_ = false;
  Batch out_;
};

Result<Batch> Sampler::draw(const DrawRequest& request) {
  if (request.batch < 1 || request.batch > batch_max)
    return fail(Errc::invalid_argument, "batch", fmt::format("must be 1 to {}", batch_max));
  const bool weighted = std::any_of(cells_.begin(), cells_.end(), [](const auto& c) { return c.second.total() > 0; });
  if (!weighted && idle_.size() == 0) {
    if (live_ == 0) return fail(Errc::not_found, "sample", "there are no datapacks");
    const Population p = population();
    return fail(Errc::not_found, "sample",
                fmt::format("none of {} datapacks may be drawn in phase {}: {} of another tier, {} with critical "
                            "fragility, {} with prerequisites that are not met",
                            p.packs, setup_.phase ? phase_name(*setup_.phase) : "none", p.excluded[1], p.excluded[2],
                            p.excluded[3]));
  }
  Drawing drawing(*this, request, plan(request.batch));
  return weighted ? drawing.run() : drawing.run_uniform();
}

}  // namespace drover::sampling
