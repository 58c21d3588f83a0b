#include "actors/econ/study.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "actors/econ/draw.hpp"

namespace drover::econ {
namespace {

std::string group_of(const Datapack& pack) {
  const auto tags = nlohmann::json::parse(pack.condition.tags_json, nullptr, false);
  return tags.is_object() && tags.contains("condition_set") && tags["condition_set"].is_string()
             ? tags["condition_set"].get<std::string>()
             : pack.task_name;
}

}  // namespace

std::vector<ErrorPoint> error_curve(const std::vector<Reconciliation>& all, size_t run) {
  std::vector<ErrorPoint> out;
  run = std::max<size_t>(run, 1);
  for (size_t at = 0; at < all.size(); at += run) {
    const size_t end = std::min(all.size(), at + run);
    if (end - at < (run + 1) / 2) break;
    ErrorPoint point{end, 0, 0};
    for (size_t i = at; i < end; ++i) {
      point.model += std::abs(all[i].error_delta_mpl);
      point.start += std::abs(all[i].realised_delta_mpl);
    }
    point.model /= static_cast<double>(end - at);
    point.start /= static_cast<double>(end - at);
    out.push_back(point);
  }
  return out;
}

std::vector<HeldOut> predict_held_out(const Estimator& estimator, const std::vector<Datapack>& packs, double z) {
  std::vector<HeldOut> out;
  for (const Datapack& pack : packs) {
    AskedPrediction asked;
    asked.pack_id = pack.pack_id;
    asked.task_name = pack.task_name;
    asked.basis = basis_deployment;
    asked.condition = pack.condition;
    asked.base_mpl_units_per_h = base_mpl_of(pack);
    asked.novelty = estimator.condition_novelty(pack.task_name, pack.condition);
    const Prediction p = estimator.predict(asked);
    const double realised = pack.attribution.delta_mpl;
    out.push_back(
        {group_of(pack), p.delta_mpl.mean, realised, std::abs(realised - p.delta_mpl.mean) <= z * p.delta_mpl_std});
  }
  return out;
}

double mean_absolute_error(const std::vector<HeldOut>& all) {
  double sum = 0;
  for (const HeldOut& one : all) sum += std::abs(one.realised - one.predicted);
  return all.empty() ? 0 : sum / static_cast<double>(all.size());
}

Reduction reduction_of(const std::vector<HeldOut>& held_out, std::vector<double> learnt, uint64_t seed,
                       size_t resamples) {
  Reduction r;
  if (held_out.empty()) return r;
  std::sort(learnt.begin(), learnt.end());
  const double median = learnt.empty() ? 0 : learnt[learnt.size() / 2];
  const auto count = static_cast<double>(held_out.size());
  for (const HeldOut& one : held_out) {
    r.mae_start += std::abs(one.realised) / count;
    r.mae_constant += std::abs(one.realised - median) / count;
    r.inside += one.inside ? 1 / count : 0;
  }
  r.mae_model = mean_absolute_error(held_out);
  r.reduction = r.mae_start > 0 ? 1 - r.mae_model / r.mae_start : 0;
  Draw draw(seed);
  std::vector<double> drawn;
  for (size_t i = 0; i < resamples; ++i) {
    double model = 0, start = 0;
    for (size_t k = 0; k < held_out.size(); ++k) {
      const HeldOut& one = held_out[static_cast<size_t>(draw.whole(0, static_cast<int64_t>(held_out.size()) - 1))];
      model += std::abs(one.realised - one.predicted);
      start += std::abs(one.realised);
    }
    drawn.push_back(start > 0 ? 1 - model / start : 0);
  }
  std::sort(drawn.begin(), drawn.end());
  if (drawn.empty()) return r;
  r.low = drawn[drawn.size() / 40];
  r.high = drawn[drawn.size() - 1 - drawn.size() / 40];
  return r;
}

}  // namespace drover::econ
