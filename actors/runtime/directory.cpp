#include "actors/runtime/directory.hpp"

#include <caf/actor_addr.hpp>

namespace drover::runtime {

const std::string& Ref::name() const {
  static const std::string nobody;
  return slot_ ? slot_->name : nobody;
}

caf::actor Ref::get() const {
  if (!slot_) return nullptr;
  std::scoped_lock lock(slot_->mutex);
  return slot_->current;
}

bool Ref::count_drop() const {
  if (slot_) slot_->dropped.add();
  return false;
}

uint64_t Ref::dropped() const {
  return slot_ ? slot_->dropped.value() : 0;
}
uint64_t Ref::generation() const {
  return slot_ ? slot_->generation.load() : 0;
}

std::shared_ptr<Ref::Slot> Directory::slot(std::string_view name) {
  std::scoped_lock lock(mutex_);
  auto it = slots_.find(name);
  if (it == slots_.end()) {
    Counter& dropped = metrics_.counter("drover_messages_dropped_total", "Messages to a name that nobody had",
                                        {{"receiver", std::string(name)}});
    it = slots_.emplace(std::string(name), std::make_shared<Ref::Slot>(std::string(name), dropped)).first;
  }
  return it->second;
}

Ref Directory::ref(std::string_view name) {
  return Ref(slot(name));
}

void Directory::bind(std::string_view name, const caf::actor& actor) {
  const auto entry = slot(name);
  std::scoped_lock lock(entry->mutex);
  entry->current = actor;
  ++entry->generation;
}

void Directory::unbind(std::string_view name, const caf::actor_addr& actor) {
  const auto entry = slot(name);
  caf::actor last;  // released after the lock: its end may run code
  std::scoped_lock lock(entry->mutex);
  if (entry->current && entry->current.address() == actor) last = std::exchange(entry->current, nullptr);
}

}  // namespace drover::runtime
