// KnowledgeView: the knowledge at one moment, for others to look at while learning goes on; and the board where the
// newest one hangs. A view is immutable and may be read from any number of threads.
#pragma once

#include <memory>
#include <mutex>

#include "actors/semantics/pipeline.hpp"

namespace drover::semantics {

struct KnowledgeView {
  std::shared_ptr<const Vocabulary> vocabulary;  // the orchestrator refers to it
  Orchestrator orchestrator;
  Stage2Metrics metrics;
  TrainingFocus focus;
};

class KnowledgeBoard {
 public:
  void set(std::shared_ptr<const KnowledgeView> view) {
    const std::lock_guard lock(mutex_);
    view_ = std::move(view);
  }
  // Null until something was learnt or restored.
  std::shared_ptr<const KnowledgeView> get() const {
    const std::lock_guard lock(mutex_);
    return view_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const KnowledgeView> view_;
};

}  // namespace drover::semantics
