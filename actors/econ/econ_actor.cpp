#include "actors/econ/econ_actor.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "actors/runtime/worker_actor.hpp"
#include "actors/sync/store_messages.hpp"

namespace drover::econ {
namespace {

using runtime::log_value;
using runtime::LogLevel;

class EconWork final : public runtime::Work {
 public:
  EconWork(runtime::Environment& env, EconActorConfig config, std::shared_ptr<sync::CentralStore> store,
           runtime::Ref centre, std::shared_ptr<CentralEcon> books)
      : env_(env),
        config_(std::move(config)),
        store_(std::move(store)),
        centre_(std::move(centre)),
        econ_(std::move(books)) {}

  Result<bool> step(caf::event_based_actor& self) override {
    if (!econ_) {
      DROVER_ASSIGN(econ_, CentralEcon::open(config_.central));
    }
    DROVER_ASSIGN(const EconProgress done, econ_->step(*store_));
    if (done.predictions > 0) centre_.send(&self, sync::InboxGrew{{sync::StreamId{std::string(econ_stream), 1}}});
    if (done.set_aside > 0) env_.log(LogLevel::warn, fmt::format("econ.set_aside records={}", done.set_aside));
    if (done.reconciled > 0)
      env_.log(LogLevel::info, fmt::format("econ.reconciled pairs={} predictions={} postings={}", done.reconciled,
                                           done.predictions, done.posted));
    if (!done.more) DROVER_TRY(adjust());
    return done.more;
  }

 private:
  Status adjust() {
    DROVER_ASSIGN(const EconCounts counts, econ_->counts());
    const uint64_t due = adjusted_outcomes_ + std::max<uint64_t>(10, adjusted_outcomes_ / 10);
    if (counts.reconciliations < due) return {};
    DROVER_ASSIGN(const AdjustedThresholds tiers, econ_->adjust_tiers(*store_));
    adjusted_outcomes_ = counts.reconciliations;
    env_.log(LogLevel::info,
             fmt::format("econ.tiers novelty_min={:.3f} causal_gain_min={:.3f} outcomes={} why={}", tiers.novelty_min,
                         tiers.causal_gain_min, counts.reconciliations, log_value(tiers.why)));
    return {};
  }

  runtime::Environment& env_;
  EconActorConfig config_;
  std::shared_ptr<sync::CentralStore> store_;
  runtime::Ref centre_;
  std::shared_ptr<CentralEcon> econ_;
  uint64_t adjusted_outcomes_ = 0;  // reconciliations when tiers were adjusted last
};

}  // namespace

caf::actor spawn_econ(runtime::Environment& env, EconActorConfig config, std::shared_ptr<sync::CentralStore> store,
                      runtime::Ref centre, std::shared_ptr<CentralEcon> books) {
  const runtime::WorkerConfig worker{"econ", config.period_ms};
  return runtime::spawn_worker(
      env, worker,
      std::make_shared<EconWork>(env, std::move(config), std::move(store), std::move(centre), std::move(books)));
}

}  // namespace drover::econ
