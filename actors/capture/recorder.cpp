#include "actors/capture/recorder.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "actors/capture/recording_json.hpp"
#include "actors/capture/text.hpp"
#include "storage/mcap/ros2_messages.hpp"
#include "storage/mcap/writer.hpp"

namespace drover::capture {
namespace {

constexpr size_t joints_max = 64;
constexpr size_t cameras_max = 16;
constexpr size_t list_max = 256;
constexpr size_t skills_max = 256;
constexpr double time_max_s = 1e6;
constexpr double pi = 3.14159265358979323846;
constexpr std::string_view fixed_frame = "world";

bool finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}
bool finite(const RecordedPose& pose) {
  return finite(pose.position_m) && finite(pose.rotation);
}

tl::unexpected<Error> bad(std::string where, std::string what) {
  return fail(Errc::invalid_argument, "recorder/" + std::move(where), std::move(what));
}

Status check_name(std::string_view name, const char* where) {
  if (name.empty() || printable(name) != name) return bad(where, "a name is empty, too long or not printable");
  return {};
}

Status check_camera(const RecordedCamera& camera) {
  const auto fits = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-'; };
  if (camera.name.empty() || camera.name.size() > 64 || !std::all_of(camera.name.begin(), camera.name.end(), fits))
    return bad("cameras", "a name is not made of letters, digits, '_' and '-'");
  if (!finite(camera.in_link) || !(camera.fovy_deg > 0 && camera.fovy_deg < 180))
    return bad("cameras", camera.name + ": pose or field of view is out of range");
  return {};
}

Status check_start(const RecordingStart& start) {
  for (const std::string* name : {&start.robot, &start.task_name, &start.world, &start.engine})
    DROVER_TRY(check_name(*name, "start"));
  if (start.start_unix_ns < 0 || start.start_unix_ns > INT64_MAX / 2)
    return bad("start", "start_unix_ns is out of range");
  if (start.joints.empty() || start.joints.size() > joints_max) return bad("joints", "there must be 1 to 64");
  if (start.cameras.size() > cameras_max) return bad("cameras", "there are more than 16");
  std::set<std::string_view> names;
  for (const RecordedJoint& joint : start.joints) {
    DROVER_TRY(check_name(joint.name, "joints"));
    if (!names.insert(joint.name).second) return bad("joints", joint.name + " is there twice");
    if (!(joint.copper_W_per_Nm2 >= 0)) return bad("joints", joint.name + ": copper loss is negative or no number");
  }
  names.clear();
  for (const RecordedCamera& camera : start.cameras) {
    DROVER_TRY(check_camera(camera));
    if (!names.insert(camera.name).second) return bad("cameras", camera.name + " is there twice");
  }
  for (const auto& [name, number] : start.condition.numbers)
    if (!std::isfinite(number)) return bad("condition", name + " is not finite");
  if (start.condition.numbers.size() > list_max || start.condition.choices.size() > list_max)
    return bad("condition", "has more than 256 entries");
  return {};
}

// ---- rotations, (w, x, y, z)

Quaternion conjugate(const Quaternion& q) {
  return {q[0], -q[1], -q[2], -q[3]};
}
Quaternion times(const Quaternion& a, const Quaternion& b) {
  return {a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3], a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
          a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1], a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0]};
}
Vector3 rotate(const Quaternion& q, const Vector3& v) {
  const Quaternion r = times(times(q, {0, v[0], v[1], v[2]}), conjugate(q));
  return {r[1], r[2], r[3]};
}
RecordedPose seen_from(const RecordedPose& parent, const RecordedPose& child) {
  const Quaternion back = conjugate(parent.rotation);
  const Vector3 d{child.position_m[0] - parent.position_m[0], child.position_m[1] - parent.position_m[1],
                  child.position_m[2] - parent.position_m[2]};
  return {rotate(back, d), times(back, child.rotation)};
}

