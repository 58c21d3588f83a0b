// A worker: an actor that takes bounded steps while there is work, rests, and looks again. What reads on behind the
// centre (books, novelty, semantics) is one of these.
//
// Between two steps it goes back to its mailbox, so that stopping waits for one step at most. A step that fails is
// logged ("NAME.failed reason=..."), once until a step succeeds, and taken again after the rest.
// Threads: steps run on the worker's own thread, which leaves the processor to those that receive, answer and store
// (nice 10); in a simulation there is only one.
#pragma once

#include <caf/actor.hpp>
#include <caf/event_based_actor.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "actors/runtime/environment.hpp"
#include "messages/result.hpp"

namespace drover::runtime {

class Work {
 public:
  virtual ~Work() = default;
  // One bounded step. True: more is left, take the next at once. `self` is the worker: messages are sent from it.
  virtual Result<bool> step(caf::event_based_actor& self) = 0;
};

struct WorkerConfig {
  std::string name;         // in log lines
  uint64_t rest_ms = 1000;  // when nothing is left, and after a failure
};

// The work is destroyed when the actor ends; a supervisor that starts it again gives it a new one.
caf::actor spawn_worker(Environment& env, WorkerConfig config, std::shared_ptr<Work> work);

}  // namespace drover::runtime
