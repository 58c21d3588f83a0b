// Quarantine: a message that kills its receiver k times is set aside with its payload instead of being delivered again.
//
// A receiver wraps the handling of redeliverable work in process(). A throw counts one death of (receiver, identity)
// here, in a table that outlives the receiver, and goes on, so that the actor dies and its supervisor restarts it. At
// the k-th death the message goes to the sink, with one error in the log; later deliveries of it are diverted: the
// handler is not called and the caller skips it (acknowledges it, moves its cursor). Success clears the count. Identity
// is the SHA-256 of the payload; it is computed only while some message is under suspicion, so the usual path costs one
// atomic load. A crash of the process is not seen here: the counts live in memory.
// Bounds: max_suspects and max_quarantined identities; over a bound the oldest is forgotten (it may then kill k times
// again). Threads: all functions may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "actors/runtime/clock.hpp"
#include "actors/runtime/log.hpp"
#include "messages/bytes.hpp"
#include "messages/hash.hpp"

namespace drover::runtime {

struct QuarantineRules {
  uint32_t deaths = 3;              // this many deaths of receivers quarantine a message; at least 1
  size_t max_suspects = 4'096;      // identities
  size_t max_quarantined = 65'536;  // identities; payloads are with the sink
};

struct PoisonMessage {
  std::string receiver;
  Hash identity{};
  Bytes payload;
  uint32_t deaths = 0;
  std::string reason;  // of the last death
  int64_t unix_ns = 0;
};

// Where quarantined messages go; storage gives a persistent one. Called from the dying receiver's thread; must not
// throw.
class QuarantineSink {
 public:
  virtual ~QuarantineSink() = default;
  virtual void quarantined(const PoisonMessage& message) = 0;
};

enum class Handling : uint8_t { processed, diverted };

class Quarantine {
 public:
  // `sink` may be null (the log line remains) and must outlive this.
  Quarantine(QuarantineRules rules, const Clock& clock, LogSink log, QuarantineSink* sink = nullptr);

  // Calls handler(), or diverts. Rethrows what the handler throws.
  template <class Handler>
  Handling process(std::string_view receiver, const Bytes& payload, Handler&& handler) {
    if (watching_.load() > 0 && is_quarantined(receiver, sha256(payload))) return Handling::diverted;
    try {
      std::forward<Handler>(handler)();
    } catch (const std::exception& error) {
      record_death(receiver, payload, error.what());
      throw;
    } catch (...) {
      record_death(receiver, payload, "unknown exception");
      throw;
    }
    if (watching_.load() > 0) clear(receiver, sha256(payload));
    return Handling::processed;
  }

  // For receivers whose work ends later than their handler: the same steps one by one.
  bool is_quarantined(std::string_view receiver, const Hash& identity) const;
  // Returns true when this death quarantined the message.
  bool record_death(std::string_view receiver, const Bytes& payload, std::string_view reason);
  void clear(std::string_view receiver, const Hash& identity);

  // At start, for each message that a persistent sink holds.
  void restore(std::string_view receiver, const Hash& identity);
  // An operator releases a message: it will be delivered again.
  bool release(std::string_view receiver, const Hash& identity);

  size_t quarantined_count() const;
  size_t suspect_count() const;

 private:
  using Key = std::pair<std::string, Hash>;
  void set_aside(const Key& key);

  const QuarantineRules rules_;
  const Clock& clock_;
  const LogSink log_;
  QuarantineSink* const sink_;
  std::atomic<size_t> watching_ = 0;  // suspects + quarantined
  mutable std::mutex mutex_;
  std::map<Key, uint32_t> deaths_;
  std::deque<Key> suspect_order_;  // oldest first
  std::set<Key> quarantined_;
  std::deque<Key> quarantined_order_;
};

}  // namespace drover::runtime
