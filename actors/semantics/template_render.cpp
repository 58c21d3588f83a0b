#include "actors/semantics/template_render.hpp"

#include <algorithm>
#include <cmath>

namespace drover::semantics {
namespace {

constexpr double gravity = 9.81;
constexpr double ramp_s_max = 0.15;
constexpr double early_s = 0.25;
constexpr double sway_cycles = 3;
constexpr double pi = 3.141592653589793;
constexpr double electronics_W = 8;
constexpr double copper_W_per_Nm2 = 0.02;

// Share of the way at `t` of `seconds`: a trapezoid of speed with equal ramps.
double progress(double t, double seconds) {
  const double ramp = std::min(ramp_s_max, seconds / 3);
  const double whole = seconds - ramp;
  t = std::clamp(t, 0.0, seconds);
  if (t < ramp) return t * t / (2 * ramp * whole);
  if (t > seconds - ramp) return 1 - (seconds - t) * (seconds - t) / (2 * ramp * whole);
  return (t - ramp / 2) / whole;
}

// Close to a normal draw of deviation 1: three uniform ones from one word, scaled.
class Noise {
 public:
  Noise(runtime::Rng& rng, double factor) : rng_(rng), factor_(factor) {}
  float operator()(double deviation) {
    const uint64_t bits = rng_.next();
    const auto sum = static_cast<double>((bits & mask) + ((bits >> 21) & mask) + ((bits >> 42) & mask));
    return static_cast<float>((sum * (2.0 / static_cast<double>(mask)) - 3.0) * deviation * factor_);
  }

 private:
  static constexpr uint64_t mask = (uint64_t{1} << 21) - 1;
  runtime::Rng& rng_;
  double factor_;
};

double mix(double a, double b, double share) {
  return a + share * (b - a);
}

class Renderer {
 public:
  Renderer(const Script& script, const RenderOptions& options, runtime::Rng& rng)
      : script_(script), options_(options), rng_(rng), noise_(rng, options.noise), things_(script.things) {
    seen_.resize(things_.size());
  }

  void run(std::vector<RolloutFrame>& out);

 private:
  Place tool_at(const Phase& phase, double t) const;
  ThingState moved(const ThingMotion& motion, const Phase& phase, double t) const;
  void arm(const Phase& phase, double t, RolloutFrame& frame);
  void hand(const Phase& phase, double t, RolloutFrame& frame);
  void scene(const Phase& phase, double t, RolloutFrame& frame);

