#include "actors/semantics/correlator.hpp"

#include <algorithm>
#include <cmath>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"
#include "actors/semantics/names.hpp"
#include "messages/hash.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.correlator.v1";
constexpr std::array<std::string_view, 3> metric_names = {"damage", "mpl", "success"};
constexpr double ratio_max = 1e6;
constexpr double ood_high = 0.8;

// Poisson(1) from one byte: the quantiles of the distribution at 1/256 steps (e^-1 = .368, then .736, .920, .981,
// .996).
constexpr std::array<uint8_t, 256> poisson_table = [] {
  std::array<uint8_t, 256> out{};
  for (size_t i = 0; i < 256; ++i) out[i] = i < 94 ? 0 : i < 188 ? 1 : i < 235 ? 2 : i < 251 ? 3 : i < 255 ? 4 : 5;
  return out;
}();

// Weights of one episode in all replicates: a stream of bytes from its id and the seed (SplitMix64).
void draw_weights(std::string_view pack_id, uint64_t seed, std::array<double, Correlator::replicates>& out) {
  uint64_t state = checksum64(as_bytes(pack_id), seed);
  for (size_t b = 0; b < out.size(); b += 8) {
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    for (size_t i = 0; i < 8; ++i) out[b + i] = poisson_table[(z >> (8 * i)) & 0xFF];
  }
}

double value_of(Metric metric, const OutcomeFacts& o) {
  switch (metric) {
    case Metric::damage:
      return o.damage;
    case Metric::mpl:
      return o.mpl;
    case Metric::success:
      return o.success ? 1.0 : 0.0;
  }
  return 0;
}

double effect_of(const Claim& claim, double with, double without) {
  if (!claim.ratio) return with - without;
  if (without > 0) return std::min(ratio_max, with / without);
  return with > 0 ? ratio_max : 1.0;  // nothing on either side: no difference
}

bool on_side(const Claim& claim, double effect, double bound, bool inclusive) {
  const double margin = claim.upward ? effect - bound : bound - effect;
  return inclusive ? margin >= 0 : margin > 0;
}

}  // namespace

std::string_view metric_name(Metric metric) noexcept {
  return enum_name(metric_names, metric);
}

uint32_t correlated_bits(const TagSet& tags, bool had_failure) {
  uint32_t bits = had_failure ? failure_bit : 0;
  for (size_t i = 0; i < tag_kind_count; ++i)
    if (tags.has(static_cast<TagKind>(i))) bits |= 1u << i;
  const auto without = [&](TagKind kind) { bits &= ~(1u << static_cast<unsigned>(kind)); };
  if (!tags.high_risk()) without(TagKind::risk);
  if (tags.ood_severity() < ood_high) without(TagKind::ood);
  return bits;
}

uint32_t correlated_bits(const TagSet& tags, std::span<const OodTag> found, bool had_failure) {
  const uint32_t bit = 1u << static_cast<unsigned>(TagKind::ood);
  const bool high = std::any_of(found.begin(), found.end(), [](const OodTag& t) { return t.severity >= ood_high; });
  return (correlated_bits(tags, had_failure) & ~bit) | (high ? bit : 0);
}

Correlator::Correlator(CorrelatorConfig config) : config_(std::move(config)), cells_(config_.claims.size()) {}

void Correlator::observe(std::string_view pack_id, const TagSet& tags, bool had_failure, const OutcomeFacts& outcome) {
  observe(pack_id, correlated_bits(tags, had_failure), outcome);
}

void Correlator::observe(std::string_view pack_id, uint32_t tag_bits, const OutcomeFacts& outcome) {
  if (!std::isfinite(outcome.damage) || !std::isfinite(outcome.mpl)) {
    ++ignored_;
    return;
  }
  ++episodes_;
  std::array<double, replicates> weights;
  draw_weights(pack_id, config_.seed, weights);
  for (size_t i = 0; i < cells_.size(); ++i) {
    const Claim& claim = config_.claims[i];
    if (claim.among_failures && (tag_bits & failure_bit) == 0) continue;
    Group& group = (tag_bits >> static_cast<unsigned>(claim.tag) & 1u) != 0 ? cells_[i].with : cells_[i].without;
    const double y = value_of(claim.metric, outcome);
    ++group.n;
    group.sum += y;
    for (size_t b = 0; b < replicates; ++b) {
      group.weights[b] += weights[b];
      group.sums[b] += weights[b] * y;
    }
  }
}

