#include "actors/datapack/skill_adapter.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>

namespace drover::datapack {
namespace {

constexpr size_t neighbourhood = 15;  // packs that tell how hard a condition is
constexpr double shrink_weight = 5;   // packs that the mean of all counts for in a recommendation
constexpr size_t curriculum_samples_max = 4000;

// Means of packs, added in order of pack_id, so that the order of samples does not show in the last digit.
std::vector<const SkillSample*> sorted(std::span<const SkillSample> samples) {
  std::vector<const SkillSample*> out;
  out.reserve(samples.size());
  for (const SkillSample& s : samples) out.push_back(&s);
  std::sort(out.begin(), out.end(), [](const auto* a, const auto* b) { return a->pack_id < b->pack_id; });
  return out;
}

double ratio(double part, uint64_t whole) {
  return whole == 0 ? 0 : part / static_cast<double>(whole);
}
double ratio(uint64_t part, uint64_t whole) {
  return ratio(static_cast<double>(part), whole);
}

bool uses_skill(const SkillSample& s, int64_t skill_id) {
  return std::any_of(s.uses.begin(), s.uses.end(), [&](const SkillUse& use) { return use.skill_id == skill_id; });
}

double value_of(const SkillSample& s) {
  return s.trust * s.w_econ * s.delta_j;
}

const char* band(double value, double middle, double high) {
  return value < middle ? "low" : value < high ? "medium" : "high";
}

double place_distance(const SkillSample& a, const SkillSample& b) {
  double sum = 0;
  for (size_t i = 0; i < std::min(a.place.size(), b.place.size()); ++i) {
    const double d = (double{static_cast<double>(a.place[i])} - static_cast<double>(b.place[i])) / 127;
    sum += d * d;
  }
  return std::sqrt(sum);
}

template <class T>
void cut(std::vector<T>& list, size_t limit) {
  if (list.size() > limit) list.resize(limit);
}

}  // namespace

bool succeeded(const std::string& outcome) {
  return outcome == "success" || outcome == "recovered";
}
bool failed(const std::string& outcome) {
  return outcome == "failure" || outcome == "failed";
}

std::vector<std::string> world_tags(const Datapack& pack) {
  std::set<std::string> tags;
  if (pack.condition.tags_json.empty()) return {};
  const auto json = nlohmann::json::parse(pack.condition.tags_json, nullptr, false);
  if (!json.is_object()) return {};
  for (const auto& [key, value] : json.items())
    if (key != "template" && key != "complete")
      tags.insert(key + ":" + (value.is_string() ? value.get<std::string>() : value.dump()));
  return {tags.begin(), tags.end()};
}

std::vector<std::string> condition_tags(const Datapack& pack) {
  const Condition& c = pack.condition;
  std::set<std::string> tags{"engine:" + c.engine_type, "lighting:" + c.lighting_profile,
                             std::string("friction:") + band(c.drawer_friction, 2, 6),
                             std::string("occlusion:") + band(c.occlusion_level, 1.0 / 3, 2.0 / 3)};
  double offset2 = 0;
  for (const double v : c.vase_offset_m) offset2 += v * v;
  tags.insert(offset2 < 0.03 * 0.03 ? "offset:near" : "offset:far");
  if (!c.world_id.empty()) tags.insert("world:" + c.world_id);
  for (std::string& tag : world_tags(pack)) tags.insert(std::move(tag));
  return {tags.begin(), tags.end()};
}

std::vector<int8_t> condition_vector(const Datapack& pack) {
  const Condition& c = pack.condition;
  std::vector<double> v(24);
  for (size_t i = 0; i < std::min<size_t>(3, c.vase_offset_m.size()); ++i) v[i] = c.vase_offset_m[i] / 0.15;
  v[3] = c.drawer_friction > 0 ? c.drawer_friction / (c.drawer_friction + 5) : 0;
  v[4] = c.occlusion_level;
  // Whatever has no measure of its own: words, spread as signs.
  for (const std::string& tag : condition_tags(pack)) {
    if (tag.starts_with("friction:") || tag.starts_with("occlusion:") || tag.starts_with("offset:")) continue;
    uint64_t h = 0xcbf29ce484222325u;
    for (const char ch : tag) h = (h ^ static_cast<unsigned char>(ch)) * 0x100000001b3u;
    for (size_t i = 5; i < v.size(); ++i) v[i] += (h >> i & 1) != 0 ? 0.1 : -0.1;
  }
  std::vector<int8_t> out;
  for (const double x : v) out.push_back(static_cast<int8_t>(std::lround(std::clamp(x, -1.0, 1.0) * 127)));
  return out;
}

SkillSample skill_sample(const Datapack& pack) {
  SkillSample s;
  s.pack_id = pack.pack_id;
  s.robot = pack.provenance.robot;
  s.start_unix_ns = pack.provenance.start_unix_ns;
  s.bucket = pack.bucket;
  s.delta_j = pack.attribution.delta_J;
  s.trust = pack.attribution.trust_score;
  s.w_econ = pack.attribution.w_econ;
  for (const SkillStep& step : pack.skill_trace)
    s.uses.push_back({step.skill_id, step.start_s, step.end_s, step.outcome});
  s.conditions = condition_tags(pack);
  s.place = condition_vector(pack);
  std::set<std::string> events;
  for (const std::string& tag : pack.semantic_tags)
    if (tag.starts_with("event:") || tag == "safety_violated" || tag == "error_event") events.insert(tag);
  s.events.assign(events.begin(), events.end());
  s.counterfactual_json = pack.counterfactual_plan_json;
  return s;
}

std::map<int64_t, SkillStatistics> skill_statistics(std::span<const SkillSample> samples) {
  std::map<int64_t, SkillStatistics> out;
  std::map<int64_t, double> squares;
  for (const SkillSample* s : sorted(samples)) {
    std::set<int64_t> seen;
    for (const SkillUse& use : s->uses) {
      SkillStatistics& stats = out[use.skill_id];
      ++stats.uses;
      stats.duration_s_mean += use.end_s - use.start_s;
      if (succeeded(use.outcome)) ++stats.successes;
      if (use.outcome == "recovered") ++stats.recovered;
      if (failed(use.outcome)) ++stats.failures;
      if (!seen.insert(use.skill_id).second) continue;
      ++stats.packs;
      stats.delta_j_mean += s->delta_j;
      squares[use.skill_id] += s->delta_j * s->delta_j;
      stats.trust_mean += s->trust;
      stats.w_econ_mean += s->w_econ;
    }
  }
  for (auto& [skill_id, stats] : out) {
    stats.success_rate = ratio(stats.successes, stats.uses);
    stats.failure_rate = ratio(stats.failures, stats.uses);
    stats.delta_j_mean = ratio(stats.delta_j_mean, stats.packs);
    const double variance = ratio(squares[skill_id], stats.packs) - stats.delta_j_mean * stats.delta_j_mean;
    stats.delta_j_std = std::sqrt(std::max(0.0, variance));
    stats.trust_mean = ratio(stats.trust_mean, stats.packs);
    stats.w_econ_mean = ratio(stats.w_econ_mean, stats.packs);
    stats.duration_s_mean = ratio(stats.duration_s_mean, stats.uses);
  }
  return out;
}

std::vector<FailureMode> failure_modes(std::span<const SkillSample> samples, int64_t skill_id, size_t limit) {
  std::map<std::pair<std::vector<int64_t>, std::vector<std::string>>, FailureMode> modes;
  for (const SkillSample* s : sorted(samples)) {
    if (s->bucket != Bucket::negative || !uses_skill(*s, skill_id)) continue;
    std::vector<int64_t> failed_skills;
    for (const SkillUse& use : s->uses)
      if (failed(use.outcome)) failed_skills.push_back(use.skill_id);
    FailureMode& mode = modes[{failed_skills, s->events}];
    if (mode.packs == 0 || s->delta_j < mode.delta_j_worst) {
      mode.delta_j_worst = s->delta_j;
      mode.worst_pack = s->pack_id;
      mode.counterfactual_json = s->counterfactual_json;
    }
    ++mode.packs;
    mode.loss -= s->delta_j;
  }
  std::vector<FailureMode> out;
  for (auto& [key, mode] : modes) {
    mode.failed_skills = key.first;
    mode.events = key.second;
    mode.delta_j_mean = -mode.loss / static_cast<double>(mode.packs);
    out.push_back(std::move(mode));
  }
  std::sort(out.begin(), out.end(), [](const FailureMode& a, const FailureMode& b) {
    return std::tie(a.delta_j_mean, a.worst_pack) < std::tie(b.delta_j_mean, b.worst_pack);
  });
  cut(out, limit);
  return out;
}

std::vector<SequencePattern> sequence_patterns(std::span<const SkillSample> samples, size_t length_min,
                                               size_t length_max, size_t limit) {
  length_min = std::clamp<size_t>(length_min, 2, 8);
  length_max = std::clamp<size_t>(length_max, length_min, 8);
  std::map<std::vector<int64_t>, SequencePattern> patterns;
  for (const SkillSample* s : sorted(samples)) {
    std::set<std::vector<int64_t>> seen;
    for (size_t start = 0; start < s->uses.size(); ++start) {
      std::vector<int64_t> run;
      for (size_t i = start; i < s->uses.size() && run.size() < length_max; ++i) {
        run.push_back(s->uses[i].skill_id);
        if (run.size() >= length_min) seen.insert(run);
      }
    }
    for (const auto& run : seen) {
      SequencePattern& pattern = patterns[run];
      ++pattern.packs;
      if (s->bucket == Bucket::positive) ++pattern.positive;
      pattern.delta_j_mean += s->delta_j;
    }
  }
  std::vector<SequencePattern> out;
  for (auto& [run, pattern] : patterns) {
    pattern.skills = run;
    pattern.positive_rate = ratio(pattern.positive, pattern.packs);
    pattern.delta_j_mean = ratio(pattern.delta_j_mean, pattern.packs);
    out.push_back(std::move(pattern));
  }
  std::sort(out.begin(), out.end(), [](const SequencePattern& a, const SequencePattern& b) {
    return a.packs != b.packs ? a.packs > b.packs : a.skills < b.skills;
  });
  cut(out, limit);
  return out;
}

std::vector<ContrastivePair> contrastive_pairs(std::span<const SkillSample> samples, double distance_max,
                                               size_t limit) {
  struct Candidate {
    double distance = 0;
    double gap = 0;
    const SkillSample* positive = nullptr;
    const SkillSample* negative = nullptr;
  };
  constexpr size_t kept_per_negative = 4;  // so that a taken positive leaves others
  const auto ahead = [](const Candidate& a, const Candidate& b) {
    if (a.distance != b.distance) return a.distance < b.distance;
    if (a.gap != b.gap) return a.gap > b.gap;
    return std::tie(a.positive->pack_id, a.negative->pack_id) < std::tie(b.positive->pack_id, b.negative->pack_id);
  };
  std::vector<const SkillSample*> positive, negative;
  for (const SkillSample* s : sorted(samples)) (s->bucket == Bucket::positive ? positive : negative).push_back(s);
  std::vector<Candidate> all;
  for (const SkillSample* n : negative) {
    std::vector<Candidate> near;
    for (const SkillSample* p : positive) {
      const Candidate c{place_distance(*p, *n), p->delta_j - n->delta_j, p, n};
      if (c.distance > distance_max || (near.size() == kept_per_negative && !ahead(c, near.back()))) continue;
      near.insert(std::upper_bound(near.begin(), near.end(), c, ahead), c);
      cut(near, kept_per_negative);
    }
    all.insert(all.end(), near.begin(), near.end());
  }
  std::sort(all.begin(), all.end(), ahead);
  std::set<const SkillSample*> used;
  std::vector<ContrastivePair> out;
  for (const Candidate& c : all) {
    if (out.size() == limit) break;
    if (used.contains(c.positive) || used.contains(c.negative)) continue;
    used.insert({c.positive, c.negative});
    out.push_back({c.positive->pack_id, c.negative->pack_id, c.distance, c.gap});
  }
  return out;
}

namespace {

// Share of negative packs among the nearest by condition, itself included; all that are as near as the last of them.
double difficulty_of(const SkillSample& s, const std::vector<const SkillSample*>& all) {
  std::vector<double> distances;
  distances.reserve(all.size());
  for (const SkillSample* other : all) distances.push_back(place_distance(s, *other));
  std::vector<double> sorted_distances = distances;
  const size_t last = std::min(neighbourhood, all.size()) - 1;
  std::nth_element(sorted_distances.begin(), sorted_distances.begin() + static_cast<std::ptrdiff_t>(last),
                   sorted_distances.end());
  uint64_t near = 0, negative = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (distances[i] > sorted_distances[last]) continue;
    ++near;
    if (all[i]->bucket == Bucket::negative) ++negative;
  }
  return ratio(negative, near);
}

}  // namespace

