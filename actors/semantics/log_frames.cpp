#include "actors/semantics/log_frames.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "actors/capture/clock.hpp"
#include "actors/capture/csv.hpp"
#include "actors/capture/number.hpp"
#include "actors/semantics/log_alarms.hpp"
#include "actors/semantics/sense_frame.hpp"

namespace drover::semantics {
namespace {

using capture::ClockFormat;
using capture::Mapping;

constexpr size_t frames_ahead_max = 4096;

// Where one column's value goes.
enum class Target : uint8_t { joint_rad, joint_rad_per_s, joint_Nm, force_N, gripper_m, current_A, voltage_V };

struct Binding {
  size_t cell = 0;
  Target target = Target::joint_rad;
  size_t index = 0;
  double scale = 1, offset = 0;
};

struct AlarmBinding {
  size_t cell = 0;
  uint16_t alarm = 0;
  capture::Condition when;
};

// "joint_3.velocity" with head "joint_" and tail ".velocity": 3.
std::optional<size_t> index_between(std::string_view text, std::string_view head, std::string_view tail) {
  if (text.size() <= head.size() + tail.size() || !text.starts_with(head) || !text.ends_with(tail)) return std::nullopt;
  const std::string_view digits = text.substr(head.size(), text.size() - head.size() - tail.size());
  size_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<Binding> bind_channel(std::string_view name, size_t cell, const capture::ChannelRule& rule) {
  const auto make = [&](Target target, size_t index) { return Binding{cell, target, index, rule.scale, rule.offset}; };
  const auto joint = [&](std::string_view tail, Target target) -> std::optional<Binding> {
    const auto index = index_between(name, "joint_", tail);
    if (!index || *index >= joints_max) return std::nullopt;
    return make(target, *index);
  };
  if (auto b = joint(".position", Target::joint_rad)) return b;
  if (auto b = joint(".velocity", Target::joint_rad_per_s)) return b;
  if (auto b = joint(".moment", Target::joint_Nm)) return b;
  if (auto b = joint(".torque", Target::joint_Nm)) return b;
  if (const auto axis = index_between(name, "tcp.force_", ""); axis && *axis < 3) return make(Target::force_N, *axis);
  if (name == "gripper.width") return make(Target::gripper_m, 0);
  if (name == "supply.current") return make(Target::current_A, 0);
  if (name == "supply.voltage") return make(Target::voltage_V, 0);
  return std::nullopt;
}

// Lines of a CSV log as frames.
class CsvFrames {
 public:
  // Errors: not_found (no clock column).
  Status bind(std::span<const std::string> names, const Mapping& mapping);
  void take(const capture::HeardRow& heard);
  // The frames so far; then as after bind().
  Rollout finish();

 private:
  uint32_t bound_signals() const;
  std::optional<double> time_s(const capture::HeardRow& heard);
  void fill(const capture::HeardRow& heard);
  void store(const Binding& binding, double value);
  std::optional<double> number(const capture::HeardRow& heard, size_t cell) const;

  capture::ClockConfig clock_;
  capture::Decimal decimal_ = capture::Decimal::automatic;
  std::vector<Binding> bindings_;
  std::vector<AlarmBinding> alarms_;
  std::optional<size_t> clock_cell_;
  Rollout rollout_;
  RolloutFrame frame_;
  double current_A_ = 0, voltage_V_ = 0;
  std::optional<int64_t> start_ns_;
  uint64_t rows_ = 0;
};

Status CsvFrames::bind(std::span<const std::string> names, const Mapping& mapping) {
  clock_ = mapping.clock;
  decimal_ = mapping.csv.decimal;
  for (size_t cell = 0; cell < names.size(); ++cell) {
    if (names[cell] == clock_.column) clock_cell_ = cell;
    for (const capture::ChannelRule& rule : mapping.channels) {
      const auto captured = rule.column.match(names[cell]);
      if (!captured) continue;
      if (const auto b = bind_channel(rule.name.expand(*captured), cell, rule)) bindings_.push_back(*b);
      break;
    }
    for (const capture::EventRule& rule : mapping.events)
      if (rule.column == names[cell] && alarm_of_event(rule.kind) != 0)
        alarms_.push_back({cell, alarm_of_event(rule.kind), rule.when});
  }
  for (const Binding& b : bindings_)
    if (b.target <= Target::joint_Nm)
      rollout_.joint_count = std::max(rollout_.joint_count, static_cast<uint32_t>(b.index + 1));
  rollout_.signals = bound_signals();
  if (clock_.rule.format != ClockFormat::row && !clock_cell_)
    return fail(Errc::not_found, mapping.kind, "no column " + clock_.column);
  return {};
}

uint32_t CsvFrames::bound_signals() const {
  uint32_t signals = alarms_.empty() ? 0 : uint32_t{signal_alarms};
  bool current = false, voltage = false;
  for (const Binding& b : bindings_) {
    if (b.target == Target::joint_rad_per_s) signals |= signal_joints;
    if (b.target == Target::joint_Nm) signals |= signal_torque;
    if (b.target == Target::force_N) signals |= signal_force;
    if (b.target == Target::gripper_m) signals |= signal_gripper;
    current = current || b.target == Target::current_A;
    voltage = voltage || b.target == Target::voltage_V;
  }
  return current && voltage ? signals | signal_power : signals;
}

std::optional<double> CsvFrames::time_s(const capture::HeardRow& heard) {
  if (clock_.rule.format == ClockFormat::row) return static_cast<double>(rows_) / clock_.rate_hz;
  auto time_ns = heard.time_ns;
  if (!heard.time_read && *clock_cell_ < heard.row.cells.size())
    time_ns = capture::parse_time_cell(heard.row.cells[*clock_cell_], clock_.rule);
  if (!time_ns) return std::nullopt;
  if (!start_ns_) start_ns_ = *time_ns;
  return static_cast<double>(*time_ns - *start_ns_) * 1e-9;
}

std::optional<double> CsvFrames::number(const capture::HeardRow& heard, size_t cell) const {
  if (cell >= heard.row.cells.size()) return std::nullopt;
  if (cell < heard.numbers.size() && !std::isnan(heard.numbers[cell])) return heard.numbers[cell];
  return capture::parse_number(heard.row.cells[cell], decimal_);
}

void CsvFrames::store(const Binding& b, double value) {
  const auto v = static_cast<float>(value * b.scale + b.offset);
  switch (b.target) {
    case Target::joint_rad:
      frame_.joint_rad[b.index] = v;
      break;
    case Target::joint_rad_per_s:
      frame_.joint_rad_per_s[b.index] = v;
      break;
    case Target::joint_Nm:
      frame_.joint_Nm[b.index] = v;
      break;
    case Target::force_N:
      frame_.force_N[b.index] = v;
      break;
    case Target::gripper_m:
      frame_.gripper_m = v;
      break;
    case Target::current_A:
      current_A_ = static_cast<double>(v);
      break;
    case Target::voltage_V:
      voltage_V_ = static_cast<double>(v);
      break;
  }
}

void CsvFrames::fill(const capture::HeardRow& heard) {
  for (const Binding& b : bindings_)
    if (const auto value = number(heard, b.cell)) store(b, *value);
  frame_.power_W = static_cast<float>(current_A_ * voltage_V_);
  frame_.alarms = 0;
  for (const AlarmBinding& a : alarms_) {
    if (a.cell >= heard.row.cells.size()) continue;
    bool holds = false;
    if (a.when.on_text()) {
      holds = a.when.holds(capture::trim(heard.row.cells[a.cell]));
    } else if (const auto value = number(heard, a.cell)) {
      holds = a.when.holds(*value);
    }
    if (holds) frame_.alarms = static_cast<uint16_t>(frame_.alarms | a.alarm);
  }
}

void CsvFrames::take(const capture::HeardRow& heard) {
  const auto time = time_s(heard);
  ++rows_;
  if (!time || (!rollout_.frames.empty() && *time <= rollout_.frames.back().time_s)) return;
  fill(heard);
  frame_.time_s = *time;
  rollout_.frames.push_back(frame_);
}

Rollout CsvFrames::finish() {
  auto frames = std::exchange(rollout_.frames, {});
  rollout_.frames.reserve(std::min(frames.size(), frames_ahead_max));  // the next episode is about as long
  Rollout out;
  out.joint_count = rollout_.joint_count;
  out.signals = rollout_.signals;
  out.frames = std::move(frames);
  frame_ = {};
  current_A_ = voltage_V_ = 0;
  start_ns_.reset();
  rows_ = 0;
  return out;
}

void describe_log(const capture::CapturedEpisode& episode, const Mapping& mapping, Rollout& out) {
  out.id = episode.header.episode_id;
  out.robot = episode.header.robot;
  out.task_name = episode.header.task_name;
  out.source = RolloutSource::real_log;
  out.world = mapping.kind;
  out.outcome = episode.header.outcome == "recovered" ? "success" : episode.header.outcome;
  const size_t n = out.frames.size();
  const double seconds = n > 1 ? out.frames.back().time_s - out.frames.front().time_s : 0;
  if (seconds > 0) out.rate_hz = static_cast<double>(n - 1) / seconds;
}

Result<Rollout> rollout_from_csv(const capture::CapturedEpisode& episode, const Mapping& mapping) {
  capture::CsvReader reader(mcap::memory_source(episode.slice), mapping.csv.format);
  DROVER_TRY(reader.read_header());
  CsvFrames frames;
  DROVER_TRY(frames.bind(reader.header(), mapping));
  while (const capture::CsvRow* row = reader.next()) frames.take({*row, false, {}, {}});
  Rollout out = frames.finish();
  describe_log(episode, mapping, out);
  return out;
}

// Joints and senses come as messages of their own; a frame is made at each sense, with the joints seen last.
class RecordingFrames final : public capture::RecordingVisitor {
 public:
  void start(const capture::RecordingStart& start) override {
    rollout.robot = start.robot;
    rollout.task_name = start.task_name;
    rollout.world = start.world;
    rollout.source = start.engine == "real" ? RolloutSource::real_log : RolloutSource::physics;
    rollout.signals = signals_all & ~uint32_t{signal_alarms};
    if (start.control_period_s > 0) rollout.rate_hz = 1 / start.control_period_s;
    for (const capture::RecordedJoint& joint : start.joints)
      (joint.sliding ? fingers_ : arm_).push_back(joint_index_++);
    rollout.joint_count = static_cast<uint32_t>(std::min(arm_.size(), joints_max));
    rollout.id = start.task_name + "-" + start.condition.set + "-" + std::to_string(start.condition.seed);
  }

  void joints(double, const capture::JointSample& sample) override {
    const auto value = [](std::span<const double> values, size_t i) { return i < values.size() ? values[i] : 0.0; };
    double power_W = 0;
    for (size_t i = 0; i < rollout.joint_count; ++i) {
      const double speed = value(sample.velocity, arm_[i]), torque = value(sample.effort, arm_[i]);
      frame.joint_rad[i] = static_cast<float>(value(sample.position, arm_[i]));
      frame.joint_rad_per_s[i] = static_cast<float>(speed);
      frame.joint_Nm[i] = static_cast<float>(torque);
      power_W += std::abs(speed * torque);
    }
    if (!fingers_.empty()) {
      frame.gripper_m = static_cast<float>(2 * value(sample.position, fingers_[0]));
      frame.gripper_N = static_cast<float>(std::abs(value(sample.effort, fingers_[0])));
      power_W += std::abs(value(sample.velocity, fingers_[0]) * value(sample.effort, fingers_[0]));
    }
    frame.power_W = static_cast<float>(power_W);
  }
  void sense(double time_s, const capture::RecordedSense& sense) override {
    if (!rollout.frames.empty() && !(time_s > rollout.frames.back().time_s)) return;
    if (rollout.frames.empty()) describe(sense);
    frame.time_s = time_s;
    for (size_t k = 0; k < 3; ++k) {
      frame.tool_m[k] = static_cast<float>(sense.tool.position_m[k]);
      frame.force_N[k] = static_cast<float>(sense.tool_force_N[k]);
    }
    for (size_t k = 0; k < 4; ++k) frame.tool_quaternion[k] = static_cast<float>(sense.tool.rotation[k]);
    for (const capture::RecordedSight& sight : sense.sights)
      for (size_t i = 0; i < rollout.objects.size(); ++i) {
        if (rollout.objects[i].name != sight.name) continue;
        ObjectState& state = frame.objects[i];
        for (size_t k = 0; k < 3; ++k) state.position_m[k] = static_cast<float>(sight.position_m[k]);
        state.tilt_rad = static_cast<float>(sight.tilt_rad);
        state.extension_m = static_cast<float>(sight.extension_m);
        state.visible = sight.visible ? 1 : 0;
      }
    open_m = std::max(open_m, static_cast<double>(frame.gripper_m));
    frame.contacts = sensed_contacts(frame, rollout.objects.size(), std::min(open_m, open_m_max));
    rollout.frames.push_back(frame);
  }

  void end(const capture::RecordingEnd& end) override {
    rollout.outcome = end.outcome == "recovered" ? "success" : end.outcome;
  }

  Rollout rollout;

 private:
  static constexpr double open_m_max = 0.08;  // a hand that shakes at first is no wider

  void describe(const capture::RecordedSense& sense) {
    for (const capture::RecordedSight& sight : sense.sights) {
      if (rollout.objects.size() == objects_max) break;
      ObjectInfo info;
      info.name = std::string(sight.name);
      info.slides = info.name == "handle";
      info.category = info.slides ? "drawer" : info.name;
      info.geometry = std::string(sight.kind);
      rollout.objects.push_back(std::move(info));
    }
  }

  RolloutFrame frame;
  std::vector<size_t> arm_, fingers_;
  size_t joint_index_ = 0;
  double open_m = 0;
};

}  // namespace

struct FrameListener::Heard {
  std::shared_ptr<const Mapping> mapping;
  Hash source_hash{};
  std::optional<CsvFrames> csv;
  std::optional<RecordingFrames> recording;
};

FrameListener::FrameListener() : heard_(std::make_unique<Heard>()) {}
FrameListener::~FrameListener() = default;

void FrameListener::begin(const Hash& source_hash, const std::shared_ptr<const Mapping>& mapping) {
  *heard_ = Heard{mapping, source_hash, {}, {}};
  done_.reset();
}

capture::RecordingVisitor* FrameListener::recording() {
  return &heard_->recording.emplace();
}

void FrameListener::header(std::span<const std::string> names) {
  if (!heard_->csv.emplace().bind(names, *heard_->mapping)) heard_->csv.reset();
}

void FrameListener::row(const capture::HeardRow& row) {
  if (heard_->csv) heard_->csv->take(row);
}

void FrameListener::cut(uint64_t ordinal, bool whole) {
  done_.reset();
  Rollout frames;
  if (heard_->csv) {
    frames = heard_->csv->finish();
  } else if (heard_->recording) {
    frames = std::move(heard_->recording->rollout);
    heard_->recording.reset();
  } else {
    return;
  }
  if (whole) done_ = Done{ordinal, std::move(frames)};
}

std::optional<Rollout> FrameListener::take(const capture::CapturedEpisode& episode, const Mapping& mapping) {
  auto done = std::exchange(done_, std::nullopt);
  if (!done || done->ordinal != episode.ordinal || heard_->source_hash != episode.header.source_hash)
    return std::nullopt;
  if (heard_->csv) {
    describe_log(episode, mapping, done->rollout);
  } else {
    done->rollout.id = episode.header.episode_id;
    done->rollout.robot = episode.header.robot;
  }
  return std::move(done->rollout);
}

Result<Rollout> rollout_from_log(const capture::CapturedEpisode& episode, const capture::Mapping& mapping) {
  if (mapping.format == capture::LogFormat::mcap) return rollout_from_mcap(episode, mapping);
  if (mapping.format != capture::LogFormat::csv)
    return fail(Errc::invalid_argument, episode.slice_name, "is a recording, not a log");
  return rollout_from_csv(episode, mapping);
}

Result<Rollout> rollout_from_recording(const std::shared_ptr<const mcap::Source>& file) {
  RecordingFrames frames;
  DROVER_TRY(capture::read_recording(file, frames));
  return std::move(frames.rollout);
}

}  // namespace drover::semantics
