#include "actors/runtime/quarantine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "messages/buggify.hpp"

namespace drover::runtime {

Quarantine::Quarantine(QuarantineRules rules, const Clock& clock, LogSink log, QuarantineSink* sink)
    : rules_(rules), clock_(clock), log_(std::move(log)), sink_(sink) {}

bool Quarantine::is_quarantined(std::string_view receiver, const Hash& identity) const {
  std::scoped_lock lock(mutex_);
  return quarantined_.contains({std::string(receiver), identity});
}

// The caller holds the lock.
void Quarantine::set_aside(const Key& key) {
  if (!quarantined_.insert(key).second) return;
  quarantined_order_.push_back(key);
  if (quarantined_order_.size() > rules_.max_quarantined) {
    quarantined_.erase(quarantined_order_.front());
    quarantined_order_.pop_front();
  }
}

bool Quarantine::record_death(std::string_view receiver, const Bytes& payload, std::string_view reason) {
  const Key key{std::string(receiver), sha256(payload)};
  uint32_t count = 0;
  {
    std::scoped_lock lock(mutex_);
    if (quarantined_.contains(key)) return false;
    count = ++deaths_[key];
    if (buggify::bug(buggify::Bug::poison_for_ever)) count = deaths_[key] = 1;
    if (count == 1) suspect_order_.push_back(key);
    if (count >= std::max(rules_.deaths, 1u)) {
      deaths_.erase(key);
      std::erase(suspect_order_, key);
      set_aside(key);
    } else if (suspect_order_.size() > rules_.max_suspects) {
      deaths_.erase(suspect_order_.front());
      suspect_order_.pop_front();
    }
    watching_ = deaths_.size() + quarantined_.size();
  }
  if (count < std::max(rules_.deaths, 1u)) return false;
  log_(LogLevel::error, fmt::format("runtime.quarantined receiver={} message={} bytes={} deaths={} reason={}",
                                    log_value(receiver), to_hex(key.second), payload.size(), count, log_value(reason)));
  if (sink_) sink_->quarantined({key.first, key.second, payload, count, std::string(reason), clock_.unix_ns()});
  return true;
}

void Quarantine::clear(std::string_view receiver, const Hash& identity) {
  std::scoped_lock lock(mutex_);
  const Key key{std::string(receiver), identity};
  if (deaths_.erase(key) > 0) std::erase(suspect_order_, key);
  watching_ = deaths_.size() + quarantined_.size();
}

void Quarantine::restore(std::string_view receiver, const Hash& identity) {
  std::scoped_lock lock(mutex_);
  set_aside({std::string(receiver), identity});
  watching_ = deaths_.size() + quarantined_.size();
}

bool Quarantine::release(std::string_view receiver, const Hash& identity) {
  std::scoped_lock lock(mutex_);
  const Key key{std::string(receiver), identity};
  if (quarantined_.erase(key) == 0) return false;
  std::erase(quarantined_order_, key);
  watching_ = deaths_.size() + quarantined_.size();
  return true;
}

size_t Quarantine::quarantined_count() const {
  std::scoped_lock lock(mutex_);
  return quarantined_.size();
}

size_t Quarantine::suspect_count() const {
  std::scoped_lock lock(mutex_);
  return deaths_.size();
}

}  // namespace drover::runtime
