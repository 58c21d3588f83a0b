#include "actors/semantics/reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.ood_reference.v2";
constexpr double bin_ratio = 1.01;
constexpr double lowest = 1e-6;
constexpr size_t bin_count = 2778;  // log(1e12) / log(1.01) and one
constexpr size_t tags_max = 16;
constexpr uint64_t duration_count_min = 5;  // a mean of fewer says nothing
constexpr uint64_t family_count_min = 20;
// Ratios to less than these mean nothing: sensors are not better.
constexpr double joint_floor_rad_per_s = 0.05;
constexpr double force_floor_N = 2;

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

double LogHistogram::trimmed_quantile(double q, double outlier_share_max) const {
  const double low = quantile(0.25), high = quantile(0.75);
  if (!(low > 0)) return quantile(q);
  const double fence = high * std::pow(high / low, 1.5);
  uint64_t within = 0;
  for (size_t i = 0; i < bins_.size() && lowest * std::pow(bin_ratio, static_cast<double>(i)) < fence; ++i)
    within += bins_[i];
  const double outside = 1 - static_cast<double>(within) / static_cast<double>(count_);
  return quantile(outside <= outlier_share_max ? q * (1 - outside) : q);
}

void LogHistogram::restore(std::vector<uint32_t> bins) {
  bins_ = std::move(bins);
  count_ = 0;
  for (const uint32_t n : bins_) count_ += n;
}

std::pair<size_t, double> TrainingReference::closest(Family family, std::span<const float> embedding) const {
  if (dimension_ == 0 || embedding.size() != dimension_) return {0, 0};
  const bool own = std::find(of_family_.begin(), of_family_.end(), family) != of_family_.end();
  std::pair<size_t, float> best{0, -1.0F};
  for (size_t row = 0; row < prototypes(); ++row) {
    if (own && of_family_[row] != family) continue;
    const float similarity = dot(&prototypes_[row * dimension_], embedding.data(), dimension_);
    if (similarity > best.second) best = {row, similarity};
  }
  return {best.first, std::clamp(1.0 - static_cast<double>(best.second), 0.0, 2.0)};
}

double TrainingReference::distance(Family family, std::span<const float> embedding) const {
  return closest(family, embedding).second;
}

const TrainingReference::Usual* TrainingReference::usual(Family family, Label label) const {
  const Usual& own = usual_[static_cast<size_t>(family)][static_cast<size_t>(label)];
  if (own.count >= family_count_min) return &own;
  const Usual& all = usual_.back()[static_cast<size_t>(label)];
  return all.count >= duration_count_min ? &all : nullptr;
}

// The greatest ratio of an episode and the segment that had it; recovery segments and standing still do not count.
TrainingReference::Peak TrainingReference::worst_peak(const EpisodeFacts& facts, double Usual::*sum,
                                                      float SegmentMetrics::*metric, double floor) const {
  Peak worst;
  for (size_t i = 0; i < facts.actions.size(); ++i) {
    const ActionFact& a = facts.actions[i];
    const double value = static_cast<double>(a.metrics.*metric);
    const Usual* like = usual(facts.family, a.label);
    if (like == nullptr || is_recovery(a) || a.label == Label::idle || !std::isfinite(value)) continue;
    const double ratio = value / std::max(floor, like->*sum / static_cast<double>(like->count));
    if (ratio > worst.ratio) worst = {value, ratio, static_cast<uint32_t>(i)};
  }
  return worst;
}

