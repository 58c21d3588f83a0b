#include "actors/robot/recorded_episode.hpp"

#include <algorithm>

#include "actors/datapack/skills.hpp"

namespace drover::robot {
namespace {

constexpr double step_slack_s = 1e-9;  // times are sums of control periods
constexpr double energy_period_s = 0.2;

capture::RecordedPose recorded(const Pose& pose) {
  return {pose.position_m, quaternion(pose.orientation)};
}

capture::RecordedJoules recorded(const Joules& joules) {
  return {joules.mechanical, joules.copper};
}

capture::RecordedEnergy recorded(const EnergyMeter& meter) {
  capture::RecordedEnergy out;
  out.seconds = meter.seconds();
  out.peak_W = meter.peak_W();
  out.total = recorded(meter.total());
  out.skill_ids = meter.skill_ids();
  for (const Joules& cell : meter.cells()) out.cells.push_back(recorded(cell));
  return out;
}

capture::RecordedEvent recorded(const WorldEvent& event, capture::EventOrigin origin) {
  return {event.time_s, event.kind, event.severity, event.detail, origin};
}

capture::RecordedSkill recorded(const SkillSpan& span) {
  return {span.skill_id, span.skill, span.manoeuvre, std::string(node_kind_name(span.kind)),
          span.start_s,  span.end_s, span.outcome,   span.reason};
}

std::vector<capture::RecordedJoint> joints_of(const EnergyMeter& meter) {
  std::vector<capture::RecordedJoint> joints;
  for (const EnergyJoint& joint : meter.joints())
    joints.push_back(
        {joint.name, joint.limb, joint.effector, joint.copper_W_per_Nm2, joints.size() >= arm_joint_count});
  return joints;
}

capture::RecordingEnd end_of(const EpisodeResult& result, const std::string& stop_reason) {
  capture::RecordingEnd end;
  end.duration_s = result.duration_s;
  end.complete = stop_reason.empty();
  end.stop_reason = stop_reason;
  end.control_steps = result.control_steps;
  end.state_hash = result.hash;
  end.errors = result.outcome.errors;
  end.progress = result.outcome.progress;
  end.safety_violated = result.outcome.broken;
  if (!end.complete) return end;  // what would have come of it is not known
  end.outcome = result.kind == Template::mixed ? "success" : template_name(result.kind);
  end.template_name = template_name(result.kind);
  end.failure_reason = result.failure_reason;
  end.units = result.outcome.success ? 1 : 0;
  return end;
}

}  // namespace

RecordedEpisode::RecordedEpisode(World& world, Policy& policy, const RecordingOptions& options, RecordedRequest request)
    : world_(world), policy_(policy), options_(options), request_(std::move(request)) {}

Result<std::unique_ptr<RecordedEpisode>> RecordedEpisode::begin(World& world, Policy& policy,
                                                                const RecordingOptions& options,
                                                                RecordedRequest request) {
  std::unique_ptr<RecordedEpisode> episode(new RecordedEpisode(world, policy, options, std::move(request)));
  DROVER_TRY(episode->start());
  return episode;
}

// ---- begin

// The cameras that are recorded. A machine that cannot draw has none.
Status RecordedEpisode::choose_cameras() {
  const auto& known = world_.info().cameras;
  if (options_.frames_hz <= 0) return {};
  if (options_.cameras.empty() && !known.empty()) cameras_.push_back(known.front());
  for (const std::string& name : options_.cameras) {
    const auto at = std::find_if(known.begin(), known.end(), [&](const CameraInfo& c) { return c.name == name; });
    if (at == known.end()) return fail(Errc::not_found, world_.info().name, "has no camera '" + name + "'");
    cameras_.push_back(*at);
  }
  if (cameras_.empty()) {
    facts_.no_pictures = "the world has no camera";
    return {};
  }
  const Status drawn = world_.render({cameras_.front().name, options_.image_width, options_.image_height}, image_);
  if (drawn) return {};
  if (drawn.error().code != Errc::unavailable) return drawn;
  facts_.no_pictures = drawn.error().message();
  cameras_.clear();
  return {};
}

Status RecordedEpisode::start() {
  EpisodeRequest request;
  request.seed = request_.seed;
  request.condition_set = request_.condition_set;
  request.observer = [this](const Action& action, const World&) {
    if (trouble_) trouble_ = take(action);
  };
  DROVER_ASSIGN(run_, EpisodeRun::begin(world_, policy_, std::move(request)));
  DROVER_TRY(choose_cameras());
  const WorldInfo& info = world_.info();
  const Condition& condition = world_.condition();
  capture::RecordingStart start;
  start.robot = options_.robot;
  start.task_name = start.world = info.name;
  start.engine = info.engine;
  start.policy = options_.policy;
  start.condition = {condition.set, condition.seed, condition.numbers, condition.choices};
  start.start_unix_ns = request_.start_unix_ns;
  start.timestep_s = info.timestep_s;
  start.control_period_s = info.control_period_s;
  start.joints = joints_of(world_.energy());
  for (const CameraInfo& camera : cameras_)
    start.cameras.push_back({camera.name, camera.link, recorded(camera.in_link), camera.fovy_deg, options_.image_width,
                             options_.image_height, std::min(options_.frames_hz, 1 / info.control_period_s)});
  start.urdf = robot_description(world_);
  DROVER_ASSIGN(file_, capture::RecordingFile::create(options_.folder, request_.name, start));
  const double time_s = world_.observe().time_s;
  DROVER_TRY(take_joints(time_s, nullptr));
  DROVER_TRY(take_surroundings(time_s));
  return take_pictures(time_s);
}

// ---- while it runs

Result<bool> RecordedEpisode::step() {
  DROVER_ASSIGN(const bool more, run_->step());
  DROVER_TRY(trouble_);
  return more;
}

// Everything there is to know after a control step.
Status RecordedEpisode::take(const Action& action) {
  const double time_s = world_.observe().time_s;
  DROVER_TRY(take_skills(action));
  DROVER_TRY(take_events());
  DROVER_TRY(take_joints(time_s, &action));
  DROVER_TRY(take_surroundings(time_s));
  DROVER_TRY(take_pictures(time_s));
  facts_.bytes = file_->recorder().bytes_written();
  if (time_s + step_slack_s < next_energy_s_) return {};
  next_energy_s_ = time_s + energy_period_s;
  return file_->recorder().energy(time_s, recorded(world_.energy()));
}

Status RecordedEpisode::take_joints(double time_s, const Action* action) {
  const Observation& now = world_.observe();
  const auto with_gripper = [](const JointVector& arm, double gripper) {
    std::array<double, arm_joint_count + 1> all{};
    std::copy(arm.begin(), arm.end(), all.begin());
    all.back() = gripper;
    return all;
  };
  const auto position = with_gripper(now.joint_rad, now.gripper_m);
  const auto velocity = with_gripper(now.joint_rad_per_s, now.gripper_m_per_s);
  const auto effort = with_gripper(now.joint_Nm, now.gripper_N);
  capture::JointSample sample{position, velocity, effort, {}};
  if (action == nullptr) return file_->recorder().joints(time_s, sample);
  const auto target = with_gripper(action->joint_target_rad, action->gripper_target_m);
  sample.target = target;
  return file_->recorder().joints(time_s, sample);
}

Status RecordedEpisode::take_surroundings(double time_s) {
  std::vector<capture::RecordedFrame> frames;
  for (const SceneFrame& f : world_.scene())
    frames.push_back({f.name, f.parent, recorded(f.pose), f.is_object, f.occluded});
  if (!frames.empty()) DROVER_TRY(file_->recorder().scene(time_s, frames));
  const Observation& now = world_.observe();
  capture::RecordedSense sense{recorded(now.tool), now.tool_force_N, {}};
  for (const Sight& s : now.sights)
    sense.sights.push_back({s.name, s.visible, s.position_m, s.tilt_rad, s.extension_m, s.kind});
  DROVER_TRY(file_->recorder().sense(time_s, sense));
  std::vector<capture::RecordedContact> contacts;
  for (const Contact& c : world_.contacts()) contacts.push_back({c.a, c.b, c.force_N, c.point_m});
  return file_->recorder().contacts(time_s, contacts);
}

Status RecordedEpisode::take_pictures(double time_s) {
  if (cameras_.empty() || time_s + step_slack_s < next_frame_s_) return {};
  next_frame_s_ += 1 / options_.frames_hz;
  next_frame_s_ = std::max(next_frame_s_, time_s);  // a camera faster than the control rate sees every step
  for (const CameraInfo& camera : cameras_) {
    DROVER_TRY(world_.render({camera.name, options_.image_width, options_.image_height}, image_));
    DROVER_ASSIGN(const ByteView jpeg, jpeg_.encode(image_.rgb, image_.width, image_.height, options_.jpeg_quality));
    DROVER_TRY(file_->recorder().image(time_s, camera.name, jpeg));
    ++facts_.frames;
  }
  return {};
}

// What the world and the policy told since the last look, in time order.
Status RecordedEpisode::take_events() {
  std::vector<capture::RecordedEvent> fresh;
  for (; world_events_ < world_.events().size(); ++world_events_)
    fresh.push_back(recorded(world_.events()[world_events_], capture::EventOrigin::world));
  for (; policy_events_ < policy_.events().size(); ++policy_events_)
    fresh.push_back(recorded(policy_.events()[policy_events_], capture::EventOrigin::policy));
  std::stable_sort(fresh.begin(), fresh.end(), [](const auto& a, const auto& b) { return a.time_s < b.time_s; });
  for (const auto& event : fresh) DROVER_TRY(file_->recorder().event(event));
  return {};
}

// Skills that have ended; and the one that this action belongs to has begun, if none is open.
Status RecordedEpisode::take_skills(const Action& action) {
  const auto& trace = policy_.trace();
  double begun_s = trace.empty() ? 0 : trace.back().end_s;
  for (; spans_ < trace.size(); ++spans_) {
    if (!std::exchange(skill_open_, false)) {  // it was over before any step of it was seen
      capture::RecordedSkill begin = recorded(trace[spans_]);
      begin.end_s = begin.start_s;
      begin.outcome = begin.reason = "";
      DROVER_TRY(file_->recorder().skill_begin(begin));
    }
    DROVER_TRY(file_->recorder().skill_end(recorded(trace[spans_])));
  }
  if (skill_open_ || action.skill_id < 0) return {};
  skill_open_ = true;
  capture::RecordedSkill begin;
  begin.skill_id = action.skill_id;
  begin.name = policy_.skill_name(action.skill_id);
  if (begin.name.empty()) begin.name = datapack::skill_name(action.skill_id);
  begin.start_s = begin.end_s = begun_s;
  return file_->recorder().skill_begin(begin);
}

// ---- end

Result<EpisodeResult> RecordedEpisode::finish() {
  return close("");
}

Result<EpisodeResult> RecordedEpisode::interrupt(const std::string& reason) {
  return close(reason);
}

Result<EpisodeResult> RecordedEpisode::close(const std::string& stop_reason) {
  if (stop_reason.empty() || run_->over()) {
    DROVER_TRY(take_skills({}));  // the policy closed its last skill after the last step
  }
  DROVER_TRY(take_events());
  EpisodeResult result = run_->finish();
  DROVER_TRY(file_->finish(end_of(result, stop_reason), recorded(world_.energy())));
  facts_.bytes = file_->recorder().bytes_written();
  return result;
}

Status RecordedEpisode::discard() {
  return file_->discard();
}

}  // namespace drover::robot
