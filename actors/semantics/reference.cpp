#include "actors/semantics/reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.ood_reference.v1";
constexpr double bin_ratio = 1.01;
constexpr double lowest = 1e-6;
constexpr size_t bin_count = 2778;  // log(1e12) / log(1.01) and one
constexpr size_t tags_max = 16;
constexpr uint64_t duration_count_min = 5;  // a mean of fewer says nothing
constexpr uint64_t family_count_min = 20;

double visual_severity(double distance) {
  return distance >= 0.95 ? 1.0 : distance > 0.85 ? 0.8 : distance > 0.7 ? 0.5 : 0;
}
double kinematic_severity(double ratio) {
  return ratio >= 1.5 ? 1.0 : ratio >= 1.25 ? 0.8 : ratio > 1 ? 0.6 : 0;
}
double temporal_severity(double ratio) {
  return ratio >= 6 ? 1.0 : ratio >= 4 ? 0.7 : ratio > 3 ? 0.5 : 0;
}

bool is_recovery(const ActionFact& a) {
  return a.label == Label::recovery_maneuver || a.outcome == Outcome::recovered || a.outcome == Outcome::retry;
}

float dot(const float* a, const float* b, size_t n) {
  // Eight sums in a fixed order: the same bits with and without vector instructions.
  std::array<float, 8> sums{};
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (size_t lane = 0; lane < 8; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  for (; i < n; ++i) sums[i % 8] += a[i] * b[i];
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

// The peak and the segment that had it; recovery segments do not count.
struct Peak {
  double value = 0;
  uint32_t segment = 0;
};
template <class Metric>
Peak peak_of(const EpisodeFacts& facts, Metric metric) {
  Peak peak;
  for (size_t i = 0; i < facts.actions.size(); ++i) {
    const double value = static_cast<double>(metric(facts.actions[i].metrics));
    if (!is_recovery(facts.actions[i]) && std::isfinite(value) && value > peak.value)
      peak = {value, static_cast<uint32_t>(i)};
  }
  return peak;
}
Peak joint_peak(const EpisodeFacts& f) {
  return peak_of(f, [](const SegmentMetrics& m) { return m.joint_rad_per_s_max; });
}
Peak force_peak(const EpisodeFacts& f) {
  return peak_of(f, [](const SegmentMetrics& m) { return m.force_N_max; });
}

}  // namespace

void LogHistogram::add(double value) {
  if (bins_.empty()) bins_.resize(bin_count);
  const double place = value > lowest ? std::log(value / lowest) / std::log(bin_ratio) : 0;
  ++bins_[std::min(bin_count - 1, static_cast<size_t>(place))];
  ++count_;
}

double LogHistogram::quantile(double q) const {
  const double wanted = std::ceil(q * static_cast<double>(count_));
  double seen = 0;
  for (size_t i = 0; i < bins_.size(); ++i) {
    seen += bins_[i];
    if (seen >= wanted && seen > 0) return lowest * std::pow(bin_ratio, static_cast<double>(i + 1));
  }
  return 0;
}

void LogHistogram::restore(std::vector<uint32_t> bins) {
  bins_ = std::move(bins);
  count_ = 0;
  for (const uint32_t n : bins_) count_ += n;
}

std::pair<size_t, double> TrainingReference::closest(std::span<const float> embedding) const {
  if (dimension_ == 0 || embedding.size() != dimension_) return {0, 0};
  std::pair<size_t, float> best{0, -1.0F};
  for (size_t row = 0; row < prototypes(); ++row) {
    const float similarity = dot(&prototypes_[row * dimension_], embedding.data(), dimension_);
    if (similarity > best.second) best = {row, similarity};
  }
  return {best.first, std::clamp(1.0 - static_cast<double>(best.second), 0.0, 2.0)};
}

double TrainingReference::distance(std::span<const float> embedding) const {
  return closest(embedding).second;
}

void TrainingReference::learn(const EpisodeFacts& facts, const EmbeddingTrack& embedding) {
  if (ready()) return;
  if (facts.has_joints) joints_.add(joint_peak(facts).value);
  if (facts.has_force) forces_.add(force_peak(facts).value);
  for (const ActionFact& a : facts.actions) {
    for (const size_t row : {static_cast<size_t>(facts.family), durations_.size() - 1}) {
      Durations& d = durations_[row][static_cast<size_t>(a.label)];
      d.sum_s += a.end_s - a.start_s;
      ++d.count;
    }
  }
  if (embedding.dimension > 0 && embedding.dimension <= 4096 && dimension_ == 0) dimension_ = embedding.dimension;
  if (dimension_ > 0 && embedding.dimension == dimension_) {
    for (size_t row = 0; row < embedding.rows(); ++row) {
      const std::span<const float> e(&embedding.values[row * dimension_], dimension_);
      const auto [row_of, away] = closest(e);
      if (prototypes() > 0 && away <= config_.prototype_radius) {
        ++support_[row_of];
      } else if (prototypes() < config_.prototypes_max) {
        prototypes_.insert(prototypes_.end(), e.begin(), e.end());
        support_.push_back(1);
      }
    }
  }
  ++episodes_;
  if (ready()) {
    drop_rare();
    freeze();
  }
}

void TrainingReference::drop_rare() {
  uint64_t all = 0;
  for (const uint64_t n : support_) all += n;
  const double least = config_.prototype_share_min * static_cast<double>(all);
  std::vector<float> kept;
  std::vector<uint64_t> support;
  for (size_t row = 0; row < support_.size(); ++row) {
    if (static_cast<double>(support_[row]) < least) continue;
    kept.insert(kept.end(), prototypes_.begin() + static_cast<std::ptrdiff_t>(row * dimension_),
                prototypes_.begin() + static_cast<std::ptrdiff_t>((row + 1) * dimension_));
    support.push_back(support_[row]);
  }
  prototypes_ = std::move(kept);
  support_ = std::move(support);
}

void TrainingReference::freeze() {
  joint_limit_ = joints_.quantile(config_.percentile);
  force_limit_ = forces_.quantile(config_.percentile);
}

double TrainingReference::mean_duration_s(Family family, Label label) const {
  const auto mean = [](const Durations& d, uint64_t least) {
    return d.count < least ? 0 : d.sum_s / static_cast<double>(d.count);
  };
  const double own = mean(durations_[static_cast<size_t>(family)][static_cast<size_t>(label)], family_count_min);
  return own > 0 ? own : mean(durations_.back()[static_cast<size_t>(label)], duration_count_min);
}

void TrainingReference::detect_visual(const EpisodeFacts& facts, const EmbeddingTrack& embedding,
                                      std::vector<OodTag>& out) const {
  if (prototypes() == 0 || embedding.dimension != dimension_ || !(embedding.stride_s > 0)) return;
  size_t segment = 0;
  double worst = 0;
  const auto close = [&] {
    if (const double severity = visual_severity(worst); severity > 0 && out.size() < tags_max)
      out.push_back({severity, OodSource::visual, fmt::format("embedding distance {:.3f}", worst),
                     static_cast<uint32_t>(segment)});
    worst = 0;
  };
  for (size_t row = 0; row < embedding.rows(); ++row) {
    const double t = static_cast<double>(row) * embedding.stride_s;
    while (segment < facts.actions.size() && facts.actions[segment].end_s <= t) {
      close();
      ++segment;
    }
    if (segment >= facts.actions.size()) return;
    if (is_recovery(facts.actions[segment])) continue;
    worst = std::max(worst, distance({&embedding.values[row * dimension_], dimension_}));
  }
  close();
}

std::vector<OodTag> TrainingReference::detect(const EpisodeFacts& facts, const EmbeddingTrack& embedding,
                                              double detector_trust) const {
  std::vector<OodTag> out;
  if (!ready() || config_.debug || !(detector_trust > config_.detector_trust_min)) return out;
  detect_visual(facts, embedding, out);
  const auto kinematic = [&](const Peak& peak, double limit, const char* what) {
    const double severity = limit > 0 ? kinematic_severity(peak.value / limit) : 0;
    if (severity > 0 && out.size() < tags_max)
      out.push_back({severity, OodSource::kinematic,
                     fmt::format("{} {:.3f} is above the training limit of {:.3f}", what, peak.value, limit),
                     peak.segment});
  };
  if (facts.has_joints) kinematic(joint_peak(facts), joint_limit_, "joint speed [rad/s]");
  if (facts.has_force) kinematic(force_peak(facts), force_limit_, "force [N]");
  for (size_t i = 0; i < facts.actions.size() && out.size() < tags_max; ++i) {
    const ActionFact& a = facts.actions[i];
    const double mean = mean_duration_s(facts.family, a.label);
    const double severity = mean > 0 && !is_recovery(a) ? temporal_severity((a.end_s - a.start_s) / mean) : 0;
    if (severity > 0)
      out.push_back(
          {severity, OodSource::temporal,
           fmt::format("{} took {:.2f} s, its mean is {:.2f} s", label_name(a.label), a.end_s - a.start_s, mean),
           static_cast<uint32_t>(i)});
  }
  std::stable_sort(out.begin(), out.end(), [](const OodTag& a, const OodTag& b) { return a.severity > b.severity; });
  return out;
}

std::string TrainingReference::json() const {
  JsonText out;
  out.begin_object().field("format", format_name).field("episodes", episodes_).field("dimension", dimension_);
  const auto histogram = [&](const char* name, const LogHistogram& h) {
    out.key(name).begin_array();
    for (size_t i = 0; i < h.bins().size(); ++i)
      if (h.bins()[i] > 0) out.begin_array().value(i).value(h.bins()[i]).end_array();
    out.end_array();
  };
  histogram("joints", joints_);
  histogram("forces", forces_);
  out.key("durations").begin_array();
  for (const auto& row : durations_)
    for (const Durations& d : row) out.begin_array().value(d.sum_s).value(d.count).end_array();
  out.end_array().key("prototypes").begin_array();
  for (const float x : prototypes_) out.value(static_cast<double>(x));
  out.end_array().key("support").begin_array();
  for (const uint64_t n : support_) out.value(n);
  out.end_array().end_object();
  return std::move(out).text();
}

Status TrainingReference::restore(std::string_view json) {
  DROVER_ASSIGN(const nlohmann::json root, parse_state(json, format_name));
  TrainingReference fresh(config_);
  DROVER_ASSIGN(fresh.episodes_, get_count(root, "episodes"));
  DROVER_ASSIGN(fresh.dimension_, get_count(root, "dimension"));
  for (const auto& [name, into] : {std::pair{"joints", &fresh.joints_}, std::pair{"forces", &fresh.forces_}}) {
    DROVER_ASSIGN(const nlohmann::json* pairs, get_list(root, name));
    std::vector<uint32_t> bins(pairs->empty() ? 0 : bin_count);
    for (const nlohmann::json& pair : *pairs) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_unsigned() || !pair[1].is_number_unsigned() ||
          pair[0].get<size_t>() >= bin_count)
        return bad_state(name, "must hold [bin, count]");
      bins[pair[0].get<size_t>()] = pair[1].get<uint32_t>();
    }
    into->restore(std::move(bins));
  }
  DROVER_ASSIGN(const nlohmann::json* durations, get_list(root, "durations"));
  if (durations->size() != fresh.durations_.size() * label_count)
    return bad_state("durations", "must hold one entry per family and label");
  for (size_t i = 0; i < durations->size(); ++i) {
    const nlohmann::json& pair = (*durations)[i];
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number() || !pair[1].is_number_unsigned())
      return bad_state("durations", "must hold [sum, count]");
    fresh.durations_[i / label_count][i % label_count] = {pair[0].get<double>(), pair[1].get<uint64_t>()};
  }
  DROVER_ASSIGN(const nlohmann::json* prototypes, get_list(root, "prototypes"));
  for (const nlohmann::json& x : *prototypes) {
    if (!x.is_number()) return bad_state("prototypes", "must hold numbers");
    fresh.prototypes_.push_back(static_cast<float>(x.get<double>()));
  }
  if (fresh.dimension_ > 4096 ||
      (fresh.dimension_ == 0 ? !fresh.prototypes_.empty() : fresh.prototypes_.size() % fresh.dimension_ != 0))
    return bad_state("prototypes", "do not fit the dimension");
  DROVER_ASSIGN(const nlohmann::json* support, get_list(root, "support"));
  if (support->size() != fresh.prototypes()) return bad_state("support", "must hold one count per prototype");
  for (const nlohmann::json& n : *support) {
    if (!n.is_number_unsigned()) return bad_state("support", "must hold counts");
    fresh.support_.push_back(n.get<uint64_t>());
  }
  if (fresh.ready()) fresh.freeze();
  *this = std::move(fresh);
  return {};
}

}  // namespace drover::semantics
