// The supervisor: carries out what supervision.hpp decides, with CAF monitors, exit messages and delayed messages.
//
// Messages in: exit_msg (kill: it and its children die at once; any other reason: all children are stopped in reverse,
// then it ends with user_shutdown). It takes nothing else from others.
// Ends: user_shutdown after an orderly stop; abnormally with the reason when it gives up (after stopping its children).
// Its parent, if it has one, treats that as the failure of a child; at the root on_end tells the node to exit non-zero.
// A stop is polite: the child gets exit_reason::user_shutdown ahead of its queued normal messages. An actor that has
// work to finish sets an exit handler, finishes and quits; the others end at once. Storage is the first child, so it
// stops last. A nested supervisor counts as started when it is spawned; a child of its that fails to start makes it
// fail.
#pragma once

#include <caf/actor.hpp>
#include <functional>
#include <string>
#include <vector>

#include "actors/runtime/environment.hpp"
#include "actors/runtime/supervision.hpp"
#include "messages/result.hpp"

namespace drover::runtime {

// Makes a child: returns its actor, spawned through the environment, or says why not. Called at each restart, in the
// supervisor's thread. A lambda that returns caf::actor fits. A throw or a null actor is a failed start.
using Factory = std::function<Result<caf::actor>(Environment&)>;

struct Child {
  ChildSpec spec;
  Factory start;
};

struct SupervisorEnd {
  bool gave_up = false;  // false: it was asked to end
  std::string reason;    // why it gave up
};

struct SupervisorConfig {
  std::string name = "root";
  SupervisionRules rules;
  std::vector<Child> children;  // in order of start
  // Called once, from the supervisor's thread, when all children have ended. Not called after a kill.
  std::function<void(const SupervisorEnd&)> on_end;
};

// Starts the children in order. `environment` outlives the supervisor. Keep the handle: CAF ends an idle actor that
// nobody refers to, silently. A supervisor keeps its children's.
caf::actor spawn_supervisor(Environment& environment, SupervisorConfig config);

// A child that is an actor.
Child worker_child(std::string name, Factory start, RestartRule restart = RestartRule::permanent,
                   int64_t shutdown_ms = ChildSpec{}.shutdown_ms);

// A child that is itself a supervisor, without a shutdown deadline of its own (its children have theirs).
Child nested_supervisor(SupervisorConfig config, RestartRule restart = RestartRule::permanent);

}  // namespace drover::runtime
