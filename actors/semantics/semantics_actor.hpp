// The semantics actor of a coordinator: learns from what robots have sent and publishes what changed.
//
// In:    nothing but its own ticks. Out: InboxGrew to the centre; log events semantics.learnt, semantics.published,
// semantics.alert,
//        semantics.failed.
//        The newest view of the knowledge hangs on the board whenever the streams are read to their ends, and at least
//        every view_ms while they are not.
// Rules: one bounded step at a time; when the streams are read to their ends it looks again after period_ms. Knowledge
//        that changed is published at most every publish_ms, and only with a key. Advisory: when it fails it says so
//        once and tries again; the rest of the node does not wait for it.
// Supervision: permanent, last child. Blocking: it has a thread of its own. State: one file, see central_semantics.hpp.
#pragma once

#include <caf/actor.hpp>
#include <memory>
#include <optional>

#include "actors/runtime/environment.hpp"
#include "actors/semantics/central_semantics.hpp"
#include "messages/knowledge.hpp"

namespace drover::semantics {

struct SemanticsActorConfig {
  CentralSemanticsOptions central;
  uint64_t period_ms = 2000;
  uint64_t publish_ms = 10000;
  uint64_t view_ms = 1000;
  std::optional<Ed25519KeyPair> key;      // none: nothing is published
  std::shared_ptr<KnowledgeBoard> board;  // the newest view is hung up here; null: nobody looks
};

// `centre` is told (InboxGrew) when records were appended; may resolve to nothing.
caf::actor spawn_semantics(runtime::Environment& env, SemanticsActorConfig config,
                           std::shared_ptr<sync::CentralStore> store, runtime::Ref centre = {});

}  // namespace drover::semantics