void TrainingReference::learn(const EpisodeFacts& facts, const EmbeddingTrack& embedding) {
  if (ready()) return;
  const auto finite = [](float x) { return std::isfinite(x) ? static_cast<double>(x) : 0.0; };
  for (const ActionFact& a : facts.actions) {
    for (const size_t row : {static_cast<size_t>(facts.family), usual_.size() - 1}) {
      Usual& u = usual_[row][static_cast<size_t>(a.label)];
      u.sum_s += a.end_s - a.start_s;
      u.joints_sum += finite(a.metrics.joint_rad_per_s_max);
      u.forces_sum += finite(a.metrics.force_N_max);
      ++u.count;
    }
  }
  const auto peak = [](LogHistogram& into, const Peak& worst) {
    if (worst.ratio > 0) into.add(worst.ratio);
  };
  if (facts.has_joints)
    peak(joints_, worst_peak(facts, &Usual::joints_sum, &SegmentMetrics::joint_rad_per_s_max, joint_floor_rad_per_s));
  if (facts.has_force)
    peak(forces_, worst_peak(facts, &Usual::forces_sum, &SegmentMetrics::force_N_max, force_floor_N));
  if (embedding.dimension > 0 && embedding.dimension <= 4096 && dimension_ == 0) dimension_ = embedding.dimension;
  if (dimension_ > 0 && embedding.dimension == dimension_) {
    for (size_t row = 0; row < embedding.rows(); ++row) {
      const std::span<const float> e(&embedding.values[row * dimension_], dimension_);
      const auto [row_of, away] = closest(facts.family, e);
      if (prototypes() > 0 && of_family_[row_of] == facts.family && away <= config_.prototype_radius) {
        ++support_[row_of];
      } else if (prototypes() < config_.prototypes_max) {
        prototypes_.insert(prototypes_.end(), e.begin(), e.end());
        support_.push_back(1);
        of_family_.push_back(facts.family);
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
  std::array<uint64_t, family_count + 1> all{};
  for (size_t row = 0; row < support_.size(); ++row) all[static_cast<size_t>(of_family_[row])] += support_[row];
  std::vector<float> kept;
  std::vector<uint64_t> support;
  std::vector<Family> of_family;
  for (size_t row = 0; row < support_.size(); ++row) {
    const auto family = static_cast<double>(all[static_cast<size_t>(of_family_[row])]);
    if (static_cast<double>(support_[row]) < config_.prototype_share_min * family) continue;
    kept.insert(kept.end(), prototypes_.begin() + static_cast<std::ptrdiff_t>(row * dimension_),
                prototypes_.begin() + static_cast<std::ptrdiff_t>((row + 1) * dimension_));
    support.push_back(support_[row]);
    of_family.push_back(of_family_[row]);
  }
  prototypes_ = std::move(kept);
  support_ = std::move(support);
  of_family_ = std::move(of_family);
}

void TrainingReference::freeze() {
  joint_limit_ = joints_.trimmed_quantile(config_.percentile, config_.outlier_share_max);
  force_limit_ = forces_.trimmed_quantile(config_.percentile, config_.outlier_share_max);
}

double TrainingReference::mean_duration_s(Family family, Label label) const {
  const Usual* like = usual(family, label);
  return like == nullptr ? 0 : like->sum_s / static_cast<double>(like->count);
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
    worst = std::max(worst, distance(facts.family, {&embedding.values[row * dimension_], dimension_}));
  }
  close();
}

std::vector<OodTag> TrainingReference::detect(const EpisodeFacts& facts, const EmbeddingTrack& embedding,
                                              double detector_trust) const {
  std::vector<OodTag> out;
  if (!ready() || config_.debug || !(detector_trust > config_.detector_trust_min)) return out;
  detect_visual(facts, embedding, out);
  const auto kinematic = [&](const Peak& peak, double limit, const char* what) {
    const double severity = limit > 0 ? kinematic_severity(peak.ratio / limit) : 0;
    if (severity > 0 && out.size() < tags_max)
      out.push_back({severity, OodSource::kinematic,
                     fmt::format("{} {:.3f} is {:.2f} times that of like acts, training ends at {:.2f}", what,
                                 peak.value, peak.ratio, limit),
                     peak.segment});
  };
  if (facts.has_joints)
    kinematic(worst_peak(facts, &Usual::joints_sum, &SegmentMetrics::joint_rad_per_s_max, joint_floor_rad_per_s),
              joint_limit_, "joint speed [rad/s]");
  if (facts.has_force)
    kinematic(worst_peak(facts, &Usual::forces_sum, &SegmentMetrics::force_N_max, force_floor_N), force_limit_,
              "force [N]");
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
  out.key("usual").begin_array();
  for (const auto& row : usual_)
    for (const Usual& u : row)
      out.begin_array().value(u.sum_s).value(u.count).value(u.joints_sum).value(u.forces_sum).end_array();
  out.end_array().key("prototypes").begin_array();
  for (const float x : prototypes_) out.value(static_cast<double>(x));
  out.end_array().key("support").begin_array();
  for (const uint64_t n : support_) out.value(n);
  out.end_array().key("of_family").begin_array();
  for (const Family f : of_family_) out.value(static_cast<unsigned>(f));
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
  DROVER_ASSIGN(const nlohmann::json* usual, get_list(root, "usual"));
  if (usual->size() != fresh.usual_.size() * label_count)
    return bad_state("usual", "must hold one entry per family and label");
  for (size_t i = 0; i < usual->size(); ++i) {
    const nlohmann::json& u = (*usual)[i];
    if (!u.is_array() || u.size() != 4 || !u[0].is_number() || !u[1].is_number_unsigned() || !u[2].is_number() ||
        !u[3].is_number())
      return bad_state("usual", "must hold [seconds, count, joints, forces]");
    fresh.usual_[i / label_count][i % label_count] = {u[0].get<double>(), u[1].get<uint64_t>(), u[2].get<double>(),
                                                      u[3].get<double>()};
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
  DROVER_ASSIGN(const nlohmann::json* families, get_list(root, "of_family"));
  if (families->size() != fresh.prototypes()) return bad_state("of_family", "must hold one per prototype");
  for (const nlohmann::json& f : *families) {
    if (!f.is_number_unsigned() || f.get<uint64_t>() > family_count)
      return bad_state("of_family", "must hold families");
    fresh.of_family_.push_back(static_cast<Family>(f.get<uint8_t>()));
  }
  if (fresh.ready()) fresh.freeze();
  *this = std::move(fresh);
  return {};
}

}  // namespace drover::semantics
