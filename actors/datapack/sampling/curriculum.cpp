#include "actors/datapack/sampling/curriculum.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "messages/check.hpp"

namespace drover::sampling {
namespace {

using nlohmann::json;
constexpr std::string_view format_name = "drover.curriculum.v1";
constexpr double micro = 1e6;
constexpr double value_max = 1e9;  // of a count or a rate that is taken seriously

int64_t to_micro(double value) {
  if (!std::isfinite(value)) return 0;
  return static_cast<int64_t>(std::llround(std::clamp(value, 0.0, value_max) * micro));
}

double percent(double share) {
  return 100 * share;
}

json metrics_json(const CurriculumMetrics& m) {
  json out = {{"episodes", m.episodes},
              {"episodes_in_phase", m.episodes_in_phase},
              {"late", m.late},
              {"estimated", m.estimated},
              {"window", m.window},
              {"error_rate", m.error_rate},
              {"affordance_success", m.affordance_success},
              {"mpl_episodes", m.mpl_episodes}};
  if (m.mpl_growth) out["mpl_growth"] = *m.mpl_growth;
  return out;
}

CurriculumMetrics read_metrics(const json& from) {
  CurriculumMetrics m;
  m.episodes = from.at("episodes").get<uint64_t>();
  m.episodes_in_phase = from.at("episodes_in_phase").get<uint64_t>();
  m.late = from.at("late").get<uint64_t>();
  m.estimated = from.at("estimated").get<uint64_t>();
  m.window = from.at("window").get<uint32_t>();
  m.error_rate = from.at("error_rate").get<double>();
  m.affordance_success = from.at("affordance_success").get<double>();
  m.mpl_episodes = from.at("mpl_episodes").get<uint64_t>();
  if (from.contains("mpl_growth")) m.mpl_growth = from.at("mpl_growth").get<double>();
  return m;
}

Phase read_phase(const json& from) {
  const auto phase = phase_from_name(from.get_ref<const std::string&>());
  if (!phase) throw json::other_error::create(501, "no such phase", &from);
  return *phase;
}

}  // namespace

bool earlier(const PackKey& a, const PackKey& b) noexcept {
  return a.start_unix_ns != b.start_unix_ns ? a.start_unix_ns < b.start_unix_ns : a.hash < b.hash;
}

void Curriculum::push(const Entry& entry) {
  const auto add = [&](const Entry& e, int64_t sign) {
    sum_.errors_micro += sign * e.errors_micro;
    sum_.attempts_micro += sign * e.attempts_micro;
    sum_.skill_attempts = static_cast<uint32_t>(sum_.skill_attempts + sign * e.skill_attempts);
    sum_.skill_successes = static_cast<uint32_t>(sum_.skill_successes + sign * e.skill_successes);
    estimated_ = static_cast<uint64_t>(static_cast<int64_t>(estimated_) + (e.estimated ? sign : 0));
  };
  window_.push_back(entry);
  add(entry, 1);
  if (window_.size() <= config_.window_episodes) return;
  add(window_.front(), -1);
  window_.pop_front();
}

void Curriculum::push_mpl(int64_t value) {
  const size_t block = config_.growth_episodes;
  mpl_.push_back(value);
  mpl_last_ += value;
  if (mpl_.size() > block) {  // the oldest of the last block moves into the block before
    const int64_t moved = mpl_[mpl_.size() - 1 - block];
    mpl_last_ -= moved;
    mpl_before_ += moved;
  }
  if (mpl_.size() <= 2 * block) return;
  mpl_before_ -= mpl_.front();
  mpl_.pop_front();
}

std::optional<Advance> Curriculum::observe(const EpisodeResult& r) {
  DROVER_CHECK(!cursor_ || earlier(*cursor_, r.key), "episodes are observed in order of time");
  cursor_ = r.key;
  ++episodes_;
  ++in_phase_;
  Entry entry;
  entry.errors_micro = to_micro(r.errors);
  entry.attempts_micro = r.attempts > 0 ? to_micro(r.attempts) : to_micro(1);
  entry.skill_attempts = r.skill_attempts;
  entry.skill_successes = std::min(r.skill_successes, r.skill_attempts);
  entry.estimated = r.estimated;
  push(entry);
  if (r.mpl_units_per_h) push_mpl(to_micro(*r.mpl_units_per_h));
  return advance(r.key.start_unix_ns);
}

std::optional<Advance> Curriculum::count_late(uint64_t packs_up_to_cursor) {
  if (packs_up_to_cursor <= episodes_) return std::nullopt;
  const uint64_t more = packs_up_to_cursor - episodes_;
  late_ += more;
  episodes_ += more;
  in_phase_ += more;
  return advance(cursor_ ? cursor_->start_unix_ns : 0);
}

CurriculumMetrics Curriculum::metrics() const {
  CurriculumMetrics m;
  m.episodes = episodes_;
  m.episodes_in_phase = in_phase_;
  m.late = late_;
  m.estimated = estimated_;
  m.window = static_cast<uint32_t>(window_.size());
  if (sum_.attempts_micro > 0)
    m.error_rate = static_cast<double>(sum_.errors_micro) / static_cast<double>(sum_.attempts_micro);
  if (sum_.skill_attempts > 0)
    m.affordance_success = static_cast<double>(sum_.skill_successes) / static_cast<double>(sum_.skill_attempts);
  m.mpl_episodes = mpl_.size();
  if (mpl_.size() == 2 * size_t{config_.growth_episodes} && mpl_before_ > 0)
    m.mpl_growth = static_cast<double>(mpl_last_) / static_cast<double>(mpl_before_) - 1;
  return m;
}

std::optional<std::string> Curriculum::reason() const {
  if (phase_ == Phase::fine_tuning) return std::nullopt;
  const CurriculumMetrics m = metrics();
  const bool full = m.window == config_.window_episodes && in_phase_ >= config_.window_episodes;
  if (phase_ == Phase::warmup && full && m.error_rate < config_.error_rate_below)
    return fmt::format("error rate {:.2f} % over {} episodes is below {:g} %", percent(m.error_rate), m.window,
                       percent(config_.error_rate_below));
  if (phase_ == Phase::skill_building && full && m.affordance_success > config_.affordance_above)
    return fmt::format("{:.1f} % of skill attempts over {} episodes succeeded, more than {:g} %",
                       percent(m.affordance_success), m.window, percent(config_.affordance_above));
  if (phase_ == Phase::frontier && full && m.mpl_growth && *m.mpl_growth < config_.growth_below)
    return fmt::format("MPL grew by {:.1f} % over {} episodes, less than {:g} %", percent(*m.mpl_growth),
                       config_.growth_episodes, percent(config_.growth_below));
  const uint64_t most = config_.episodes_max[static_cast<size_t>(phase_)];
  if (episodes_ >= most) return fmt::format("{} episodes, {} end this phase whatever was measured", episodes_, most);
  return std::nullopt;
}

std::optional<Advance> Curriculum::advance(int64_t unix_ns) {
  const auto why = reason();
  if (!why) return std::nullopt;
  Advance out{phase_, static_cast<Phase>(static_cast<uint8_t>(phase_) + 1), *why, metrics(), unix_ns};
  phase_ = out.to;
  in_phase_ = 0;
  history_.push_back(out);
  return out;
}

std::vector<std::string> Curriculum::missing() const {
  if (phase_ == Phase::fine_tuning) return {};
  std::vector<std::string> out;
  const CurriculumMetrics m = metrics();
  const uint32_t window = config_.window_episodes;
  if (m.window < window)
    out.push_back(fmt::format("{} more episodes to fill the window of {}", window - m.window, window));
  if (m.window == window && in_phase_ < window)
    out.push_back(fmt::format("{} more episodes in this phase", window - in_phase_));
  if (phase_ == Phase::warmup && !(m.error_rate < config_.error_rate_below))
    out.push_back(fmt::format("error rate {:.1f} %, must be below {:g} %", percent(m.error_rate),
                              percent(config_.error_rate_below)));
  if (phase_ == Phase::skill_building && !(m.affordance_success > config_.affordance_above))
    out.push_back(fmt::format("{:.1f} % of skill attempts succeed, must be above {:g} %", percent(m.affordance_success),
                              percent(config_.affordance_above)));
  if (phase_ == Phase::frontier && !m.mpl_growth)
    out.push_back(fmt::format("MPL of {} of {} episodes is known: growth cannot be told yet", m.mpl_episodes,
                              2 * config_.growth_episodes));
  if (phase_ == Phase::frontier && m.mpl_growth && !(*m.mpl_growth < config_.growth_below))
    out.push_back(fmt::format("MPL grows by {:.1f} %, must be below {:g} %", percent(*m.mpl_growth),
                              percent(config_.growth_below)));
  const uint64_t most = config_.episodes_max[static_cast<size_t>(phase_)];
  if (episodes_ < most) out.push_back(fmt::format("or {} more episodes ({} in all)", most - episodes_, most));
  return out;
}

UrgencySignals urgency_signals(const std::deque<RecentEpisode>& recent, const UrgencyConfig& config) {
  if (recent.empty()) return {};
  double errors = 0, attempts = 0, ep = 0, mpl = 0;
  for (const RecentEpisode& e : recent) {
    errors += e.errors;
    attempts += e.attempts > 0 ? e.attempts : 1;
    ep += e.delta_ep;
    mpl += e.delta_mpl;
  }
  const auto n = static_cast<double>(recent.size());
  const auto share = [](double value, double full) {
    return std::isfinite(value) ? std::clamp(value / full, 0.0, 1.0) : 0.0;
  };
  return {share(errors / attempts, config.error_rate_full), share(-ep / n, config.energy_loss_full),
          share(-mpl / n, config.mpl_loss_full)};
}

std::string Curriculum::json() const {
  nlohmann::json out = {{"format", format_name}, {"phase", phase_name(phase_)},
                        {"episodes", episodes_}, {"in_phase", in_phase_},
                        {"late", late_},         {"mpl_micro", mpl_}};
  if (cursor_) out["cursor"] = {{"hash", cursor_->hash}, {"start_unix_ns", cursor_->start_unix_ns}};
  auto& window = out["window"] = nlohmann::json::array();
  for (const Entry& e : window_)
    window.push_back({e.errors_micro, e.attempts_micro, e.skill_attempts, e.skill_successes, e.estimated ? 1 : 0});
  auto& history = out["history"] = nlohmann::json::array();
  for (const Advance& a : history_)
    history.push_back({{"from", phase_name(a.from)},
                       {"to", phase_name(a.to)},
                       {"because", a.because},
                       {"episode_unix_ns", a.episode_unix_ns},
                       {"metrics", metrics_json(a.metrics)}});
  return out.dump();
}

namespace {

Error bad_state(const std::string& why) {
  return {Errc::corrupt, "curriculum", why + "; delete the file to begin anew from the packs"};
}

}  // namespace

Result<Curriculum> Curriculum::restored(const CurriculumConfig& config, std::string_view text) {
  const auto root = nlohmann::json::parse(text, nullptr, false);
  Curriculum out(config);
  try {
    if (root.at("format") != format_name) return tl::unexpected(bad_state("is of an unknown format"));
    out.phase_ = read_phase(root.at("phase"));
    out.episodes_ = root.at("episodes").get<uint64_t>();
    out.in_phase_ = root.at("in_phase").get<uint64_t>();
    out.late_ = root.at("late").get<uint64_t>();
    if (root.contains("cursor"))
      out.cursor_ =
          PackKey{root["cursor"].at("hash").get<uint64_t>(), root["cursor"].at("start_unix_ns").get<int64_t>()};
    for (const auto& e : root.at("window"))
      out.push({e.at(0).get<int64_t>(), e.at(1).get<int64_t>(), e.at(2).get<uint32_t>(), e.at(3).get<uint32_t>(),
                e.at(4).get<int>() != 0});
    for (const auto& value : root.at("mpl_micro")) out.push_mpl(value.get<int64_t>());
    for (const auto& a : root.at("history")) {
      if (out.history_.size() >= phase_count) return tl::unexpected(bad_state("has too long a history"));
      out.history_.push_back({read_phase(a.at("from")), read_phase(a.at("to")), a.at("because").get<std::string>(),
                              read_metrics(a.at("metrics")), a.at("episode_unix_ns").get<int64_t>()});
    }
  } catch (const nlohmann::json::exception& error) {
    return tl::unexpected(bad_state(error.what()));
  }
  return out;
}

void BookKeeper::take(const std::string& task, const EpisodeResult& episode) {
  if (current_ == nullptr || task != task_) {
    finish();
    task_ = task;
    current_ = &book_->try_emplace(task, config_).first->second;
    known_ = current_->cursor();
    old_ = 0;
    settled_ = false;
  }
  if (known_ && !earlier(*known_, episode.key)) {
    ++old_;
    return;
  }
  finish();
  current_->observe(episode);
}

// Everything up to the cursor has passed: what was not known then came late.
void BookKeeper::finish() {
  if (!settled_ && known_) (void)current_->count_late(old_);
  settled_ = true;
}

std::string curriculum_book_json(const CurriculumBook& book) {
  std::string out = R"({"format":"drover.curricula.v1","tasks":{)";
  for (auto at = book.begin(); at != book.end(); ++at) {
    out.append(at == book.begin() ? "\n" : ",\n")
        .append(json(at->first).dump(-1, ' ', false, json::error_handler_t::replace));
    out.append(":").append(at->second.json());
  }
  return out.append("\n}}\n");
}

Result<CurriculumBook> read_curriculum_book(const CurriculumConfig& config, std::string_view text) {
  const json root = json::parse(text, nullptr, false);
  if (!root.is_object() || !root.contains("format") || root["format"] != "drover.curricula.v1" ||
      !root.contains("tasks") || !root["tasks"].is_object())
    return tl::unexpected(bad_state("is no book of curricula"));
  CurriculumBook out;
  for (const auto& [task, state] : root["tasks"].items()) {
    DROVER_ASSIGN(auto one, Curriculum::restored(config, state.dump()));
    out.emplace(task, std::move(one));
  }
  return out;
}

}  // namespace drover::sampling
