#include "actors/capture/assembler.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "actors/capture/text.hpp"
#include "messages/check.hpp"

namespace drover::capture {
namespace {

constexpr size_t channels_max = 8192;
constexpr size_t events_max = 20'000;
constexpr size_t notes_max = 32;
constexpr double reading_max = 1e300;  // so that differences stay finite
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

double seconds(int64_t from_ns, int64_t to_ns) noexcept {
  return static_cast<double>(to_ns - from_ns) * 1e-9;
}

bool follows_on(CutReason reason) noexcept {
  return reason == CutReason::cycle || reason == CutReason::start_event || reason == CutReason::max_duration ||
         reason == CutReason::size_bound;
}

}  // namespace

std::string_view cut_reason_name(CutReason reason) noexcept {
  switch (reason) {
    case CutReason::end_of_log:
      return "end_of_log";
    case CutReason::cycle:
      return "cycle";
    case CutReason::gap:
      return "gap";
    case CutReason::start_event:
      return "start_event";
    case CutReason::max_duration:
      return "max_duration";
    case CutReason::backward_clock:
      return "backward_clock";
    case CutReason::size_bound:
      return "size_bound";
    case CutReason::damage:
      return "damage";
  }
  return "unknown";
}

Assembler::Assembler(const Mapping& mapping, SourceIdentity identity)
    : mapping_(mapping),
      identity_(std::move(identity)),
      event_states_(mapping.events.size()),
      energy_(mapping.energy),
      motion_(mapping.motion) {}

std::optional<uint32_t> Assembler::add_channel(std::string_view column) {
  if (channels_.size() >= channels_max) return std::nullopt;
  Channel channel;
  for (const ChannelRule& rule : mapping_.channels) {
    const auto capture = rule.column.match(column);
    if (!capture) continue;
    channel.name = rule.name.expand(*capture);
    channel.unit = rule.unit;
    channel.scale = rule.scale;
    channel.offset = rule.offset;
    break;
  }
  if (channel.name.empty()) {
    if (!mapping_.auto_channels || column.empty()) return std::nullopt;
    channel.name = column;
    channel.automatic = true;
  }
  const auto index = static_cast<uint32_t>(channels_.size());
  energy_.add_channel(channel.name, index);
  channel.moves = !mapping_.motion.velocity.empty() && mapping_.motion.velocity.match(channel.name).has_value();
  channel.name = printable(channel.name);
  channels_.push_back(std::move(channel));
  values_.push_back(not_a_number);
  return index;
}

std::vector<ColumnUse> Assembler::add_column(std::string_view name) {
  std::vector<ColumnUse> uses;
  if (!name.empty() && name == mapping_.episode.cycle_column)
    uses.push_back({add_use(Role::cycle, 0), false, false, {}});
  if (!name.empty() && name == mapping_.task.units_column) uses.push_back({add_use(Role::units, 0), false, false, {}});
  for (size_t i = 0; i < mapping_.events.size(); ++i) {
    const EventRule& rule = mapping_.events[i];
    if (rule.column != name) continue;
    event_states_[i].bound = true;
    uses.push_back({add_use(Role::event, i), false, rule.when.on_text(), rule.when});
  }
  const bool taken = !uses.empty() && mapping_.auto_channels;
  const bool ruled = std::any_of(mapping_.channels.begin(), mapping_.channels.end(),
                                 [&](const ChannelRule& rule) { return rule.column.match(name).has_value(); });
  if (!taken || ruled)
    if (const auto index = add_channel(name)) uses.push_back({add_use(Role::channel, *index), true, false, {}});
  return uses;
}

std::optional<int64_t> Assembler::admit(int64_t time_ns) {
  if (!open() || time_ns >= last_ns_) return time_ns;
  const double back_s = seconds(time_ns, last_ns_);
  if (back_s <= mapping_.clock.backward_tolerance_s || mapping_.clock.backward == Backward::clamp) {
    ++clamped_;
    return last_ns_;
  }
  if (mapping_.clock.backward == Backward::cut) return time_ns;
  ++skipped_;
  return std::nullopt;
}

std::optional<CutReason> Assembler::cut_before(int64_t time_ns, std::span<const Reading> readings) const {
  if (!open()) return std::nullopt;
  if (time_ns < last_ns_) return CutReason::backward_clock;
  const EpisodeRule& rule = mapping_.episode;
  if (rule.gap_s > 0 && seconds(last_ns_, time_ns) > rule.gap_s) return CutReason::gap;
  for (const Reading& reading : readings) {
    if (std::isnan(reading.value)) continue;
    const Use use = uses_[reading.id];
    if (use.role == Role::cycle && cycle_ && reading.value != *cycle_) return CutReason::cycle;
    if (use.role != Role::event || rule.start_event.empty()) continue;
    const EventRule& event = mapping_.events[use.index];
    if (event.kind == rule.start_event && !event_states_[use.index].active && event.when.holds(reading.value))
      return CutReason::start_event;
  }
  if (rule.max_duration_s > 0 && seconds(start_ns_, time_ns) >= rule.max_duration_s) return CutReason::max_duration;
  return std::nullopt;
}

void Assembler::take_channel(uint32_t index, double value) {
  Channel& channel = channels_[index];
  value = value * channel.scale + channel.offset;
  if (!(std::abs(value) <= reading_max)) {
    ++channel.missing;
    return;
  }
  values_[index] = value;
  if (channel.samples == 0) channel.minimum = channel.maximum = value;
  channel.minimum = std::min(channel.minimum, value);
  channel.maximum = std::max(channel.maximum, value);
  // A running mean cannot overflow where a sum of huge readings would.
  ++channel.samples;
  channel.mean += (value - channel.mean) / static_cast<double>(channel.samples);
}

void Assembler::take_event(uint32_t index, int64_t time_ns, double value) {
  const EventRule& rule = mapping_.events[index];
  EventState& state = event_states_[index];
  const bool each = rule.when.op == Condition::Op::each;
  const bool holds = !std::isnan(value) && rule.when.holds(value);
  if (holds) ++state.rows;
  if (holds && (each || !state.active)) {
    ++state.onsets;
    if (rule.counts_as_error) errors_ += 1;
    if (events_.size() < events_max) {
      if (!each) state.open_event = events_.size();
      events_.push_back({time_ns, printable(rule.kind), rule.severity, "", 0});
    } else {
      ++events_dropped_;
    }
    state.onset_rows = 0;
  }
  if (holds && !each) ++state.onset_rows;
  if (!holds && state.active) end_event(state, time_ns);
  state.active = holds && !each;
}

void Assembler::end_event(EventState& state, int64_t time_ns) {
  if (state.open_event >= events_.size()) return;
  EpisodeEvent& event = events_[state.open_event];
  event.duration_s = seconds(event.time_unix_ns, time_ns);
  event.detail = "rows=" + std::to_string(state.onset_rows);
  state.open_event = no_event;
}

MotionState Assembler::motion_state(std::span<const Reading> readings) const {
  for (size_t i = 0; i < event_states_.size(); ++i)
    if (event_states_[i].active && mapping_.events[i].stops_motion) return MotionState::stopped;
  double fastest = -1;
  bool can_move = false;
  for (const Reading& reading : readings) {
    const Use use = uses_[reading.id];
    if (use.role != Role::channel || !channels_[use.index].moves) continue;
    can_move = true;
    if (std::isfinite(values_[use.index])) fastest = std::max(fastest, std::abs(values_[use.index]));
  }
  if (fastest >= 0) return fastest > mapping_.motion.threshold ? MotionState::move : MotionState::dwell;
  // Blank speeds say nothing new, except that a stop has ended.
  if (motion_.state() != MotionState::stopped) return can_move && rows_ == 1 ? MotionState::dwell : motion_.state();
  return can_move ? MotionState::dwell : MotionState::whole;
}

void Assembler::begin(int64_t time_ns) {
  start_ns_ = last_ns_ = time_ns;
  motion_.begin(time_ns);
  for (size_t i = 0; i < event_states_.size(); ++i)
    if (event_states_[i].active) note(mapping_.events[i].kind + " was already active when the episode began");
}

void Assembler::push(int64_t time_ns, std::span<const Reading> readings) {
  if (!open()) begin(time_ns);
  DROVER_CHECK(time_ns >= last_ns_, "a sample before the last one needs a cut first");
  ++rows_;
  last_ns_ = time_ns;
  for (const Reading& reading : readings)
    if (uses_[reading.id].role == Role::channel) take_channel(uses_[reading.id].index, reading.value);
  motion_.add_energy(energy_.integrate(time_ns, values_));
  for (const Reading& reading : readings) {
    const Use use = uses_[reading.id];
    if (use.role == Role::event) take_event(use.index, time_ns, reading.value);
    if (std::isnan(reading.value)) continue;
    if (use.role == Role::cycle) cycle_ = reading.value;
    if (use.role == Role::units) {
      if (!units_first_) units_first_ = reading.value;
      units_last_ = reading.value;
    }
  }
  motion_.enter(motion_state(readings), time_ns);
  forget(readings);
}

void Assembler::forget(std::span<const Reading> readings) {
  for (const Reading& reading : readings)
    if (uses_[reading.id].role == Role::channel) values_[uses_[reading.id].index] = not_a_number;
}

// The stretch to the first sample of the next episode belongs to this one: its time and its energy.
void Assembler::extend_to(const Next& next) {
  for (const Reading& reading : next.readings) {
    const Use use = uses_[reading.id];
    if (use.role != Role::channel) continue;
    const double value = reading.value * channels_[use.index].scale + channels_[use.index].offset;
    if (std::abs(value) <= reading_max) values_[use.index] = value;
  }
  motion_.add_energy(energy_.integrate(next.time_ns, values_));
  forget(next.readings);
  last_ns_ = next.time_ns;
}

bool Assembler::same_cycle(const Next& next) const {
  for (const Reading& reading : next.readings)
    if (uses_[reading.id].role == Role::cycle && !std::isnan(reading.value)) return cycle_ == reading.value;
  return false;
}

CapturedEpisode Assembler::close(CutReason reason, const std::optional<Next>& next) {
  DROVER_CHECK(open(), "close() without an open episode");
  if (next && follows_on(reason) && next->time_ns >= last_ns_ &&
      seconds(last_ns_, next->time_ns) <= mapping_.energy.gap_s)
    extend_to(*next);
  const bool interrupted = next && !follows_on(reason) && same_cycle(*next);
  if (interrupted) note("the cycle goes on after a break in the log; no unit is counted here");
  if (!complete_) reason = CutReason::damage;
  CapturedEpisode episode;
  episode.cut = reason;
  episode.ordinal = ordinal_;
  episode.env_type = mapping_.task.env_type;
  episode.source_type = generated_ ? SourceType::synthetic : SourceType::real;
  episode.duration_s = seconds(start_ns_, last_ns_);
  episode.errors = errors_;
  episode.header.outcome = outcome(interrupted);
  episode.units = units_made(episode.header.outcome, interrupted);
  episode.attempts = std::max(1.0, episode.units + errors_);
  write_events(episode);
  episode.energy = energy_.finish();
  episode.steps = motion_.finish(last_ns_);
  if (episode.energy.method != "none")
    for (const MotionStep& step : episode.steps) episode.energy.per_skill_J[step.name] += step.energy_J;
  write_header(episode);
  reset();
  return episode;
}

std::string Assembler::outcome(bool interrupted) const {
  bool knows_errors = false, failing = false;
  for (size_t i = 0; i < event_states_.size(); ++i) {
    if (!mapping_.events[i].counts_as_error || !event_states_[i].bound) continue;
    knows_errors = true;
    failing = failing || event_states_[i].active;
  }
  if (failing || (interrupted && errors_ > 0)) return "failure";
  if (!complete_ || interrupted || !knows_errors) return "unknown";
  return errors_ > 0 ? "recovered" : "success";
}

double Assembler::units_made(const std::string& outcome, bool interrupted) const {
  if (units_first_) return std::max(0.0, *units_last_ - *units_first_);
  if (!mapping_.task.units_column.empty() || outcome == "failure" || interrupted || !complete_) return 0;
  return mapping_.task.units_per_episode;
}

void Assembler::write_events(CapturedEpisode& episode) {
  for (size_t i = 0; i < event_states_.size(); ++i) {
    EventState& state = event_states_[i];
    if (state.open_event < events_.size()) end_event(state, last_ns_);
    if (state.onsets > 0) episode.event_onsets[printable(mapping_.events[i].kind)] = state.onsets;
    if (state.rows > 0) episode.event_rows[printable(mapping_.events[i].kind)] = state.rows;
    state.onsets = state.rows = state.onset_rows = 0;
    state.open_event = no_event;
  }
  if (events_dropped_ > 0) note(std::to_string(events_dropped_) + " more events are counted but not listed");
  episode.header.events = std::move(events_);
}

void Assembler::write_streams(Episode& header) const {
  for (const Channel& c : channels_) {
    if (c.samples == 0 && (c.automatic || c.missing == 0)) continue;
    header.streams.push_back({c.name, c.unit, c.samples, c.missing, c.minimum, c.maximum, c.mean});
  }
}

void Assembler::write_header(CapturedEpisode& episode) {
  Episode& h = episode.header;
  char number[32];
  std::snprintf(number, sizeof number, "-%05llu", static_cast<unsigned long long>(ordinal_));
  h.episode_id = mapping_.kind + "-" + to_hex(identity_.hash).substr(0, 12) + number;
  h.robot = identity_.robot;
  h.task_name = printable(mapping_.task.name);
  h.engine_type = mapping_.task.engine_type;
  h.source_kind = mapping_.kind;
  h.source_name = printable(identity_.name);
  h.source_hash = identity_.hash;
  h.start_unix_ns = start_ns_;
  h.end_unix_ns = last_ns_;
  h.cycle = cycle_ && std::abs(*cycle_) < 9e15 ? static_cast<int64_t>(*cycle_) : static_cast<int64_t>(ordinal_);
  h.rows = rows_;
  h.complete = complete_;
  write_streams(h);
  if (generated_) note("generated log: no robot made these numbers");
  if (clamped_ > 0) note(std::to_string(clamped_) + " samples stepped back in time and were set to the time before");
  if (skipped_ > 0) note(std::to_string(skipped_) + " samples stepped back in time and were skipped");
  h.notes = std::move(notes_);
  nlohmann::json extra = {{"ordinal", ordinal_},
                          {"cut", cut_reason_name(episode.cut)},
                          {"units", episode.units},
                          {"attempts", episode.attempts},
                          {"errors", episode.errors},
                          {"energy_method", episode.energy.method},
                          {"energy_J", episode.energy.total_J},
                          {"event_rows", episode.event_rows}};
  if (generated_) extra["generated"] = true;
  h.extra_json = extra.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void Assembler::note(std::string text) {
  if (notes_.size() < notes_max) notes_.push_back(printable(text, 500));
}

void Assembler::reset() {
  ++ordinal_;
  rows_ = 0;
  cycle_.reset();
  units_first_.reset();
  units_last_.reset();
  events_.clear();
  notes_.clear();
  events_dropped_ = clamped_ = skipped_ = 0;
  errors_ = 0;
  complete_ = true;
  for (Channel& c : channels_) {
    c.samples = c.missing = 0;
    c.minimum = c.maximum = c.mean = 0;
  }
}

}  // namespace drover::capture
