#include "actors/econ/econ_actor.hpp"

#include <fmt/format.h>

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>

#include "actors/sync/store_messages.hpp"

namespace drover::econ {
namespace {

struct EconTick {};

}  // namespace
}  // namespace drover::econ

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::econ::EconTick)

namespace drover::econ {
namespace {

using runtime::log_value;
using runtime::LogLevel;

struct EconState;
using EconActor = caf::stateful_actor<EconState>;

struct EconState {
  const char* name = "econ";
  EconActor* self = nullptr;
  runtime::Environment* env = nullptr;
  EconActorConfig config;
  std::shared_ptr<sync::CentralStore> store;
  runtime::Ref centre;
  std::shared_ptr<CentralEcon> econ;
  bool failing = false;            // said already
  uint64_t adjusted_outcomes = 0;  // reconciliations when tiers were adjusted last

  // True: there is more to read at once.
  Result<bool> step() {
    if (!econ) {
      DROVER_ASSIGN(econ, CentralEcon::open(config.central));
    }
    DROVER_ASSIGN(const EconProgress done, econ->step(*store));
    if (done.predictions > 0) centre.send(self, sync::InboxGrew{{sync::StreamId{std::string(econ_stream), 1}}});
    if (done.set_aside > 0) env->log(LogLevel::warn, fmt::format("econ.set_aside records={}", done.set_aside));
    if (done.reconciled > 0)
      env->log(LogLevel::info, fmt::format("econ.reconciled pairs={} predictions={} postings={}", done.reconciled,
                                           done.predictions, done.posted));
    if (!done.more) DROVER_TRY(adjust());
    return done.more;
  }

  Status adjust() {
    DROVER_ASSIGN(const EconCounts counts, econ->counts());
    const uint64_t due = adjusted_outcomes + std::max<uint64_t>(10, adjusted_outcomes / 10);
    if (counts.reconciliations < due) return {};
    DROVER_ASSIGN(const AdjustedThresholds tiers, econ->adjust_tiers(*store));
    adjusted_outcomes = counts.reconciliations;
    env->log(LogLevel::info,
             fmt::format("econ.tiers novelty_min={:.3f} causal_gain_min={:.3f} outcomes={} why={}", tiers.novelty_min,
                         tiers.causal_gain_min, counts.reconciliations, log_value(tiers.why)));
    return {};
  }

  void tick() {
    const auto more = step();
    if (!more && !failing) env->log(LogLevel::warn, "econ.failed reason=" + log_value(more.error().message()));
    failing = !more;
    if (more && *more)
      self->send(self, EconTick{});
    else
      self->delayed_send(self, std::chrono::milliseconds(config.period_ms), EconTick{});
  }
};

caf::behavior econ_actor(EconActor* self, runtime::Environment* env, EconActorConfig config,
                         std::shared_ptr<sync::CentralStore> store, runtime::Ref centre,
                         std::shared_ptr<CentralEcon> books) {
  EconState& s = self->state;
  s.self = self;
  s.env = env;
  s.config = std::move(config);
  s.store = std::move(store);
  s.centre = std::move(centre);
  s.econ = std::move(books);
  self->send(self, EconTick{});
  return {[&s](const EconTick&) { s.tick(); }};
}

}  // namespace

caf::actor spawn_econ(runtime::Environment& env, EconActorConfig config, std::shared_ptr<sync::CentralStore> store,
                      runtime::Ref centre, std::shared_ptr<CentralEcon> books) {
  return env.spawn_blocking(econ_actor, &env, std::move(config), std::move(store), std::move(centre), std::move(books));
}

}  // namespace drover::econ