uint8_t log_level(std::string_view severity) {
  return severity == "error" ? 40 : severity == "warning" ? 30 : 20;
}

}  // namespace

class Recorder::Impl {
 public:
  Impl(const RecordingStart& start, const RecorderOptions& options, mcap::Writer writer)
      : start_(start), options_(options), writer_(std::move(writer)), joint_count_(start.joints.size()) {}

  Status begin();
  Status joints(double time_s, const JointSample& sample);
  Status image(double time_s, std::string_view camera, ByteView jpeg);
  Status scene(double time_s, std::span<const RecordedFrame> frames);
  Status sense(double time_s, const RecordedSense& sense);
  Status contacts(double time_s, std::span<const RecordedContact> contacts);
  Status event(const RecordedEvent& event);
  Status skill(const RecordedSkill& skill, bool begin);
  Status energy(double time_s, const RecordedEnergy& energy);
  Status finish(const RecordingEnd& end, const RecordedEnergy& energy);
  const mcap::Writer& writer() const noexcept { return writer_; }

 private:
  struct Topic {
    uint16_t id = 0;
    uint32_t sequence = 0;
    uint64_t last_ns = 0;
  };
  struct Camera {
    std::string frame;  // of the picture: x right, y down, z forward
    Topic image, info;
    double focal_px = 0;
  };

  Result<uint16_t> schema(const std::string& name, const char* encoding);
  Result<Topic> add_ros(const std::string& topic, const std::string& type, bool latched = false);
  Result<Topic> add_json(const std::string& topic, const std::string& type);
  Status add_topics();
  Status add_camera(const RecordedCamera& camera);
  Status write_static();
  Status check_time(double time_s) const;
  int64_t unix_ns(double time_s) const { return start_.start_unix_ns + std::llround(time_s * 1e9); }
  mcap::RosTime stamp(double time_s) const { return mcap::ros_time(unix_ns(time_s)); }
  Status put(Topic& topic, double time_s, Bytes data);
  Status put_text(Topic& topic, double time_s, const std::string& text) {
    return put(topic, time_s, Bytes::copy_of(text));
  }
  Status write_joints(Topic& topic, double time_s, const JointSample& sample);
  Status check_energy(const RecordedEnergy& energy) const;
  Status write_energy(double time_s, const RecordedEnergy& energy);

  RecordingStart start_;
  RecorderOptions options_;
  mcap::Writer writer_;
  size_t joint_count_;
  std::vector<std::string> joint_names_;
  std::map<std::string, uint16_t, std::less<>> schemas_;
  Topic episode_, skill_, event_, energy_, scene_, sense_, contacts_;
  Topic joint_states_, joint_targets_, tf_, tf_static_, log_, description_, power_work_, power_copper_;
  std::map<std::string, Camera, std::less<>> cameras_;
  double next_flush_s_ = 0;
  double last_energy_s_ = 0;
  RecordedJoules last_energy_;
  bool in_contact_ = true;  // so that the first empty list is written
  bool finished_ = false;
};

Result<uint16_t> Recorder::Impl::schema(const std::string& name, const char* encoding) {
  if (const auto known = schemas_.find(name); known != schemas_.end()) return known->second;
  const bool ros = std::string_view(encoding) == "ros2msg";
  const std::string_view text = ros ? mcap::ros2_definition(name) : recording_json::schema_text(name);
  DROVER_ASSIGN(const uint16_t id, writer_.add_schema(name, encoding, Bytes::copy_of(text)));
  schemas_.emplace(name, id);
  return id;
}

Result<Recorder::Impl::Topic> Recorder::Impl::add_ros(const std::string& topic, const std::string& type, bool latched) {
  DROVER_ASSIGN(const uint16_t schema_id, schema(type, "ros2msg"));
  Topic out;
  DROVER_ASSIGN(out.id, writer_.add_channel(topic, "cdr", schema_id,
                                            {{"offered_qos_profiles", mcap::ros2_qos_profile(latched)}}));
  return out;
}

