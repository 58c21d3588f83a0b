// Directory: names of actors that survive restarts. Others hold a Ref and reach whoever has the name now.
//
// A supervisor binds each child's name when it starts it and unbinds it when the child has ended. A Ref resolves the
// name at every use, so a restarted actor is found without being told of. Names are few and come from config: they are
// never removed. Threads: any. Resolving takes one uncontended lock of that name alone.
#pragma once

#include <atomic>
#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/duration.hpp>
#include <caf/message_priority.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "actors/runtime/metrics.hpp"

namespace drover::runtime {

class Ref {
 public:
  Ref() = default;  // resolves to nothing

  const std::string& name() const;
  // Who has the name now; null while nobody has.
  caf::actor get() const;
  explicit operator bool() const { return static_cast<bool>(get()); }

  // Sends from `self`. False and counted in dropped() when nobody has the name. A message that reaches an actor which
  // is just ending is lost without being counted: use request() where that matters.
  template <caf::message_priority P = caf::message_priority::normal, class Self, class... Ts>
  bool send(Self* self, Ts&&... xs) const {
    const caf::actor target = get();
    if (!target) return count_drop();
    self->template send<P>(target, std::forward<Ts>(xs)...);
    return true;
  }

  // As self->request(...); the error handler is called (sec::invalid_argument) when nobody has the name.
  template <class Self, class Duration, class... Ts>
  auto request(Self* self, const Duration& timeout, Ts&&... xs) const {
    return self->request(get(), timeout, std::forward<Ts>(xs)...);
  }

  uint64_t dropped() const;     // sends that found nobody, over all Refs of the name
  uint64_t generation() const;  // how many actors have had the name

 private:
  friend class Directory;
  struct Slot {
    Slot(std::string n, Counter& drops) : name(std::move(n)), dropped(drops) {}
    const std::string name;
    mutable std::mutex mutex;
    caf::actor current;
    std::atomic<uint64_t> generation = 0;
    Counter& dropped;
  };
  explicit Ref(std::shared_ptr<Slot> slot) : slot_(std::move(slot)) {}
  bool count_drop() const;

  std::shared_ptr<Slot> slot_;
};

class Directory {
 public:
  // Counts drops as drover_messages_dropped_total{receiver="..."} in `metrics`, which outlives it.
  explicit Directory(Metrics& metrics) : metrics_(metrics) {}

  Ref ref(std::string_view name);
  void bind(std::string_view name, const caf::actor& actor);
  // Only if `actor` still has the name.
  void unbind(std::string_view name, const caf::actor_addr& actor);

 private:
  std::shared_ptr<Ref::Slot> slot(std::string_view name);

  Metrics& metrics_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Ref::Slot>, std::less<>> slots_;
};

}  // namespace drover::runtime
