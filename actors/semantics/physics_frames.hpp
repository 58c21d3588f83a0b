// PhysicsFrames: an episode in a simulated world as a rollout, and its skill trace as the truth. Pure.
//
// Frames hold what the robot senses (joints, tool, fingers, force at the hand, noisy sights), never the simulator's
// state. Contacts are derived from those senses: fingers that stopped on something and press hold the nearest thing
// seen; a force at a hand that holds nothing is a touch. The truth is a translation of the skill trace, the commands
// and the world's events; PHYSICS.md has the table.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "actors/robot/episode.hpp"
#include "actors/semantics/rollout.hpp"

namespace drover::semantics {

class PhysicsFrames {
 public:
  // After World::reset.
  void begin(const robot::World& world);
  // After every control step; use it as EpisodeRequest::observer.
  void take(const robot::Action& action, const robot::World& world);
  // Needs begin(). The memory of the frames is handed over.
  LabelledRollout finish(const robot::EpisodeResult& episode, std::string id);

 private:
  struct Command {
    double time_s = 0;
    robot::Vec3 tool_m{};  // where the command would bring the tool
    double gripper_m = 0;
  };
  // The commands of one skill span.
  struct SpanCommands {
    size_t first = 0, last = 0, end = 0;
    size_t closing = 0;  // the first one that closes the fingers to take something; past the last: none
  };
  SpanCommands commands_of(const robot::SkillSpan& span) const;
  std::optional<Label> commanded(const robot::SkillSpan& span, const SpanCommands& c, size_t i) const;
  void find_stands();
  void sense(const robot::World& world);
  std::vector<TruthSegment> truth(const robot::EpisodeResult& episode) const;
  void split(const robot::SkillSpan& span, const robot::EpisodeResult& episode, std::vector<TruthSegment>& out) const;

  Rollout rollout_;
  robot::WorldInfo info_;
  std::vector<Command> commands_;
  std::vector<bool> stands_;  // the command stands there
};

// Runs one episode and gives it as a rollout, id "<world>-<set>-<seed>". Errors: those of run_episode.
Result<LabelledRollout> physics_rollout(robot::World& world, robot::Policy& policy,
                                        const robot::EpisodeRequest& request);

}  // namespace drover::semantics
