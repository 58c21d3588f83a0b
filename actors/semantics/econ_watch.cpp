#include "actors/semantics/econ_watch.hpp"

#include <algorithm>
#include <cmath>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"

namespace drover::semantics {
namespace {

constexpr double mpl_max = 1e9;
constexpr double energy_Wh_max = 1e6;

double urgency(double value, double calm, double alarm) {
  return std::clamp((value - calm) / (alarm - calm), 0.0, 1.0);
}

}  // namespace

bool EconWatch::observe(const OutcomeFacts& outcome, double energy_Wh) {
  if (config_.block_episodes == 0) return false;
  ++block_.episodes;
  block_.failures += outcome.success ? 0 : 1;
  if (std::isfinite(outcome.mpl)) block_.mpl_sum += std::clamp(outcome.mpl, 0.0, mpl_max);
  if (outcome.success && energy_Wh > 0 && energy_Wh < energy_Wh_max) {
    block_.energy_sum_Wh += energy_Wh;
    ++block_.energy_count;
  }
  if (block_.episodes < config_.block_episodes) return false;
  const double n = static_cast<double>(block_.episodes);
  const double mpl = block_.mpl_sum / n;
  signals_.error_urgency =
      urgency(static_cast<double>(block_.failures) / n, config_.error_wanted, config_.error_intolerable);
  signals_.mpl_urgency = best_mpl_ > 0 ? urgency(1 - mpl / best_mpl_, 0, 0.5) : 0;
  best_mpl_ = std::max(best_mpl_, mpl);
  signals_.energy_urgency = 0;
  if (block_.energy_count > 0) {
    const double Wh = block_.energy_sum_Wh / static_cast<double>(block_.energy_count);
    if (best_Wh_ > 0) signals_.energy_urgency = urgency(Wh / best_Wh_, 1, 2);
    best_Wh_ = best_Wh_ > 0 ? std::min(best_Wh_, Wh) : Wh;
  }
  block_ = {};
  return true;
}

void EconWatch::write(JsonText& out) const {
  out.begin_array().value(block_.episodes).value(block_.failures).value(block_.mpl_sum).value(block_.energy_sum_Wh);
  out.value(block_.energy_count).value(best_mpl_).value(best_Wh_).value(signals_.error_urgency);
  out.value(signals_.energy_urgency).value(signals_.mpl_urgency).end_array();
}

Status EconWatch::read(const nlohmann::json& from) {
  if (!from.is_array() || from.size() != 10) return bad_state("econ_watch", "must hold ten numbers");
  for (const nlohmann::json& item : from)
    if (!item.is_number()) return bad_state("econ_watch", "must hold numbers");
  for (const size_t i : {0, 1, 4})
    if (!from[i].is_number_unsigned()) return bad_state("econ_watch", "must hold whole counts");
  block_ = {from[0].get<uint64_t>(), from[1].get<uint64_t>(), from[2].get<double>(), from[3].get<double>(),
            from[4].get<uint64_t>()};
  best_mpl_ = from[5].get<double>();
  best_Wh_ = from[6].get<double>();
  signals_ = {from[7].get<double>(), from[8].get<double>(), from[9].get<double>()};
  return {};
}

}  // namespace drover::semantics
