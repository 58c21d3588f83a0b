// Logs in MCAP form as rollouts: a frame at each message of joint states (ROS 2, CDR), with the force and the alarms
// that were told last.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "actors/semantics/log_alarms.hpp"
#include "actors/semantics/log_frames.hpp"
#include "storage/mcap/cdr.hpp"
#include "storage/mcap/reader.hpp"
#include "storage/mcap/ros2.hpp"

namespace drover::semantics {
namespace {

constexpr size_t message_bytes_max = 64u << 10;  // larger ones are pictures and clouds

struct Topic {
  mcap::Channel channel;
  bool joints = false;
  std::shared_ptr<const mcap::Ros2Schema> schema;  // null: nothing of it is wanted, or it is not understood
};

bool is_type(std::string_view schema, std::string_view package, std::string_view type) {
  return schema.starts_with(package) && schema.ends_with(type) && schema.size() > package.size() + type.size() &&
         schema[schema.size() - type.size() - 1] == '/';
}

class McapFrames {
 public:
  McapFrames(const capture::CapturedEpisode& episode, const capture::Mapping& mapping)
      : episode_(episode), mapping_(mapping), alarm_on_(mapping.events.size(), 0) {}

  Result<Rollout> run();

 private:
  void add_channel(const mcap::Channel& channel);
  bool wanted(const mcap::Channel& channel, const mcap::Schema& schema) const;
  void take(const mcap::Message& message);
  void take_joints(const mcap::Message& message);
  void take_values(const Topic& topic, const mcap::Ros2Values& values);
  void place(const mcap::JointState& state);
  void describe();

