#include "actors/capture/recording_facts.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "actors/capture/text.hpp"
#include "actors/datapack/skills.hpp"

namespace drover::capture {
namespace {

constexpr size_t events_max = 4096;
constexpr size_t skills_max = 4096;
constexpr size_t notes_max = 32;
constexpr double longest_gap_s = 1e-6;  // a shorter rest behind the last energy is rounding

int64_t after(int64_t start_ns, double seconds) {
  return start_ns + std::llround(seconds * 1e9);
}

}  // namespace

void RecordingFacts::Statistic::add(double value) {
  minimum = samples == 0 ? value : std::min(minimum, value);
  maximum = samples == 0 ? value : std::max(maximum, value);
  ++samples;
  mean += (value - mean) / static_cast<double>(samples);
}

RecordingFacts::RecordingFacts() {
  auto listener = datapack::PortableRecording::make();
  if (listener) {
    portable_ = std::move(*listener);
  } else {
    note("no portable artifacts: " + listener.error().message());
  }
}

void RecordingFacts::note(std::string text) {
  if (notes_.size() < notes_max) notes_.push_back(printable(text, 500));
}

void RecordingFacts::start(const RecordingStart& start) {
  start_ = start;
  joints_.resize(start.joints.size());
}

void RecordingFacts::joints(double /*time_s*/, const JointSample& sample) {
  ++joint_samples_;
  for (size_t i = 0; i < joints_.size(); ++i) {
    if (i < sample.position.size()) joints_[i].position.add(sample.position[i]);
    if (i < sample.velocity.size()) joints_[i].velocity.add(sample.velocity[i]);
    if (i < sample.effort.size()) joints_[i].effort.add(sample.effort[i]);
  }
}

void RecordingFacts::image(double time_s, const RecordedCamera& camera, const Bytes& jpeg) {
  if (portable_) portable_->image(time_s, camera, jpeg);
}

void RecordingFacts::objects(double time_s, std::span<const RecordedFrame> frames) {
  if (portable_) portable_->objects(time_s, frames);
}

void RecordingFacts::sense(double time_s, const RecordedSense& sense) {
  if (portable_) portable_->sense(time_s, sense);
}

void RecordingFacts::event(const RecordedEvent& event) {
  if (events_.size() < events_max) {
    events_.push_back(event);
  } else {
    ++events_dropped_;
  }
}

void RecordingFacts::skill_begin(const RecordedSkill& skill) {
  open_skill_ = skill;
  if (skill_names_.size() < skills_max) skill_names_.emplace(skill.skill_id, skill.name);
}

void RecordingFacts::skill_end(const RecordedSkill& skill) {
  open_skill_.reset();
  if (skill_names_.size() < skills_max) skill_names_.emplace(skill.skill_id, skill.name);
  const double from_s = skills_.empty() ? 0 : skills_.back().end_s;
  if (skill.start_s < from_s) return note("a skill overlaps the one before it and was left out: " + skill.name);
  if (skills_.size() < skills_max) skills_.push_back(skill);
}

void RecordingFacts::energy(double /*time_s*/, const RecordedEnergy& energy) {
  energy_ = energy;
}

void RecordingFacts::end(const RecordingEnd& end) {
  end_ = end;
}

double RecordingFacts::duration_s(const RecordingReport& report) const {
  return end_ ? end_->duration_s : report.last_time_s;
}

// As the episode names it; an id it never ran has the name that is known everywhere, if any.
std::string RecordingFacts::skill_name(int64_t id) const {
  const auto told = skill_names_.find(id);
  if (told != skill_names_.end() && !told->second.empty()) return told->second;
  const std::string_view known = datapack::skill_name(id);
  return known.empty() ? "unattributed" : std::string(known);
}

// In time order; of equal times what the world said first.
void RecordingFacts::write_events(CapturedEpisode& out) {
  std::stable_sort(events_.begin(), events_.end(), [](const RecordedEvent& a, const RecordedEvent& b) {
    return a.time_s != b.time_s ? a.time_s < b.time_s : a.origin < b.origin;
  });
  for (const RecordedEvent& e : events_) {
    out.header.events.push_back({after(start_.start_unix_ns, e.time_s), e.kind, e.severity, e.detail, 0});
    ++out.event_onsets[e.kind];
    ++out.event_rows[e.kind];
  }
  if (events_dropped_ > 0) note(std::to_string(events_dropped_) + " events beyond 4096 were left out");
}

void RecordingFacts::write_steps(CapturedEpisode& out) const {
  for (const RecordedSkill& s : skills_) {
    const double end_s = std::min(s.end_s, out.duration_s);
    out.steps.push_back({s.skill_id, s.name, std::min(s.start_s, end_s), end_s, s.outcome, 0});
  }
  const double from_s = out.steps.empty() ? 0 : out.steps.back().end_s;
  if (open_skill_ && open_skill_->start_s >= from_s && open_skill_->start_s <= out.duration_s)
    out.steps.push_back({open_skill_->skill_id, open_skill_->name, open_skill_->start_s, out.duration_s, "unknown", 0});
  if (out.steps.empty())
    out.steps.push_back(
        {static_cast<int64_t>(datapack::Skill::recording), "RECORDING", 0, out.duration_s, "unknown", 0});
}

void RecordingFacts::write_energy(CapturedEpisode& out) const {
  EnergyResult& e = out.energy;
  e.method = "torque_velocity";
  e.note = "abs(torque*velocity) at every physics step; copper loss apart, in coordination.copper_loss_J";
  e.total_J = energy_.total.mechanical;
  e.copper_loss_J = energy_.total.copper;
  e.peak_W = energy_.peak_W;
  e.integrated_s = energy_.seconds;
  const double rest_s = out.duration_s - energy_.seconds;
  e.not_integrated_s = rest_s > longest_gap_s ? rest_s : 0;
  const size_t joints = start_.joints.size();
  std::map<int64_t, double> per_skill;
  for (size_t i = 0; i < energy_.cells.size(); ++i) {
    const RecordedJoint& joint = start_.joints[i % joints];
    const RecordedJoules& cell = energy_.cells[i];
    e.per_joint_J[joint.name] += cell.mechanical;
    e.per_limb_J[joint.limb] += cell.mechanical;
    e.per_effector_J[joint.effector] += cell.mechanical;
    if (cell.mechanical != 0 || cell.copper != 0) per_skill[energy_.skill_ids[i / joints]] += cell.mechanical;
  }
  for (const auto& [id, joules] : per_skill) e.per_skill_J[skill_name(id)] += joules;
}

void RecordingFacts::write_streams(CapturedEpisode& out, const RecordingReport& report) const {
  const auto add = [&](const std::string& name, const char* unit, const Statistic& s) {
    if (s.samples > 0)
      out.header.streams.push_back({name, unit, s.samples, joint_samples_ - s.samples, s.minimum, s.maximum, s.mean});
  };
  for (size_t i = 0; i < joints_.size(); ++i) {
    const RecordedJoint& joint = start_.joints[i];
    add(joint.name + ".position", joint.sliding ? "m" : "rad", joints_[i].position);
    add(joint.name + ".velocity", joint.sliding ? "m/s" : "rad/s", joints_[i].velocity);
    add(joint.name + ".effort", joint.sliding ? "N" : "Nm", joints_[i].effort);
  }
  for (const auto& [topic, count] : report.per_topic)
    out.header.streams.push_back({topic, "messages", count, 0, 0, 0, 0});
}

void RecordingFacts::write_origin(CapturedEpisode& out) const {
  RecordedOrigin origin;
  origin.world = start_.world;
  origin.policy = start_.policy;
  origin.condition = start_.condition;
  if (end_) {
    origin.template_name = end_->template_name;
    origin.failure_reason = end_->failure_reason;
    origin.state_hash = end_->state_hash;
  }
  for (const RecordedSkill& s : skills_) origin.manoeuvres.push_back({s.manoeuvre, s.kind, s.reason});
  out.origin = std::move(origin);
}

void RecordingFacts::write_portable(CapturedEpisode& out) {
  if (!portable_) return;
  if (portable_->dropped() > 0)
    note(std::to_string(portable_->dropped()) + " pictures or poses were of no use for the portable artifacts");
  auto artifacts = portable_->finish(out.duration_s);
  if (artifacts) {
    out.portable = std::move(*artifacts);
  } else {
    note("no portable artifacts: " + artifacts.error().message());
  }
}

// For people and tools that look at the episode without its file; kept in the header as it is.
std::string RecordingFacts::summary(const CapturedEpisode& out, const RecordingReport& report) const {
  using Json = nlohmann::ordered_json;
  Json skills = Json::array();
  for (size_t i = 0; i < out.steps.size(); ++i) {
    const MotionStep& s = out.steps[i];
    Json one{
        {"skill_id", s.skill_id}, {"name", s.name}, {"start_s", s.start_s}, {"end_s", s.end_s}, {"outcome", s.outcome}};
    if (i < skills_.size()) one["manoeuvre"] = skills_[i].manoeuvre, one["kind"] = skills_[i].kind;
    if (i < skills_.size() && !skills_[i].reason.empty()) one["reason"] = skills_[i].reason;
    skills.push_back(std::move(one));
  }
  Json frames = Json::object();
  for (const RecordedCamera& camera : start_.cameras) {
    const auto count = report.per_topic.find("/camera/" + camera.name + "/image/compressed");
    frames[camera.name] = {{"count", count == report.per_topic.end() ? 0 : count->second},
                           {"width", camera.width},
                           {"height", camera.height},
                           {"rate_hz", camera.rate_hz}};
  }
  const EnergyResult& e = out.energy;
  Json energy{{"total_J", e.total_J},           {"copper_J", energy_.total.copper}, {"peak_W", e.peak_W},
              {"integrated_s", e.integrated_s}, {"joint_J", e.per_joint_J},         {"skill_J", e.per_skill_J},
              {"limb_J", e.per_limb_J},         {"effector_J", e.per_effector_J}};
  Json about{{"world", start_.world},
             {"policy", start_.policy},
             {"condition_set", start_.condition.set},
             {"seed", start_.condition.seed},
             {"condition", {{"numbers", start_.condition.numbers}, {"choices", start_.condition.choices}}},
             {"duration_s", out.duration_s},
             {"template", end_ ? end_->template_name : ""},
             {"failure_reason", end_ ? end_->failure_reason : ""},
             {"control_steps", end_ ? end_->control_steps : joint_samples_}};
  about["cameras"] = std::move(frames);
  about["skills"] = std::move(skills);
  about["energy"] = std::move(energy);
  return Json{{"recording", std::move(about)}}.dump();
}

Result<CapturedEpisode> RecordingFacts::episode(const RecordingReport& report) {
  CapturedEpisode out;
  out.duration_s = duration_s(report);
  if (!(out.duration_s > 0)) return fail(Errc::corrupt, "recording", "nothing happened before it ends");
  Episode& h = out.header;
  h.task_name = start_.task_name;
  h.engine_type = start_.engine;
  h.source_kind = "world_" + start_.world;
  h.start_unix_ns = start_.start_unix_ns;
  h.end_unix_ns = after(start_.start_unix_ns, out.duration_s);
  h.rows = report.messages;
  h.complete = complete();
  h.outcome = complete() ? end_->outcome : "unknown";
  out.cut = report.ended ? CutReason::end_of_log : CutReason::damage;
  out.source_type = start_.engine == "real" ? SourceType::real : SourceType::synthetic;
  out.env_type = start_.world;
  out.attempts = 1;
  if (end_) {
    out.units = complete() ? end_->units : 0;
    out.attempts = std::max(1.0, end_->attempts);
    out.errors = end_->errors;
    out.safety_violated = end_->safety_violated;
    if (!end_->complete) note("stopped from outside: " + end_->stop_reason);
  } else {
    for (const RecordedEvent& e : events_) out.errors += e.severity == "error" ? 1 : 0;
    out.attempts = std::max(1.0, out.errors);
    note("a prefix: the recording ends without its end facts; known up to " + std::to_string(report.last_time_s) +
         " s, energy up to " + std::to_string(energy_.seconds) + " s");
  }
  if (report.unreadable > 0) note(std::to_string(report.unreadable) + " messages could not be read");
  write_events(out);
  write_steps(out);
  write_energy(out);
  write_streams(out, report);
  write_origin(out);
  write_portable(out);
  h.notes = notes_;
  h.extra_json = summary(out, report);
  return out;
}

}  // namespace drover::capture