Result<Recorder::Impl::Topic> Recorder::Impl::add_json(const std::string& topic, const std::string& type) {
  DROVER_ASSIGN(const uint16_t schema_id, schema(type, "jsonschema"));
  Topic out;
  DROVER_ASSIGN(out.id, writer_.add_channel(topic, "json", schema_id));
  return out;
}

Status Recorder::Impl::add_topics() {
  DROVER_ASSIGN(episode_, add_json("/drover/episode", "drover.Episode"));
  DROVER_ASSIGN(skill_, add_json("/drover/skill", "drover.Skill"));
  DROVER_ASSIGN(event_, add_json("/drover/event", "drover.Event"));
  DROVER_ASSIGN(energy_, add_json("/drover/energy", "drover.Energy"));
  DROVER_ASSIGN(scene_, add_json("/drover/scene", "drover.Scene"));
  DROVER_ASSIGN(sense_, add_json("/drover/sense", "drover.Sense"));
  DROVER_ASSIGN(contacts_, add_json("/drover/contact", "drover.Contacts"));
  DROVER_ASSIGN(joint_states_, add_ros("/joint_states", "sensor_msgs/msg/JointState"));
  DROVER_ASSIGN(joint_targets_, add_ros("/joint_targets", "sensor_msgs/msg/JointState"));
  DROVER_ASSIGN(tf_, add_ros("/tf", "tf2_msgs/msg/TFMessage"));
  DROVER_ASSIGN(tf_static_, add_ros("/tf_static", "tf2_msgs/msg/TFMessage", true));
  DROVER_ASSIGN(log_, add_ros("/rosout", "rcl_interfaces/msg/Log"));
  DROVER_ASSIGN(power_work_, add_ros("/power/mechanical_W", "std_msgs/msg/Float64"));
  DROVER_ASSIGN(power_copper_, add_ros("/power/copper_W", "std_msgs/msg/Float64"));
  if (!start_.urdf.empty()) {
    DROVER_ASSIGN(description_, add_ros("/robot_description", "std_msgs/msg/String", true));
  }
  for (const RecordedCamera& camera : start_.cameras) DROVER_TRY(add_camera(camera));
  return {};
}

Status Recorder::Impl::add_camera(const RecordedCamera& camera) {
  Camera out;
  const std::string base = "/camera/" + camera.name;
  out.frame = camera.name + "_optical";
  out.focal_px = camera.height / 2.0 / std::tan(camera.fovy_deg * pi / 360.0);
  DROVER_ASSIGN(out.image, add_ros(base + "/image/compressed", "sensor_msgs/msg/CompressedImage"));
  DROVER_ASSIGN(out.info, add_ros(base + "/camera_info", "sensor_msgs/msg/CameraInfo"));
  cameras_.emplace(camera.name, std::move(out));
  return {};
}

// What does not change: the robot, and where its cameras sit.
Status Recorder::Impl::write_static() {
  if (!start_.urdf.empty()) DROVER_TRY(put(description_, 0, mcap::write_std_string(start_.urdf)));
  if (start_.cameras.empty()) return {};
  std::vector<mcap::Ros2Transform> transforms;
  for (const RecordedCamera& camera : start_.cameras) {
    // From "along -z, y up" to ROS's optical frame "along z, y down": half a turn about x.
    const Quaternion optical = times(camera.in_link.rotation, {0, 1, 0, 0});
    transforms.push_back({stamp(0), camera.link, cameras_.at(camera.name).frame, camera.in_link.position_m, optical});
  }
  return put(tf_static_, 0, mcap::write_transforms(transforms));
}

Status Recorder::Impl::begin() {
  for (const RecordedJoint& joint : start_.joints) joint_names_.push_back(joint.name);
  DROVER_TRY(add_topics());
  DROVER_TRY(put_text(episode_, 0, recording_json::text_of(start_)));
  DROVER_TRY(write_static());
  next_flush_s_ = options_.flush_period_s;
  return writer_.flush();
}