  const Script& script_;
  const RenderOptions& options_;
  runtime::Rng& rng_;
  Noise noise_;
  SensorNoise sensors_;
  std::vector<ThingState> things_;
  std::vector<ObjectState> seen_;
};

Place Renderer::tool_at(const Phase& phase, double t) const {
  const double share = progress(t, phase.seconds);
  Place at;
  for (size_t i = 0; i < 3; ++i) at[i] = mix(phase.tool_from[i], phase.tool_to[i], share);
  if (phase.sway_m > 0)
    at[1] += phase.sway_m * std::sin(2 * pi * sway_cycles * std::clamp(t / phase.seconds, 0.0, 1.0));
  return at;
}

ThingState Renderer::moved(const ThingMotion& motion, const Phase& phase, double t) const {
  double share = progress(t, phase.seconds);
  double share_z = share;
  if (motion.law == ThingMotion::Law::early) share = share_z = std::min(1.0, t / early_s);
  if (motion.law == ThingMotion::Law::fall) {
    const double height = motion.from.position_m[2] - motion.to.position_m[2];
    share_z = std::min(1.0, 0.5 * gravity * t * t / height);
    share = share_z;
  }
  ThingState at;
  for (size_t i = 0; i < 3; ++i)
    at.position_m[i] = mix(motion.from.position_m[i], motion.to.position_m[i], i == 2 ? share_z : share);
  at.tilt_rad = mix(motion.from.tilt_rad, motion.to.tilt_rad, share);
  at.extension_m = mix(motion.from.extension_m, motion.to.extension_m, share);
  return at;
}

void Renderer::arm(const Phase& phase, double t, RolloutFrame& frame) {
  constexpr double step_s = 0.001;
  const Place tool = tool_at(phase, t);
  const TemplateJoints angles = template_angles(tool, script_.pitch_rad);
  const double other = t + step_s < phase.seconds ? t + step_s : t - step_s;
  const TemplateJoints next = template_angles(tool_at(phase, other), script_.pitch_rad);
  const double rise = std::min(1.0, t / phase.force_rise_s);
  const Place force = {rise * phase.force_N[0], rise * phase.force_N[1], rise * phase.force_N[2]};
  const TemplateJoints torques = template_torques(angles, tool, force);
  double power = electronics_W;
  for (size_t i = 0; i < template_joints; ++i) {
    const double speed = (next[i] - angles[i]) / (other - t);
    frame.joint_rad[i] = static_cast<float>(angles[i]) + noise_(sensors_.joint_rad);
    frame.joint_rad_per_s[i] = static_cast<float>(speed) + noise_(sensors_.joint_rad_per_s);
    frame.joint_Nm[i] = static_cast<float>(torques[i]) + noise_(sensors_.joint_Nm);
    power += std::abs(torques[i] * speed) + copper_W_per_Nm2 * torques[i] * torques[i];
  }
  frame.power_W = static_cast<float>(power);
  for (size_t i = 0; i < 3; ++i) {
    frame.tool_m[i] = static_cast<float>(tool[i]) + noise_(sensors_.tool_m);
    frame.force_N[i] = static_cast<float>(force[i]) + noise_(sensors_.force_N);
  }
  const double half = 0.5 * script_.pitch_rad;
  frame.tool_quaternion = {static_cast<float>(std::cos(half)), 0, static_cast<float>(-std::sin(half)), 0};
}

void Renderer::hand(const Phase& phase, double t, RolloutFrame& frame) {
  const double share = std::clamp(t / phase.seconds, 0.0, 1.0);
  // Fingers reach their width at 90 % of the phase and press from then on.
  frame.gripper_m = static_cast<float>(mix(phase.width_from, phase.width_to, std::min(1.0, share / 0.9))) +
                    noise_(sensors_.gripper_m);
  const bool touches = share >= phase.contact_from && share <= phase.contact_to;
  frame.contacts = touches ? phase.contacts : 0;
  if (rng_.chance(sensors_.contact_flicker * options_.noise))
    frame.contacts = static_cast<uint16_t>(frame.contacts ^ (1u << rng_.below(things_.size())));
  const bool holds = (frame.contacts & ((1u << objects_max) - 1)) != 0 && phase.width_to < 0.07;
  frame.gripper_N = std::max(0.0f, (holds ? 12.0f : 0.0f) + noise_(sensors_.force_N));
}

void Renderer::scene(const Phase& phase, double t, RolloutFrame& frame) {
  for (size_t i = 0; i < things_.size(); ++i) {
    ObjectState& seen = seen_[i];
    const bool hidden = frame.time_s > 0 && rng_.chance(sensors_.occlusion * options_.noise);
    seen.visible = hidden ? 0 : 1;
    if (!hidden) {
      ThingState state = things_[i];
      for (const ThingMotion& motion : phase.motions)
        if (motion.law != ThingMotion::Law::none && motion.thing == i) state = moved(motion, phase, t);
      if (phase.swayed == static_cast<int>(i))
        state.position_m[1] +=
            tool_at(phase, t)[1] - mix(phase.tool_from[1], phase.tool_to[1], progress(t, phase.seconds));
      for (size_t k = 0; k < 3; ++k)
        seen.position_m[k] = static_cast<float>(state.position_m[k]) + noise_(sensors_.object_m);
      seen.tilt_rad = std::abs(static_cast<float>(state.tilt_rad) + noise_(sensors_.object_rad));
      seen.extension_m = static_cast<float>(state.extension_m) + noise_(sensors_.object_m);
    }
    frame.objects[i] = seen;
  }
}

void Renderer::run(std::vector<RolloutFrame>& out) {
  double phase_start_s = 0;
  size_t k = 0;
  for (const Phase& phase : script_.phases) {
    const double phase_end_s = phase_start_s + phase.seconds;
    for (; static_cast<double>(k) / options_.rate_hz < phase_end_s; ++k) {
      RolloutFrame& frame = out.emplace_back();
      frame.time_s = static_cast<double>(k) / options_.rate_hz;
      const double t = frame.time_s - phase_start_s;
      arm(phase, t, frame);
      hand(phase, t, frame);
      scene(phase, t, frame);
    }
    for (const ThingMotion& motion : phase.motions)
      if (motion.law != ThingMotion::Law::none) things_[motion.thing] = motion.to;
    phase_start_s = phase_end_s;
  }
}

}  // namespace

void render(const Script& script, const RenderOptions& options, runtime::Rng& rng, std::vector<RolloutFrame>& out) {
  out.clear();
  double seconds = 0;
  for (const Phase& phase : script.phases) seconds += phase.seconds;
  out.reserve(static_cast<size_t>(seconds * options.rate_hz) + 2);
  Renderer(script, options, rng).run(out);
}

void render_truth(const Script& script, std::vector<TruthSegment>& out) {
  out.clear();
  double start_s = 0;
  for (const Phase& phase : script.phases) {
    const double end_s = start_s + phase.seconds;
    TruthSegment* last = out.empty() ? nullptr : &out.back();
    // A stretch before an action was broken off belongs to the action that failed.
    const bool joins = last != nullptr && last->label == phase.label && last->outcome != Outcome::failure;
    if (joins) {
      last->outcome = phase.outcome;
      last->reason = phase.reason;
      last->end_s = end_s;
    } else {
      out.push_back({phase.label, phase.outcome, phase.reason, start_s, end_s});
    }
    start_s = end_s;
  }
}

}  // namespace drover::semantics
