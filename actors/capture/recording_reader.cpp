#include "actors/capture/recording_reader.hpp"

#include <algorithm>
#include <cmath>

#include "actors/capture/recording_json.hpp"
#include "actors/capture/text.hpp"
#include "storage/mcap/ros2_messages.hpp"

namespace drover::capture {
namespace {

constexpr std::string_view library_prefix = "drover recorder";
constexpr std::string_view episode_topic = "/drover/episode";
constexpr std::string_view camera_prefix = "/camera/";
constexpr std::string_view image_suffix = "/image/compressed";
constexpr int head_records_max = 64;
constexpr size_t urdf_bytes_max = 4u << 20;
constexpr size_t image_bytes_max = 64u << 20;
constexpr double time_max_s = 1e7;

enum class Topic : uint8_t {
  other,
  episode,
  skill,
  event,
  energy,
  scene,
  sense,
  contact,
  joints,
  targets,
  image,
  description
};

Topic topic_of(std::string_view name) {
  static const std::map<std::string_view, Topic> known = {
      {episode_topic, Topic::episode},     {"/drover/skill", Topic::skill},
      {"/drover/event", Topic::event},     {"/drover/energy", Topic::energy},
      {"/drover/scene", Topic::scene},     {"/drover/sense", Topic::sense},
      {"/drover/contact", Topic::contact}, {"/joint_states", Topic::joints},
      {"/joint_targets", Topic::targets},  {"/robot_description", Topic::description},
  };
  const auto found = known.find(name);
  if (found != known.end()) return found->second;
  const bool image = name.starts_with(camera_prefix) && name.ends_with(image_suffix) &&
                     name.size() > camera_prefix.size() + image_suffix.size();
  return image ? Topic::image : Topic::other;
}

class Reading {
 public:
  Reading(const std::shared_ptr<const mcap::Source>& file, RecordingVisitor& visitor)
      : reader_(file), visitor_(visitor) {}
  Result<RecordingReport> run();

 private:
  struct Channel {
    Topic topic = Topic::other;
    std::string name;                        // printable
    const RecordedCamera* camera = nullptr;  // in start_
  };

  void add_channel(const mcap::Channel& channel);
  void bind_camera(Channel& channel);
  Status take(const mcap::Message& message);
  Status take_before_start(Channel& channel, const mcap::Message& message);
  void give_start();
  bool give(const Channel& channel, const mcap::Message& message);
  bool give_episode(const mcap::Message& message);
  bool give_skill(const mcap::Message& message);
  bool give_joints(const mcap::Message& message, bool target);
  bool give_image(const Channel& channel, const mcap::Message& message);
  void flush_joints();
  // -1: no time of this episode.
  double time_s(const mcap::Message& message) const {
    if (message.publish_time_ns > INT64_MAX) return -1;
    const auto t = static_cast<double>(static_cast<int64_t>(message.publish_time_ns) - start_.start_unix_ns) / 1e9;
    return std::isfinite(t) && t >= 0 && t <= time_max_s ? t : -1;
  }

