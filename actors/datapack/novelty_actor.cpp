#include "actors/datapack/novelty_actor.hpp"

#include <fmt/format.h>

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>

#include "actors/datapack/novelty_keeper.hpp"

namespace drover::datapack {
namespace {

struct NoveltyTick {};

}  // namespace
}  // namespace drover::datapack

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::datapack::NoveltyTick)

namespace drover::datapack {
namespace {

using runtime::log_value;
using runtime::LogLevel;

struct NoveltyState;
using NoveltyActor = caf::stateful_actor<NoveltyState>;

struct NoveltyState {
  const char* name = "novelty";
  NoveltyActor* self = nullptr;
  runtime::Environment* env = nullptr;
  NoveltyActorConfig config;
  std::shared_ptr<sync::CentralStore> store;
  std::unique_ptr<NoveltyKeeper> keeper;
  bool failing = false;  // said already

  // True: packs are left.
  Result<bool> step() {
    if (!keeper) {
      keeper = std::make_unique<NoveltyKeeper>(store->central_env_to_write(), config.novelty);
      DROVER_TRY(keeper->open());
      const NoveltyFacts facts = keeper->facts();
      env->log(LogLevel::info,
               fmt::format("novelty.opened vectors={} memory_bytes={}", facts.vectors, facts.memory_bytes));
    }
    DROVER_ASSIGN(const NoveltyProgress done, keeper->step(config.packs_per_step));
    if (done.valued > 0)
      env->log(LogLevel::debug, fmt::format("novelty.valued datapacks={} revised={}", done.valued, done.revised));
    return done.more;
  }

  void tick() {
    const auto more = step();
    if (!more) {
      if (!failing) env->log(LogLevel::warn, "novelty.failed reason=" + log_value(more.error().message()));
      keeper.reset();
    }
    failing = !more;
    if (more && *more)
      self->send(self, NoveltyTick{});
    else
      self->delayed_send(self, std::chrono::milliseconds(config.period_ms), NoveltyTick{});
  }
};

caf::behavior novelty_actor(NoveltyActor* self, runtime::Environment* env, const NoveltyActorConfig& config,
                            std::shared_ptr<sync::CentralStore> store) {
  NoveltyState& s = self->state;
  s.self = self;
  s.env = env;
  s.config = config;
  s.store = std::move(store);
  self->send(self, NoveltyTick{});
  return {[&s](const NoveltyTick&) { s.tick(); }};
}

}  // namespace

caf::actor spawn_novelty(runtime::Environment& env, const NoveltyActorConfig& config,
                         std::shared_ptr<sync::CentralStore> store) {
  return env.spawn_blocking(novelty_actor, &env, config, std::move(store));
}

}  // namespace drover::datapack
