// The econ actor of a coordinator: keeps the books as records come in.
//
// In:    nothing but its own ticks. Out: InboxGrew to the centre (its predictions are records); log events
//        econ.reconciled, econ.tiers, econ.set_aside, econ.failed.
// Rules: one bounded step at a time; when the streams are read to their ends it looks again after period_ms. Tier
//        thresholds are adjusted then, when outcomes have grown by a tenth. When a step fails it says so once and tries
//        again; the rest of the node does not wait for it.
// Supervision: permanent. Blocking: it has a thread of its own. State: STORE/econ, see central_econ.hpp.
#pragma once

#include <caf/actor.hpp>
#include <memory>

#include "actors/econ/central_econ.hpp"
#include "actors/runtime/environment.hpp"

namespace drover::econ {

struct EconActorConfig {
  CentralEconOptions central;
  uint64_t period_ms = 2000;
};

// `centre` is told (InboxGrew) when records were appended; may resolve to nothing. `books`: open ones, for callers in
// the same thread (the simulator) that look at them too; null: the actor opens its own.
caf::actor spawn_econ(runtime::Environment& env, EconActorConfig config, std::shared_ptr<sync::CentralStore> store,
                      runtime::Ref centre = {}, std::shared_ptr<CentralEcon> books = nullptr);

}  // namespace drover::econ