  mcap::RecordReader reader_;
  RecordingVisitor& visitor_;
  RecordingReport report_;
  std::map<uint16_t, Channel> channels_;
  RecordingStart start_;
  bool have_start_ = false;
  bool gave_start_ = false;
  // A sample's targets follow its states in the file; both are given at once.
  struct {
    bool open = false;
    double time_s = 0;
    mcap::JointState state;
    std::vector<double> target;
  } joints_;
};

void Reading::add_channel(const mcap::Channel& channel) {
  const auto [at, added] =
      channels_.try_emplace(channel.id, Channel{topic_of(channel.topic), printable(channel.topic)});
  if (added && gave_start_) bind_camera(at->second);
}

void Reading::bind_camera(Channel& channel) {
  if (channel.topic != Topic::image) return;
  const size_t size = channel.name.size() - camera_prefix.size() - image_suffix.size();
  const std::string_view name = std::string_view(channel.name).substr(camera_prefix.size(), size);
  for (const RecordedCamera& camera : start_.cameras)
    if (camera.name == name) channel.camera = &camera;
}

// The robot description follows the start facts; the start is given when both were seen, or the first other message.
Status Reading::take_before_start(Channel& channel, const mcap::Message& message) {
  if (channel.topic == Topic::episode && !have_start_) {
    DROVER_ASSIGN(start_, recording_json::read_start(message.data.text()));
    have_start_ = true;
    return {};
  }
  if (channel.topic == Topic::description && have_start_ && message.data.size() <= urdf_bytes_max) {
    if (auto urdf = mcap::read_std_string(message.data)) start_.urdf = std::move(*urdf);
    return {};
  }
  if (!have_start_) return {};
  give_start();
  if (!give(channel, message)) ++report_.unreadable;
  return {};
}

void Reading::give_start() {
  gave_start_ = true;
  for (auto& [id, channel] : channels_) bind_camera(channel);
  visitor_.start(start_);
}

Status Reading::take(const mcap::Message& message) {
  const auto found = channels_.find(message.channel_id);
  if (found == channels_.end()) return {};
  ++report_.messages;
  ++report_.per_topic[found->second.name];
  if (!gave_start_) {
    DROVER_TRY(take_before_start(found->second, message));
  } else if (!give(found->second, message)) {
    ++report_.unreadable;
  }
  if (have_start_) report_.last_time_s = std::max(report_.last_time_s, time_s(message));
  return {};
}

bool Reading::give_episode(const mcap::Message& message) {
  const auto phase = recording_json::phase_of(message.data.text());
  if (!phase || *phase == recording_json::Phase::start) return phase.has_value();
  const auto end = recording_json::read_end(message.data.text());
  if (!end) return false;
  flush_joints();
  report_.ended = true;
  visitor_.end(*end);
  return true;
}

bool Reading::give_skill(const mcap::Message& message) {
  const auto skill = recording_json::read_skill(message.data.text());
  if (!skill) return false;
  if (skill->begin) {
    visitor_.skill_begin(skill->skill);
  } else {
    visitor_.skill_end(skill->skill);
  }
  return true;
}

void Reading::flush_joints() {
  if (!joints_.open) return;
  joints_.open = false;
  visitor_.joints(joints_.time_s,
                  {joints_.state.position, joints_.state.velocity, joints_.state.effort, joints_.target});
}

bool Reading::give_joints(const mcap::Message& message, bool target) {
  auto state = mcap::read_joint_state(message.data);
  const double t = time_s(message);
  if (!state || state->name.size() != start_.joints.size() || t < 0) return false;
  if (target) {
    if (!joints_.open || joints_.time_s != t) return false;
    joints_.target = std::move(state->position);
    flush_joints();
    return true;
  }
  flush_joints();
  joints_ = {true, t, std::move(*state), {}};
  return true;
}

bool Reading::give_image(const Channel& channel, const mcap::Message& message) {
  const auto image = mcap::read_compressed_image(message.data);
  const double t = time_s(message);
  if (!image || t < 0 || channel.camera == nullptr || image->data_bytes > image_bytes_max) return false;
  visitor_.image(t, *channel.camera, message.data.slice(image->data_offset, image->data_bytes));
  return true;
}

// False: the message is not what its topic says.
bool Reading::give(const Channel& channel, const mcap::Message& message) {
  const std::string_view text = message.data.text();
  if (channel.topic != Topic::targets) flush_joints();
  switch (channel.topic) {
    case Topic::episode:
      return give_episode(message);
    case Topic::skill:
      return give_skill(message);
    case Topic::joints:
    case Topic::targets:
      return give_joints(message, channel.topic == Topic::targets);
    case Topic::image:
      return give_image(channel, message);
    case Topic::event: {
      const auto event = recording_json::read_event(text);
      if (event) visitor_.event(*event);
      return event.has_value();
    }
    case Topic::energy: {
      const auto energy = recording_json::read_energy(text, start_.joints.size());
      if (energy) visitor_.energy(energy->time_s, energy->value);
      return energy.has_value();
    }
    case Topic::scene: {
      const auto objects = recording_json::read_objects(text);
      if (objects) visitor_.objects(objects->time_s, objects->value.frames);
      return objects.has_value();
    }
    case Topic::sense: {
      const auto sense = recording_json::read_sense(text);
      if (sense) visitor_.sense(sense->time_s, sense->value.sense);
      return sense.has_value();
    }
    case Topic::contact: {
      const auto contacts = recording_json::read_contacts(text);
      if (contacts) visitor_.contacts(contacts->time_s, contacts->value.contacts);
      return contacts.has_value();
    }
    case Topic::description:
    case Topic::other:
      break;
  }
  return true;
}

Result<RecordingReport> Reading::run() {
  while (auto item = reader_.next()) {
    if (const auto* message = std::get_if<mcap::Message>(&item->record)) {
      DROVER_TRY(take(*message));
    } else if (const auto* channel = std::get_if<mcap::Channel>(&item->record)) {
      add_channel(*channel);
    }
  }
  report_.damage = reader_.damage();
  if (report_.damage && report_.damage->code == Errc::io) return fail(Errc::io, "recording", report_.damage->what);
  if (!have_start_)
    return fail(Errc::corrupt, "recording",
                "nothing of it can be understood: the start facts are not there" +
                    (report_.damage ? " (" + report_.damage->what + ")" : std::string()));
  if (!gave_start_) give_start();
  flush_joints();
  return report_;
}

}  // namespace

bool is_recording(const mcap::Source& file) {
  // The reader wants to share its source; this one outlives it.
  const std::shared_ptr<const mcap::Source> borrowed(std::shared_ptr<const mcap::Source>(), &file);
  mcap::RecordReader reader(borrowed);
  for (int i = 0; i < head_records_max; ++i) {
    const auto item = reader.next();
    if (!item) return false;
    if (const auto* header = std::get_if<mcap::Header>(&item->record)) {
      if (header->profile != "ros2") return false;
      if (header->library.starts_with(library_prefix)) return true;
    }
    if (const auto* channel = std::get_if<mcap::Channel>(&item->record))
      if (channel->topic == episode_topic && channel->message_encoding == "json") return true;
  }
  return false;
}

Result<RecordingReport> read_recording(const std::shared_ptr<const mcap::Source>& file, RecordingVisitor& visitor) {
  return Reading(file, visitor).run();
}

}  // namespace drover::capture
