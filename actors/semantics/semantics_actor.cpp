#include "actors/semantics/semantics_actor.hpp"

#include <fmt/format.h>

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>

#include "actors/semantics/central_publish.hpp"
#include "actors/sync/store_messages.hpp"

namespace drover::semantics {
namespace {

struct SemanticsTick {};

}  // namespace
}  // namespace drover::semantics

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::semantics::SemanticsTick)

namespace drover::semantics {
namespace {

using runtime::log_value;
using runtime::LogLevel;

struct SemanticsState;
using SemanticsActor = caf::stateful_actor<SemanticsState>;

struct SemanticsState {
  const char* name = "semantics";
  SemanticsActor* self = nullptr;
  runtime::Environment* env = nullptr;
  SemanticsActorConfig config;
  std::shared_ptr<sync::CentralStore> store;
  runtime::Ref centre;
  std::unique_ptr<CentralSemantics> semantics;
  bool failing = false;      // said already
  bool unpublished = false;  // knowledge changed since the last version
  int64_t published_unix_ns = 0;
  size_t alerts_told = 0;

  void fail_once(const Error& error) {
    if (!failing) env->log(LogLevel::warn, "semantics.failed reason=" + log_value(error.message()));
    failing = true;
  }

  // True: there is more to read at once.
  Result<bool> step() {
    if (!semantics) {
      DROVER_ASSIGN(semantics, CentralSemantics::open(config.central));
      unpublished = true;
      alerts_told = semantics->pipeline().orchestrator().alerts().size();
    }
    DROVER_ASSIGN(const CentralProgress done, semantics->step(*store));
    unpublished = unpublished || done.changed;
    if (done.datapacks > 0)
      env->log(LogLevel::info, fmt::format("semantics.learnt datapacks={} records={}", done.datapacks, done.records));
    if (done.records > 0) centre.send(self, sync::InboxGrew{{semantics->own_stream()}});
    tell_alerts();
    const int64_t now = env->unix_ns();
    const bool due = now - published_unix_ns >= static_cast<int64_t>(config.publish_ms) * 1'000'000;
    if (config.key && unpublished && due && semantics->pipeline().metrics().episodes > 0) {
      DROVER_ASSIGN(const uint64_t version, publish_documents(*store, *semantics, *config.key, now));
      env->log(LogLevel::info, fmt::format("semantics.published version={}", version));
      published_unix_ns = now;
      unpublished = false;
    }
    return done.more;
  }

  void tell_alerts() {
    const auto& alerts = semantics->pipeline().orchestrator().alerts();
    alerts_told = std::min(alerts_told, alerts.size());
    for (; alerts_told < alerts.size(); ++alerts_told) {
      const SemanticAlert& a = alerts[alerts_told];
      env->log(LogLevel::warn, fmt::format("semantics.alert kind={} subject={} message={}", a.kind,
                                           log_value(a.subject), log_value(a.message)));
    }
  }

  void tick() {
    const auto more = step();
    if (more) failing = false;
    if (!more) fail_once(more.error());
    if (more && *more)
      self->send(self, SemanticsTick{});
    else
      self->delayed_send(self, std::chrono::milliseconds(config.period_ms), SemanticsTick{});
  }
};

caf::behavior semantics_actor(SemanticsActor* self, runtime::Environment* env, SemanticsActorConfig config,
                              std::shared_ptr<sync::CentralStore> store, runtime::Ref centre) {
  SemanticsState& s = self->state;
  s.self = self;
  s.env = env;
  s.config = std::move(config);
  s.store = std::move(store);
  s.centre = std::move(centre);
  self->send(self, SemanticsTick{});
  return {[&s](const SemanticsTick&) { s.tick(); }};
}

}  // namespace

caf::actor spawn_semantics(runtime::Environment& env, SemanticsActorConfig config,
                           std::shared_ptr<sync::CentralStore> store, runtime::Ref centre) {
  return env.spawn_blocking(semantics_actor, &env, std::move(config), std::move(store), std::move(centre));
}

}  // namespace drover::semantics