Status Recorder::Impl::check_time(double time_s) const {
  if (finished_) return fail(Errc::refused, "recorder", "the recording is finished");
  if (!(time_s >= 0 && time_s <= time_max_s)) return bad("time_s", "is negative, too large or no number");
  return {};
}

Status Recorder::Impl::put(Topic& topic, double time_s, Bytes data) {
  const auto time_ns = static_cast<uint64_t>(unix_ns(time_s));
  topic.last_ns = std::max(topic.last_ns, time_ns);
  DROVER_TRY(writer_.write(mcap::Message{topic.id, topic.sequence++, topic.last_ns, time_ns, std::move(data)}));
  if (time_s < next_flush_s_) return {};
  next_flush_s_ = time_s + options_.flush_period_s;
  return writer_.flush();
}

Status Recorder::Impl::write_joints(Topic& topic, double time_s, const JointSample& sample) {
  mcap::JointState state;
  state.stamp = stamp(time_s);
  state.frame_id = fixed_frame;
  state.name = joint_names_;
  state.position.assign(sample.position.begin(), sample.position.end());
  state.velocity.assign(sample.velocity.begin(), sample.velocity.end());
  state.effort.assign(sample.effort.begin(), sample.effort.end());
  return put(topic, time_s, mcap::write_joint_state(state));
}

Status Recorder::Impl::joints(double time_s, const JointSample& sample) {
  DROVER_TRY(check_time(time_s));
  for (const auto values : {sample.position, sample.velocity, sample.effort, sample.target})
    if ((!values.empty() && values.size() != joint_count_) || !finite(values))
      return bad("joints", "not one finite value for each joint");
  DROVER_TRY(write_joints(joint_states_, time_s, sample));
  if (sample.target.empty()) return {};
  return write_joints(joint_targets_, time_s, {sample.target, {}, {}, {}});
}

Status Recorder::Impl::image(double time_s, std::string_view camera, ByteView jpeg) {
  DROVER_TRY(check_time(time_s));
  const auto found = cameras_.find(camera);
  if (found == cameras_.end()) return bad("image", "the start names no camera " + printable(camera));
  if (jpeg.size() < 4 || jpeg.size() > (64u << 20)) return bad("image", "the picture is empty or over 64 MiB");
  Camera& to = found->second;
  const auto at = std::find_if(start_.cameras.begin(), start_.cameras.end(),
                               [&](const RecordedCamera& c) { return c.name == camera; });
  DROVER_TRY(
      put(to.info, time_s, mcap::write_camera_info({stamp(time_s), to.frame, at->width, at->height, to.focal_px})));
  return put(to.image, time_s, mcap::write_compressed_image({stamp(time_s), to.frame, "jpeg", jpeg}));
}

Status Recorder::Impl::scene(double time_s, std::span<const RecordedFrame> frames) {
  DROVER_TRY(check_time(time_s));
  if (frames.size() > list_max) return bad("scene", "more than 256 frames");
  std::map<std::string_view, const RecordedFrame*> by_name;
  for (const RecordedFrame& frame : frames) {
    DROVER_TRY(check_name(frame.name, "scene"));
    if (!finite(frame.pose) || !std::isfinite(frame.occluded)) return bad("scene", "a number is not finite");
    by_name.emplace(frame.name, &frame);
  }
  std::vector<mcap::Ros2Transform> transforms;
  for (const RecordedFrame& frame : frames) {
    if (frame.name == fixed_frame) continue;
    const auto parent = by_name.find(frame.parent);
    const bool free = parent == by_name.end() || frame.parent == fixed_frame;  // no frame we know: in the world
    const RecordedPose pose = free ? frame.pose : seen_from(parent->second->pose, frame.pose);
    transforms.push_back(
        {stamp(time_s), free ? fixed_frame : frame.parent, frame.name, pose.position_m, pose.rotation});
  }
  DROVER_TRY(put(tf_, time_s, mcap::write_transforms(transforms)));
  const bool any = std::any_of(frames.begin(), frames.end(), [](const RecordedFrame& f) { return f.is_object; });
  return any ? put_text(scene_, time_s, recording_json::text_of_objects(time_s, frames)) : Status{};
}

