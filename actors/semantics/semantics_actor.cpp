#include "actors/semantics/semantics_actor.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "actors/runtime/worker_actor.hpp"
#include "actors/semantics/central_publish.hpp"
#include "actors/sync/store_messages.hpp"

namespace drover::semantics {
namespace {

using runtime::log_value;
using runtime::LogLevel;

class SemanticsWork final : public runtime::Work {
 public:
  SemanticsWork(runtime::Environment& env, SemanticsActorConfig config, std::shared_ptr<sync::CentralStore> store,
                runtime::Ref centre)
      : env_(env), config_(std::move(config)), store_(std::move(store)), centre_(std::move(centre)) {}

  Result<bool> step(caf::event_based_actor& self) override {
    if (!semantics_ || !semantics_->usable()) {
      semantics_.reset();
      DROVER_ASSIGN(semantics_, CentralSemantics::open(config_.central));
      DROVER_TRY(semantics_->catch_up(*store_));
      unpublished_ = uncounted_ = unseen_ = true;
      alerts_told_ = semantics_->pipeline().orchestrator().alerts().size();
    }
    DROVER_ASSIGN(const CentralProgress done, semantics_->step(*store_));
    unpublished_ = unpublished_ || done.changed;
    uncounted_ = uncounted_ || done.more;
    unseen_ = unseen_ || done.more;
    if (done.datapacks > 0)
      env_.log(LogLevel::info, fmt::format("semantics.learnt datapacks={} records={}", done.datapacks, done.records));
    if (done.records > 0) centre_.send(&self, sync::InboxGrew{{semantics_->own_stream()}});
    tell_alerts();
    DROVER_TRY(publish());
    show(!done.more);
    return done.more;
  }

 private:
  bool due(int64_t last_unix_ns, uint64_t every_ms) const {
    return env_.unix_ns() - last_unix_ns >= static_cast<int64_t>(every_ms) * 1'000'000;
  }

  // With a key: what changed goes to the robots. Without: the evidence is counted all the same, for those who look.
  Status publish() {
    if (!due(published_unix_ns_, config_.publish_ms) || semantics_->pipeline().metrics().episodes == 0) return {};
    const int64_t now = env_.unix_ns();
    if (config_.key && unpublished_) {
      DROVER_ASSIGN(const uint64_t version, publish_documents(*store_, *semantics_, *config_.key, now));
      env_.log(LogLevel::info, fmt::format("semantics.published version={}", version));
      unpublished_ = false;
    } else if (uncounted_) {
      DROVER_ASSIGN(const auto documents, semantics_->documents());
      (void)documents;
    } else {
      return {};
    }
    uncounted_ = false;
    unseen_ = true;
    published_unix_ns_ = now;
    return {};
  }

  void show(bool at_end) {
    if (!config_.board || !unseen_ || (!at_end && !due(viewed_unix_ns_, config_.view_ms))) return;
    config_.board->set(semantics_->view());
    viewed_unix_ns_ = env_.unix_ns();
    unseen_ = false;
  }

  void tell_alerts() {
    const auto& alerts = semantics_->pipeline().orchestrator().alerts();
    alerts_told_ = std::min(alerts_told_, alerts.size());
    for (; alerts_told_ < alerts.size(); ++alerts_told_) {
      const SemanticAlert& a = alerts[alerts_told_];
      env_.log(LogLevel::warn, fmt::format("semantics.alert kind={} subject={} message={}", a.kind,
                                           log_value(a.subject), log_value(a.message)));
    }
  }

  runtime::Environment& env_;
  SemanticsActorConfig config_;
  std::shared_ptr<sync::CentralStore> store_;
  runtime::Ref centre_;
  std::unique_ptr<CentralSemantics> semantics_;
  bool unpublished_ = false;  // knowledge changed since the last version
  bool uncounted_ = false;    // something was learnt since the documents were made
  bool unseen_ = true;        // something was learnt since the last view
  int64_t published_unix_ns_ = 0;
  int64_t viewed_unix_ns_ = 0;
  size_t alerts_told_ = 0;
};

}  // namespace

caf::actor spawn_semantics(runtime::Environment& env, SemanticsActorConfig config,
                           std::shared_ptr<sync::CentralStore> store, runtime::Ref centre) {
  const runtime::WorkerConfig worker{"semantics", config.period_ms};
  return runtime::spawn_worker(
      env, worker, std::make_shared<SemanticsWork>(env, std::move(config), std::move(store), std::move(centre)));
}

}  // namespace drover::semantics