std::vector<Correlation> Correlator::answers() const {
  std::vector<Correlation> out;
  for (size_t i = 0; i < cells_.size(); ++i) {
    const auto& [with, without] = cells_[i];
    Correlation c;
    c.claim = config_.claims[i];
    c.n_with = with.n;
    c.n_without = without.n;
    c.enough = with.n >= config_.samples_min && without.n >= config_.samples_min;
    if (with.n > 0) c.mean_with = with.sum / static_cast<double>(with.n);
    if (without.n > 0) c.mean_without = without.sum / static_cast<double>(without.n);
    c.effect = c.low = c.high = c.claim.neutral;
    std::vector<double> effects;
    size_t direction = 0, target = 0;
    for (size_t b = 0; b < replicates; ++b) {
      if (with.weights[b] <= 0 || without.weights[b] <= 0) continue;  // an empty replicate says nothing
      const double e = effect_of(c.claim, with.sums[b] / with.weights[b], without.sums[b] / without.weights[b]);
      effects.push_back(e);
      direction += on_side(c.claim, e, c.claim.neutral, false) ? 1 : 0;
      target += on_side(c.claim, e, c.claim.target, true) && on_side(c.claim, e, c.claim.neutral, false) ? 1 : 0;
    }
    if (!effects.empty()) {
      c.effect = effect_of(c.claim, c.mean_with, c.mean_without);
      std::sort(effects.begin(), effects.end());
      const auto at = [&](double q) {
        return effects[static_cast<size_t>(q * static_cast<double>(effects.size() - 1))];
      };
      c.low = at(0.025);
      c.high = at(0.975);
      c.share_direction = static_cast<double>(direction) / static_cast<double>(effects.size());
      c.share_target = static_cast<double>(target) / static_cast<double>(effects.size());
    }
    out.push_back(c);
  }
  return out;
}

std::string Correlator::json() const {
  JsonText out;
  out.begin_object().field("format", format_name).field("episodes", episodes_).field("ignored", ignored_);
  out.field("seed", config_.seed).key("cells").begin_array();
  for (size_t i = 0; i < cells_.size(); ++i) {
    out.begin_object().field("tag", tag_kind_name(config_.claims[i].tag));
    for (const auto& [name, group] : {std::pair{"with", &cells_[i].with}, std::pair{"without", &cells_[i].without}}) {
      out.key(name).begin_object().field("n", group->n).field("sum", group->sum).key("replicates").begin_array();
      for (size_t b = 0; b < replicates; ++b) out.value(group->weights[b]).value(group->sums[b]);
      out.end_array().end_object();
    }
    out.end_object();
  }
  out.end_array().end_object();
  return std::move(out).text();
}

Status Correlator::restore(std::string_view json) {
  DROVER_ASSIGN(const nlohmann::json root, parse_state(json, format_name));
  Correlator fresh(config_);
  DROVER_ASSIGN(fresh.episodes_, get_count(root, "episodes"));
  DROVER_ASSIGN(fresh.ignored_, get_count(root, "ignored"));
  DROVER_ASSIGN(const uint64_t seed, get_count(root, "seed"));
  DROVER_ASSIGN(const nlohmann::json* cells, get_list(root, "cells"));
  if (seed != config_.seed || cells->size() != cells_.size())
    return bad_state("cells", "belong to another seed or to other claims");
  for (size_t i = 0; i < cells_.size(); ++i) {
    DROVER_ASSIGN(const std::string tag, get_text((*cells)[i], "tag"));
    if (tag != tag_kind_name(config_.claims[i].tag)) return bad_state("cells", "belong to other claims");
    for (const auto& [name, group] :
         {std::pair{"with", &fresh.cells_[i].with}, std::pair{"without", &fresh.cells_[i].without}}) {
      DROVER_ASSIGN(const nlohmann::json* from, get_map((*cells)[i], name));
      DROVER_ASSIGN(group->n, get_count(*from, "n"));
      DROVER_ASSIGN(group->sum, get_number(*from, "sum"));
      DROVER_ASSIGN(const nlohmann::json* numbers, get_list(*from, "replicates"));
      if (numbers->size() != 2 * replicates) return bad_state(name, "must hold two numbers per replicate");
      for (size_t b = 0; b < replicates; ++b) {
        if (!(*numbers)[2 * b].is_number() || !(*numbers)[2 * b + 1].is_number())
          return bad_state(name, "must hold numbers");
        group->weights[b] = (*numbers)[2 * b].get<double>();
        group->sums[b] = (*numbers)[2 * b + 1].get<double>();
      }
    }
  }
  *this = std::move(fresh);
  return {};
}

}  // namespace drover::semantics