Status Recorder::Impl::sense(double time_s, const RecordedSense& sense) {
  DROVER_TRY(check_time(time_s));
  bool good = finite(sense.tool) && finite(sense.tool_force_N) && sense.sights.size() <= list_max;
  for (const RecordedSight& s : sense.sights)
    good = good && finite(s.position_m) && std::isfinite(s.tilt_rad) && std::isfinite(s.extension_m);
  if (!good) return bad("sense", "a number is not finite, or there are more than 256 sights");
  return put_text(sense_, time_s, recording_json::text_of_sense(time_s, sense));
}

Status Recorder::Impl::contacts(double time_s, std::span<const RecordedContact> contacts) {
  DROVER_TRY(check_time(time_s));
  if (contacts.size() > list_max) return bad("contacts", "more than 256");
  for (const RecordedContact& c : contacts)
    if (!finite(c.point_m) || !(c.force_N >= 0 && std::isfinite(c.force_N)))
      return bad("contacts", "a number is negative or not finite");
  if (contacts.empty() && !in_contact_) return {};
  in_contact_ = !contacts.empty();
  return put_text(contacts_, time_s, recording_json::text_of_contacts(time_s, contacts));
}

Status Recorder::Impl::event(const RecordedEvent& event) {
  DROVER_TRY(check_time(event.time_s));
  DROVER_TRY(check_name(event.kind, "event"));
  if (event.severity != "info" && event.severity != "warning" && event.severity != "error")
    return bad("event", "severity is none of info, warning, error");
  DROVER_TRY(put_text(event_, event.time_s, recording_json::text_of(event)));
  mcap::RosLog log;
  log.stamp = stamp(event.time_s);
  log.level = log_level(event.severity);
  log.name = event.origin == EventOrigin::policy ? "drover.policy" : "drover.world";
  log.msg = event.kind + (event.detail.empty() ? "" : ": " + printable(event.detail, 2000));
  return put(log_, event.time_s, mcap::write_ros_log(log));
}

Status Recorder::Impl::skill(const RecordedSkill& skill, bool begin) {
  DROVER_TRY(check_time(skill.start_s));
  DROVER_TRY(check_name(skill.name, "skill"));
  if (skill.kind != "skill" && skill.kind != "retry" && skill.kind != "recovery")
    return bad("skill", "kind is none of skill, retry, recovery");
  if (begin) return put_text(skill_, skill.start_s, recording_json::text_of(skill, true));
  DROVER_TRY(check_time(skill.end_s));
  const bool known = skill.outcome == "success" || skill.outcome == "failure" || skill.outcome == "recovered" ||
                     skill.outcome == "unknown";
  if (skill.end_s < skill.start_s || !known) return bad("skill", "ends before it starts, or has no known outcome");
  return put_text(skill_, skill.end_s, recording_json::text_of(skill, false));
}

Status Recorder::Impl::check_energy(const RecordedEnergy& energy) const {
  if (energy.skill_ids.size() > skills_max || energy.cells.size() != energy.skill_ids.size() * joint_count_)
    return bad("energy", "cells are not skills times joints");
  const auto fits = [](const RecordedJoules& j) {
    return j.mechanical >= 0 && j.copper >= 0 && std::isfinite(j.mechanical) && std::isfinite(j.copper);
  };
  const bool good = fits(energy.total) && energy.seconds >= 0 && energy.peak_W >= 0 && std::isfinite(energy.seconds) &&
                    std::isfinite(energy.peak_W) && std::all_of(energy.cells.begin(), energy.cells.end(), fits);
  if (!good) return bad("energy", "a number is negative or not finite");
  return {};
}

