// Uplink: a reconnecting session to a coordinator, seen by actors as one actor (uplink_messages.hpp).
//
// Life: dial (handshake deadline) -> ask the subscriber for HelloFacts -> hello -> up: pings until one is late, the
// stream ends or a call says "disconnected" -> everything unanswered is answered `unavailable` -> pause by backoff ->
// dial. The backoff starts afresh only after a ping was answered, so two nodes that share a name do not chase
// each other without pause.
// Bulk waits in a bounded queue and leaves only while few bytes wait to be written, so that pings and other control
// calls are never far from the wire.
// Network thread only.
#pragma once

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "actors/network/backoff.hpp"
#include "actors/network/network_core.hpp"
#include "actors/network/uplink_messages.hpp"
#include "messages/schema/session.capnp.h"

namespace drover::network {

class Uplink final : private kj::TaskSet::ErrorHandler {
 public:
  using Connected = UplinkConnected;
  using Dialer = std::function<kj::Promise<Connected>()>;

  Uplink(NetworkShared& shared, const Dial& options, Dialer dialer, caf::actor port, runtime::Rng rng);
  ~Uplink() noexcept(false);

  // Dials and reconnects for as long as this lives.
  void start();
  void handle(caf::mailbox_element& message);

 private:
  struct Link;
  struct Bulk {
    std::variant<SendBlock, SendChunk> what;
    ReplyTo reply;
    uint64_t bytes = 0;
  };

  kj::Promise<void> run();
  // A robot's hello is made of what its subscriber knows, so a robot does not dial before it has one.
  kj::Promise<void> subscribed();
  kj::Promise<void> attempt();
  kj::Promise<void> greet(const HelloFacts& facts);
  Status welcomed(schema::Gate::HelloResults::Reader results);
  kj::Promise<Result<HelloFacts>> ask_facts();
  kj::Promise<void> ping_loop();
  void went_down(const Error& reason);
  void tell_subscriber_state();

  void enqueue_bulk(Bulk bulk);
  void pump_bulk();
  void send_bulk(Bulk bulk);
  void pump_later();
  template <class Reply, class Request, class Read>
  void call(Request request, ReplyTo reply, uint64_t bulk_bytes, Read read);
  Error error_of(const kj::Exception& exception) const;
  void log_down(const Error& reason, uint32_t retry_ms);
  void taskFailed(kj::Exception&& exception) override;

  NetworkShared& shared_;
  Dial options_;
  Dialer dialer_;
  Port& port_;
  caf::actor port_actor_;
  caf::actor subscriber_;
  Backoff backoff_;
  LogThrottle throttle_;
  NodeStatus status_;
  LinkUp up_facts_;
  LinkDown down_facts_{{Errc::unavailable, "uplink", "not dialled yet"}, 0};
  kj::Own<kj::PromiseFulfiller<void>> on_subscribed_;
  bool up_ = false;
  uint64_t link_number_ = 0;
  uint64_t in_flight_bytes_ = 0;
  uint64_t queued_bytes_ = 0;
  bool pump_scheduled_ = false;
  std::deque<Bulk> bulk_;
  kj::Own<Link> link_;
  kj::TaskSet tasks_;  // last: dies first
};

}  // namespace drover::network
