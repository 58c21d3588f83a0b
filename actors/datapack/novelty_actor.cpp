#include "actors/datapack/novelty_actor.hpp"

#include <fmt/format.h>

#include "actors/datapack/novelty_keeper.hpp"
#include "actors/runtime/worker_actor.hpp"

namespace drover::datapack {
namespace {

using runtime::LogLevel;

class NoveltyWork final : public runtime::Work {
 public:
  NoveltyWork(runtime::Environment& env, const NoveltyActorConfig& config, std::shared_ptr<sync::CentralStore> store)
      : env_(env), config_(config), store_(std::move(store)) {}

  // A keeper that failed may be half way: the next step makes another.
  Result<bool> step(caf::event_based_actor&) override {
    auto more = value_some();
    if (!more) keeper_.reset();
    return more;
  }

 private:
  Result<bool> value_some() {
    if (!keeper_) {
      keeper_ = std::make_unique<NoveltyKeeper>(store_->central_env_to_write(), config_.novelty);
      DROVER_TRY(keeper_->open());
      const NoveltyFacts facts = keeper_->facts();
      env_.log(LogLevel::info,
               fmt::format("novelty.opened vectors={} memory_bytes={}", facts.vectors, facts.memory_bytes));
    }
    DROVER_ASSIGN(const NoveltyProgress done, keeper_->step(config_.packs_per_step));
    if (done.valued > 0)
      env_.log(LogLevel::debug, fmt::format("novelty.valued datapacks={} revised={}", done.valued, done.revised));
    return done.more;
  }

  runtime::Environment& env_;
  NoveltyActorConfig config_;
  std::shared_ptr<sync::CentralStore> store_;
  std::unique_ptr<NoveltyKeeper> keeper_;
};

}  // namespace

caf::actor spawn_novelty(runtime::Environment& env, const NoveltyActorConfig& config,
                         std::shared_ptr<sync::CentralStore> store) {
  return runtime::spawn_worker(env, {"novelty", config.period_ms},
                               std::make_shared<NoveltyWork>(env, config, std::move(store)));
}

}  // namespace drover::datapack