Status Recorder::Impl::write_energy(double time_s, const RecordedEnergy& energy) {
  DROVER_TRY(put_text(energy_, time_s, recording_json::text_of_energy(time_s, energy)));
  const double seconds = time_s - last_energy_s_;
  if (seconds > 0) {
    const double work_W = (energy.total.mechanical - last_energy_.mechanical) / seconds;
    const double copper_W = (energy.total.copper - last_energy_.copper) / seconds;
    DROVER_TRY(put(power_work_, time_s, mcap::write_float64(work_W)));
    DROVER_TRY(put(power_copper_, time_s, mcap::write_float64(copper_W)));
  }
  last_energy_s_ = time_s;
  last_energy_ = energy.total;
  return {};
}

Status Recorder::Impl::energy(double time_s, const RecordedEnergy& energy) {
  DROVER_TRY(check_time(time_s));
  DROVER_TRY(check_energy(energy));
  return write_energy(time_s, energy);
}

Status Recorder::Impl::finish(const RecordingEnd& end, const RecordedEnergy& energy) {
  DROVER_TRY(check_time(end.duration_s));
  DROVER_TRY(check_energy(energy));
  const auto amount = [](double v) { return v >= 0 && std::isfinite(v); };
  if (!amount(end.units) || !amount(end.attempts) || !amount(end.errors) || !amount(end.progress))
    return bad("finish", "a number is negative or not finite");
  DROVER_TRY(write_energy(end.duration_s, energy));
  DROVER_TRY(put_text(episode_, end.duration_s, recording_json::text_of(end)));
  finished_ = true;
  return writer_.close();
}

Recorder::Recorder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Recorder::~Recorder() = default;

Result<std::unique_ptr<Recorder>> Recorder::open(mcap::Sink& sink, const RecordingStart& start,
                                                 const RecorderOptions& options) {
  DROVER_TRY(check_start(start));
  if (!(options.flush_period_s > 0)) return bad("flush_period_s", "must be over 0");
  mcap::WriterOptions out;
  out.profile = "ros2";
  out.library = "drover recorder 1";
  out.chunk_size_bytes = options.chunk_size_bytes;
  DROVER_ASSIGN(mcap::Writer writer, mcap::Writer::open(sink, std::move(out)));
  auto impl = std::make_unique<Impl>(start, options, std::move(writer));
  DROVER_TRY(impl->begin());
  return std::unique_ptr<Recorder>(new Recorder(std::move(impl)));
}

Status Recorder::joints(double time_s, const JointSample& sample) {
  return impl_->joints(time_s, sample);
}
Status Recorder::image(double time_s, std::string_view camera, ByteView jpeg) {
  return impl_->image(time_s, camera, jpeg);
}
Status Recorder::scene(double time_s, std::span<const RecordedFrame> frames) {
  return impl_->scene(time_s, frames);
}
Status Recorder::sense(double time_s, const RecordedSense& sense) {
  return impl_->sense(time_s, sense);
}
Status Recorder::contacts(double time_s, std::span<const RecordedContact> contacts) {
  return impl_->contacts(time_s, contacts);
}
Status Recorder::event(const RecordedEvent& event) {
  return impl_->event(event);
}
Status Recorder::skill_begin(const RecordedSkill& skill) {
  return impl_->skill(skill, true);
}
Status Recorder::skill_end(const RecordedSkill& skill) {
  return impl_->skill(skill, false);
}
Status Recorder::energy(double time_s, const RecordedEnergy& energy) {
  return impl_->energy(time_s, energy);
}
Status Recorder::finish(const RecordingEnd& end, const RecordedEnergy& energy) {
  return impl_->finish(end, energy);
}
uint64_t Recorder::message_count() const noexcept {
  return impl_->writer().message_count();
}
uint64_t Recorder::bytes_written() const noexcept {
  return impl_->writer().bytes_written();
}

}  // namespace drover::capture