  const capture::CapturedEpisode& episode_;
  const capture::Mapping& mapping_;
  std::map<uint16_t, mcap::Schema> schemas_;
  std::map<uint16_t, Topic> topics_;
  std::map<std::string, size_t, std::less<>> joints_;  // name -> place in a frame
  std::vector<uint16_t> alarm_on_;                     // of each event rule: its alarm while it holds
  RolloutFrame frame_;
  std::optional<uint64_t> start_ns_;
  bool had_positions_ = false;
  Rollout rollout_;
};

bool McapFrames::wanted(const mcap::Channel& channel, const mcap::Schema& schema) const {
  if (is_type(schema.name, "geometry_msgs", "WrenchStamped")) return true;
  return std::any_of(mapping_.events.begin(), mapping_.events.end(), [&](const capture::EventRule& rule) {
    return alarm_of_event(rule.kind) != 0 && rule.column.starts_with(channel.topic + ":");
  });
}

void McapFrames::add_channel(const mcap::Channel& channel) {
  const auto schema = schemas_.find(channel.schema_id);
  if (topics_.contains(channel.id) || schema == schemas_.end() || channel.message_encoding != "cdr") return;
  Topic topic{channel, is_type(schema->second.name, "sensor_msgs", "JointState"), nullptr};
  if (!topic.joints && wanted(channel, schema->second)) {
    auto parsed = mcap::Ros2Schema::parse(schema->second.name, schema->second.data.text());
    if (parsed) topic.schema = std::make_shared<const mcap::Ros2Schema>(std::move(*parsed));
  }
  topics_.emplace(channel.id, std::move(topic));
}

// Names get their places in the order in which they are first told; those without a place are left out.
void McapFrames::place(const mcap::JointState& state) {
  const auto value = [](const std::vector<double>& values, size_t i) { return i < values.size() ? values[i] : 0.0; };
  const double dt = rollout_.frames.empty() ? 0 : frame_.time_s - rollout_.frames.back().time_s;
  double power_W = 0;
  for (size_t i = 0; i < state.name.size(); ++i) {
    auto at = joints_.find(state.name[i]);
    if (at == joints_.end() && joints_.size() < joints_max) at = joints_.emplace(state.name[i], joints_.size()).first;
    if (at == joints_.end()) continue;
    const size_t k = at->second;
    const auto position = static_cast<float>(value(state.position, i));
    const bool differs = state.velocity.empty() && had_positions_ && dt > 0;
    frame_.joint_rad_per_s[k] = differs ? static_cast<float>((position - frame_.joint_rad[k]) / static_cast<float>(dt))
                                        : static_cast<float>(value(state.velocity, i));
    frame_.joint_rad[k] = position;
    frame_.joint_Nm[k] = static_cast<float>(value(state.effort, i));
    power_W += std::abs(static_cast<double>(frame_.joint_Nm[k]) * static_cast<double>(frame_.joint_rad_per_s[k]));
  }
  had_positions_ = had_positions_ || !state.position.empty();
  frame_.power_W = static_cast<float>(power_W);
  if (!state.velocity.empty() || !state.position.empty()) rollout_.signals |= signal_joints;
  if (!state.effort.empty()) rollout_.signals |= signal_torque | signal_power;
}

void McapFrames::take_joints(const mcap::Message& message) {
  const auto state = mcap::read_joint_state(message.data);
  if (!state || state->name.empty()) return;
  if (!start_ns_) start_ns_ = message.log_time_ns;
  if (message.log_time_ns < *start_ns_) return;
  const double time_s = static_cast<double>(message.log_time_ns - *start_ns_) * 1e-9;
  if (!rollout_.frames.empty() && !(time_s > rollout_.frames.back().time_s)) return;
  frame_.time_s = time_s;
  place(*state);
  frame_.alarms = 0;
  for (const uint16_t alarm : alarm_on_) frame_.alarms = static_cast<uint16_t>(frame_.alarms | alarm);
  rollout_.frames.push_back(frame_);
}

void McapFrames::take_values(const Topic& topic, const mcap::Ros2Values& values) {
  const auto number = [&](std::string_view path) -> const double* {
    const auto at = values.find(std::string(path));
    return at == values.end() ? nullptr : std::get_if<double>(&at->second);
  };
  const double* force[] = {number("wrench.force.x"), number("wrench.force.y"), number("wrench.force.z")};
  if (force[0] != nullptr && force[1] != nullptr && force[2] != nullptr) {
    for (size_t k = 0; k < 3; ++k) frame_.force_N[k] = static_cast<float>(*force[k]);
    rollout_.signals |= signal_force;
  }
  const std::string head = topic.channel.topic + ":";
  for (size_t i = 0; i < mapping_.events.size(); ++i) {
    const capture::EventRule& rule = mapping_.events[i];
    if (alarm_of_event(rule.kind) == 0 || rule.when.on_text() || !rule.column.starts_with(head)) continue;
    const double* reading = number(std::string_view(rule.column).substr(head.size()));
    if (reading == nullptr) continue;
    rollout_.signals |= signal_alarms;
    alarm_on_[i] = rule.when.holds(*reading) ? alarm_of_event(rule.kind) : uint16_t{0};
  }
}

void McapFrames::take(const mcap::Message& message) {
  const auto topic = topics_.find(message.channel_id);
  if (topic == topics_.end() || message.data.size() > message_bytes_max) return;
  if (topic->second.joints) return take_joints(message);
  if (!topic->second.schema) return;
  if (const auto values = topic->second.schema->decode(message.data)) take_values(topic->second, *values);
}

void McapFrames::describe() {
  rollout_.id = episode_.header.episode_id;
  rollout_.robot = episode_.header.robot;
  rollout_.task_name = episode_.header.task_name;
  rollout_.source = RolloutSource::real_log;
  rollout_.world = mapping_.kind;
  rollout_.outcome = episode_.header.outcome == "recovered" ? "success" : episode_.header.outcome;
  rollout_.joint_count = static_cast<uint32_t>(joints_.size());
  const size_t n = rollout_.frames.size();
  const double seconds = n > 1 ? rollout_.frames.back().time_s - rollout_.frames.front().time_s : 0;
  if (seconds > 0) rollout_.rate_hz = static_cast<double>(n - 1) / seconds;
}

Result<Rollout> McapFrames::run() {
  mcap::RecordReader reader(mcap::memory_source(episode_.slice));
  while (const auto item = reader.next()) {
    if (const auto* schema = std::get_if<mcap::Schema>(&item->record)) schemas_.try_emplace(schema->id, *schema);
    if (const auto* channel = std::get_if<mcap::Channel>(&item->record)) add_channel(*channel);
    if (const auto* message = std::get_if<mcap::Message>(&item->record)) take(*message);
  }
  describe();
  return std::move(rollout_);
}

}  // namespace

Result<Rollout> rollout_from_mcap(const capture::CapturedEpisode& episode, const capture::Mapping& mapping) {
  return McapFrames(episode, mapping).run();
}

}  // namespace drover::semantics
