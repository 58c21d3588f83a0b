// run_episode: one policy in one world from reset to end, and what came of it as a plain value. Pure.
// EpisodeRun is the same in steps.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/robot/policy.hpp"
#include "actors/robot/world.hpp"

namespace drover::robot {

// success: nothing failed. recovered: a failure was repaired by a recovery manoeuvre. mixed: a skill failed and the
// same skill, tried again, succeeded. failure: the goal was not met or something broke.
enum class Template : uint8_t { success, failure, recovered, mixed };
std::string_view template_name(Template value) noexcept;

struct EpisodeResult {
  Condition condition;
  Outcome outcome;
  Template kind = Template::failure;
  std::string failure_reason;  // of a failed episode: the last thing that failed
  double duration_s = 0;
  uint64_t control_steps = 0;
  std::vector<SkillSpan> skills;
  std::vector<WorldEvent> events;  // of the world and of the policy, in time order
  std::string engine;
  EnergyMeter energy{{}};
  uint64_t hash = 0;  // over every control step's state, the events and the skills
};

struct EpisodeRequest {
  uint64_t seed = 0;
  std::string_view condition_set = "nominal";  // outlives the request
  // Called after every control step with the action that led there; for recorders. May be empty.
  std::function<void(const Action&, const World&)> observer;
};

// One episode, control step by control step, for callers that have other things to do in between.
// `world` and `policy` outlive it and are nobody else's meanwhile.
class EpisodeRun {
 public:
  // Resets the world and begins the policy. Errors: those of World::reset.
  static Result<EpisodeRun> begin(World& world, Policy& policy, EpisodeRequest request);

  // One control step, if the episode is not over. False: it is over, because the policy is through, something broke, or
  // info().episode_s_max passed. Errors: those of World::step; the episode is void then.
  Result<bool> step();

  // What came of it. Call it once, after step() said false; earlier, after stop().
  EpisodeResult finish();
  // Ends it from outside: the open skill counts as failed with this reason.
  void stop(const std::string& reason);
  bool over() const { return over_; }

 private:
  EpisodeRun(World& world, Policy& policy, EpisodeRequest request);

  World* world_;
  Policy* policy_;
  EpisodeRequest request_;
  EpisodeResult result_;
  bool over_ = false;
};

// The same from reset to end. Errors: those of reset and step.
Result<EpisodeResult> run_episode(World& world, Policy& policy, const EpisodeRequest& request);

Template classify(const Outcome& outcome, const std::vector<SkillSpan>& skills);

}  // namespace drover::robot
