#include "actors/datapack/novelty.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include "actors/datapack/portable_artifacts.hpp"
#include "actors/datapack/skill_adapter.hpp"

namespace drover::datapack {
namespace {

constexpr double steps_per_unit = 127;         // of a facts feature, which lies in -1..1
constexpr double visual_steps_per_unit = 254;  // of an encoder feature, which lies in 0..1
constexpr std::string_view pool_encoder = "vision_rgb::deterministic_pool_v1";

int8_t quantised(double value) {
  return static_cast<int8_t>(std::lround(std::clamp(value, -1.0, 1.0) * steps_per_unit));
}

uint64_t mix(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
uint64_t text_hash(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mix(h);
}

// log10 of value between `low` and `high` decades, as -1..1; nothing or less: -1.
double on_log_scale(double value, double low, double high) {
  if (!(value > 0)) return -1;
  return std::clamp(2 * (std::log10(value) - low) / (high - low) - 1, -1.0, 1.0);
}
double bent(double value, double middle) {
  return value > 0 ? value / (value + middle) : 0;
}

// Slots of the facts vector: first slot and how many, by group.
struct Slots {
  size_t first = 0;
  size_t count = 1;
};
constexpr Slots vase_offset{0, 3}, friction{3}, occlusion{4}, lighting{5, 3}, engine{8, 3}, world{11, 4}, tags{15, 4},
    duration{19}, steps{20}, distinct{21}, failed{22}, recovered{23}, skill_time{24, 16}, skill_pairs{40, 8},
    measured{48}, power{49}, energy{50}, joints{51, 8}, events{59, 5};
static_assert(events.first + events.count == facts_dim);

class Facts {
 public:
  double& at(const Slots& slots, size_t i = 0) { return values_[slots.first + i]; }
  // Spreads a name over the slots as signs, so that any two names are about equally far apart.
  void name(const Slots& slots, std::string_view text, double weight) {
    const uint64_t h = text_hash(text);
    for (size_t i = 0; i < slots.count; ++i) at(slots, i) += (h >> i & 1) != 0 ? weight : -weight;
  }
  // Adds to the slot that the number or name has.
  void slot(const Slots& slots, uint64_t h, double value) { at(slots, h % slots.count) += value; }
  std::vector<int8_t> quantise() const {
    std::vector<int8_t> out;
    for (const double v : values_) out.push_back(quantised(v));
    return out;
  }

 private:
  std::array<double, facts_dim> values_{};
};

void add_condition(const Datapack& pack, Facts& f) {
  const Condition& c = pack.condition;
  for (size_t i = 0; i < std::min<size_t>(3, c.vase_offset_m.size()); ++i)
    f.at(vase_offset, i) = c.vase_offset_m[i] / 0.15;
  f.at(friction) = bent(c.drawer_friction, 5.0);
  f.at(occlusion) = c.occlusion_level;
  f.name(lighting, c.lighting_profile, 0.25);
  f.name(engine, c.engine_type, 0.15);
  f.name(world, c.world_id, 0.15);
  for (const std::string& tag : world_tags(pack))
    f.slot(tags, text_hash(tag), (text_hash(tag) >> 32 & 1) != 0 ? 0.35 : -0.35);
  for (const std::string& tag : std::set<std::string>(pack.semantic_tags.begin(), pack.semantic_tags.end()))
    f.slot(events, text_hash(tag), (text_hash(tag) >> 32 & 1) != 0 ? 0.35 : -0.35);
}

void add_skills(const Datapack& pack, Facts& f) {
  const auto& trace = pack.skill_trace;
  if (trace.empty()) return;
  double total_s = 0;
  for (const SkillStep& step : trace) total_s += std::max(0.0, step.end_s - step.start_s);
  const auto n = static_cast<double>(trace.size());
  std::set<int64_t> kinds;
  for (size_t i = 0; i < trace.size(); ++i) {
    const SkillStep& step = trace[i];
    kinds.insert(step.skill_id);
    const double share = total_s > 0 ? std::max(0.0, step.end_s - step.start_s) / total_s : 1 / n;
    f.slot(skill_time, static_cast<uint64_t>(step.skill_id), share);
    if (step.outcome == "failure" || step.outcome == "failed") f.at(failed) += 1 / n;
    if (step.outcome == "recovered" || step.outcome == "retry") f.at(recovered) += 1 / n;
    if (i == 0) continue;
    const uint64_t pair = mix(mix(static_cast<uint64_t>(trace[i - 1].skill_id)) + static_cast<uint64_t>(step.skill_id));
    f.slot(skill_pairs, pair, ((pair >> 32 & 1) != 0 ? 0.5 : -0.5) / std::max(1.0, n - 1));
  }
  f.at(duration) = on_log_scale(trace.back().end_s - trace.front().start_s, -1, 3);
  f.at(steps) = bent(n, 8);
  f.at(distinct) = bent(static_cast<double>(kinds.size()), 4);
}

void add_energy(const Datapack& pack, Facts& f) {
  const Energy& e = pack.energy;
  if (!(e.total_Wh > 0)) return;
  f.at(measured) = 0.25;
  f.at(energy) = on_log_scale(e.total_Wh, -4, 2);
  f.at(power) = on_log_scale(e.Wh_per_hour, -1, 4);
  for (const auto& [joint, metrics] : e.per_joint) {
    const auto wh = metrics.find("Wh");
    if (wh != metrics.end()) f.slot(joints, text_hash(joint), wh->second / e.total_Wh);
  }
}

// Mean over the rows of the main camera, or nothing.
std::vector<int8_t> visual_values(const RgbFeatures& features) {
  if (features.dim == 0 || features.dim > novelty_dim_max || features.cameras.empty()) return {};
  const std::vector<float>& rows = features.cameras.front().features;
  const size_t count = rows.size() / features.dim;
  if (count == 0) return {};
  const bool pooled = features.encoder == pool_encoder;
  std::vector<int8_t> out;
  for (size_t d = 0; d < features.dim; ++d) {
    double sum = 0;
    for (size_t r = 0; r < count; ++r) sum += static_cast<double>(rows[r * features.dim + d]);
    const double mean = sum / static_cast<double>(count);
    out.push_back(quantised(pooled ? 2 * (mean - 0.5) : mean));
  }
  return out;
}

// e^-x for x >= 0, the same bits everywhere: table-free, by squaring a short series.
double decay(double x) {
  if (x > 60) return 0;
  const double y = x / 1024;
  double term = 1, sum = 1;
  for (int i = 1; i <= 6; ++i) sum += term *= -y / i;
  for (int i = 0; i < 10; ++i) sum *= sum;
  return sum;
}

}  // namespace

std::vector<FeatureVector> feature_vectors(const Datapack& pack, const NoveltyConfig& config) {
  Facts facts;
  add_condition(pack, facts);
  add_skills(pack, facts);
  add_energy(pack, facts);
  std::vector<FeatureVector> out;
  out.push_back({std::string(facts_encoder), config.facts_scale * steps_per_unit, facts.quantise()});
  if (pack.rgb_features_json.empty()) return out;
  const auto features = parse_rgb_features(pack.rgb_features_json);
  if (!features) return out;
  std::vector<int8_t> values = visual_values(*features);
  if (values.empty()) return out;
  const double unit = config.visual_scale * visual_steps_per_unit * std::sqrt(static_cast<double>(values.size()));
  out.push_back({features->encoder, unit, std::move(values)});
  return out;
}

uint64_t space_id(const std::string& task_name, const FeatureVector& vector) {
  return storage::name_hash(fmt::format("{}\n{}\n{}", task_name, vector.encoder, vector.values.size()));
}

NoveltyScore score_novelty(const std::vector<storage::SpacePlace>& places, double delta_j, uint32_t neighbours) {
  NoveltyScore score;
  std::optional<double> novelty;
  std::map<storage::RowId, std::pair<double, double>> weights;  // id -> weight, delta_J
  for (const storage::SpacePlace& place : places) {
    if (place.neighbours.empty()) continue;
    double near = 0;
    for (const storage::Neighbour& n : place.neighbours) {
      const double weight = decay(std::sqrt(static_cast<double>(n.distance2)) / place.unit);
      near += weight;
      auto& held = weights.try_emplace(n.id, 0.0, n.delta_j).first->second;
      held.first = std::max(held.first, weight);
    }
    novelty = std::max(novelty.value_or(0), 1 - near / neighbours);
  }
  score.novelty = std::clamp(novelty.value_or(1), 0.0, 1.0);
  double sum = 0, weighted = 0;
  for (const auto& [id, held] : weights) {
    sum += held.first;
    weighted += held.first * held.second;
  }
  score.causal_gain = std::abs(delta_j - weighted / std::max(1.0, sum));
  return score;
}

std::string novelty_fingerprint(const NoveltyConfig& config) {
  return fmt::format("{} neighbours={} facts_scale={} visual_scale={}", facts_encoder, config.neighbours,
                     config.facts_scale, config.visual_scale);
}

std::optional<NoveltyConfig> novelty_config_of(std::string_view fingerprint) {
  NoveltyConfig config;
  const std::string text(fingerprint);
  const std::string form = std::string(facts_encoder) + " neighbours=%u facts_scale=%lf visual_scale=%lf";
  if (std::sscanf(text.c_str(), form.c_str(), &config.neighbours, &config.facts_scale, &config.visual_scale) != 3)
    return std::nullopt;
  return config;
}

Status check(const NoveltyConfig& config) {
  if (config.neighbours < 1 || config.neighbours > 16)
    return fail(Errc::invalid_argument, "neighbours", "must be 1 to 16");
  for (const double scale : {config.facts_scale, config.visual_scale})
    if (!(scale >= 0.001 && scale <= 100)) return fail(Errc::invalid_argument, "scale", "must be 0.001 to 100");
  return {};
}

}  // namespace drover::datapack
