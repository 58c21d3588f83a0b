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
  bool uncounted = false;    // something was learnt since the documents were made
  bool unseen = true;        // something was learnt since the last view
  int64_t published_unix_ns = 0;
  int64_t viewed_unix_ns = 0;
  size_t alerts_told = 0;

  void fail_once(const Error& error) {
    if (!failing) env->log(LogLevel::warn, "semantics.failed reason=" + log_value(error.message()));
    failing = true;
  }

  // True: there is more to read at once.
  Result<bool> step() {
    if (!semantics || !semantics->usable()) {
      semantics.reset();
      DROVER_ASSIGN(semantics, CentralSemantics::open(config.central));
      DROVER_TRY(semantics->catch_up(*store));
      unpublished = uncounted = unseen = true;
      alerts_told = semantics->pipeline().orchestrator().alerts().size();
    }
    DROVER_ASSIGN(const CentralProgress done, semantics->step(*store));
    unpublished = unpublished || done.changed;
    uncounted = uncounted || done.more;
    unseen = unseen || done.more;
    if (done.datapacks > 0)
      env->log(LogLevel::info, fmt::format("semantics.learnt datapacks={} records={}", done.datapacks, done.records));
    if (done.records > 0) centre.send(self, sync::InboxGrew{{semantics->own_stream()}});
    tell_alerts();
    DROVER_TRY(publish());
    show(!done.more);
    return done.more;
  }

  bool due(int64_t last_unix_ns, uint64_t every_ms) const {
    return env->unix_ns() - last_unix_ns >= static_cast<int64_t>(every_ms) * 1'000'000;
  }

  // With a key: what changed goes to the robots. Without: the evidence is counted all the same, for those who look.
  Status publish() {
    if (!due(published_unix_ns, config.publish_ms) || semantics->pipeline().metrics().episodes == 0) return {};
    const int64_t now = env->unix_ns();
    if (config.key && unpublished) {
      DROVER_ASSIGN(const uint64_t version, publish_documents(*store, *semantics, *config.key, now));
      env->log(LogLevel::info, fmt::format("semantics.published version={}", version));
      unpublished = false;
    } else if (uncounted) {
      DROVER_ASSIGN(const auto documents, semantics->documents());
      (void)documents;
    } else {
      return {};
    }
    uncounted = false;
    unseen = true;
    published_unix_ns = now;
    return {};
  }

  void show(bool at_end) {
    if (!config.board || !unseen || (!at_end && !due(viewed_unix_ns, config.view_ms))) return;
    config.board->set(semantics->view());
    viewed_unix_ns = env->unix_ns();
    unseen = false;
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
