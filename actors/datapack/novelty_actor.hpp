// The novelty actor of a coordinator: values datapacks as they are applied (novelty_keeper.hpp).
//
// In:    nothing but its own ticks. Out: log events novelty.valued, novelty.opened, novelty.failed.
// Rules: at most packs_per_step datapacks in one transaction; when none are left it looks again after period_ms.
//        When it fails it says so once, forgets what it has in memory and tries again; nothing waits for it.
// Supervision: permanent. Blocking: it has a thread of its own. State: the index in memory, read back from the store.
#pragma once

#include <caf/actor.hpp>
#include <memory>

#include "actors/datapack/novelty.hpp"
#include "actors/runtime/environment.hpp"
#include "actors/sync/central_store.hpp"

namespace drover::datapack {

struct NoveltyActorConfig {
  NoveltyConfig novelty;
  uint64_t period_ms = 2000;
  uint32_t packs_per_step = 256;
};

caf::actor spawn_novelty(runtime::Environment& env, const NoveltyActorConfig& config,
                         std::shared_ptr<sync::CentralStore> store);

}  // namespace drover::datapack