std::vector<CurriculumLevel> curriculum_levels(std::span<const SkillSample> samples, size_t levels) {
  std::vector<const SkillSample*> all = sorted(samples);
  cut(all, curriculum_samples_max);
  levels = std::clamp<size_t>(levels, 1, 100);
  struct Rated {
    double difficulty = 0;
    const SkillSample* sample = nullptr;
  };
  std::vector<Rated> rated;
  for (const SkillSample* s : all) rated.push_back({difficulty_of(*s, all), s});
  std::sort(rated.begin(), rated.end(), [](const Rated& a, const Rated& b) {
    if (a.difficulty != b.difficulty) return a.difficulty < b.difficulty;
    if (a.sample->delta_j != b.sample->delta_j) return a.sample->delta_j > b.sample->delta_j;
    return a.sample->pack_id < b.sample->pack_id;
  });
  std::vector<CurriculumLevel> out;
  for (size_t level = 0; level < levels; ++level) {
    const size_t begin = level * rated.size() / levels;
    const size_t end = (level + 1) * rated.size() / levels;
    CurriculumLevel one;
    one.level = level;
    if (begin < end) {
      one.difficulty_low = rated[begin].difficulty;
      one.difficulty_high = rated[end - 1].difficulty;
    }
    uint64_t positive = 0;
    for (size_t i = begin; i < end; ++i) {
      one.packs.push_back(rated[i].sample->pack_id);
      one.delta_j_mean += rated[i].sample->delta_j;
      if (rated[i].sample->bucket == Bucket::positive) ++positive;
    }
    one.delta_j_mean = ratio(one.delta_j_mean, end - begin);
    one.positive_rate = ratio(positive, end - begin);
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<ValueCell> value_matrix(std::span<const SkillSample> samples) {
  struct Sums {
    ValueCell cell;
    uint64_t uses = 0;
    uint64_t successes = 0;
  };
  std::map<std::pair<int64_t, std::string>, Sums> cells;
  std::map<std::string, uint64_t> packs_with;
  for (const SkillSample* s : sorted(samples)) {
    for (const std::string& tag : s->conditions) ++packs_with[tag];
    std::map<int64_t, std::pair<uint64_t, uint64_t>> uses;  // skill -> uses, successes
    for (const SkillUse& use : s->uses) {
      auto& counts = uses[use.skill_id];
      ++counts.first;
      if (succeeded(use.outcome)) ++counts.second;
    }
    for (const auto& [skill_id, counts] : uses) {
      for (const std::string& tag : s->conditions) {
        Sums& sums = cells[{skill_id, tag}];
        ++sums.cell.packs;
        sums.uses += counts.first;
        sums.successes += counts.second;
        sums.cell.delta_j_mean += s->delta_j;
        sums.cell.value_mean += value_of(*s);
      }
    }
  }
  std::vector<ValueCell> out;
  for (auto& [key, sums] : cells) {
    if (packs_with[key.second] == samples.size()) continue;
    ValueCell cell = sums.cell;
    cell.skill_id = key.first;
    cell.condition = key.second;
    cell.success_rate = ratio(sums.successes, sums.uses);
    cell.delta_j_mean = ratio(cell.delta_j_mean, cell.packs);
    cell.value_mean = ratio(cell.value_mean, cell.packs);
    out.push_back(std::move(cell));
  }
  return out;
}

std::vector<Recommendation> recommend_skills(std::span<const SkillSample> samples, const std::vector<std::string>& tags,
                                             size_t limit) {
  struct Sums {
    double all = 0, here = 0;
    uint64_t packs_all = 0, packs_here = 0, uses = 0, successes = 0;
  };
  std::map<int64_t, Sums> skills;
  for (const SkillSample* s : sorted(samples)) {
    const bool here = std::all_of(tags.begin(), tags.end(), [&](const std::string& tag) {
      return std::binary_search(s->conditions.begin(), s->conditions.end(), tag);
    });
    std::set<int64_t> seen;
    for (const SkillUse& use : s->uses) {
      Sums& sums = skills[use.skill_id];
      ++sums.uses;
      if (succeeded(use.outcome)) ++sums.successes;
      if (!seen.insert(use.skill_id).second) continue;
      ++sums.packs_all;
      sums.all += value_of(*s);
      if (!here) continue;
      ++sums.packs_here;
      sums.here += value_of(*s);
    }
  }
  std::vector<Recommendation> out;
  for (const auto& [skill_id, sums] : skills) {
    const double general = ratio(sums.all, sums.packs_all);
    const double score = (sums.here + shrink_weight * general) / (static_cast<double>(sums.packs_here) + shrink_weight);
    out.push_back({skill_id, score, ratio(sums.successes, sums.uses), sums.packs_here});
  }
  std::sort(out.begin(), out.end(), [](const Recommendation& a, const Recommendation& b) {
    if (a.score != b.score) return a.score > b.score;
    if (a.success_rate != b.success_rate) return a.success_rate > b.success_rate;
    return a.skill_id < b.skill_id;
  });
  cut(out, limit);
  return out;
}

std::vector<TrainingUse> training_data(std::span<const SkillSample> samples, int64_t skill_id, size_t limit) {
  std::vector<TrainingUse> out;
  for (const SkillSample* s : sorted(samples))
    for (const SkillUse& use : s->uses)
      if (use.skill_id == skill_id)
        out.push_back({s->pack_id, use.start_s, use.end_s, use.outcome, s->delta_j, s->trust * s->w_econ});
  std::stable_sort(out.begin(), out.end(), [](const TrainingUse& a, const TrainingUse& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.delta_j > b.delta_j;
  });
  cut(out, limit);
  return out;
}

}  // namespace drover::datapack
