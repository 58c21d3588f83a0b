// Port: the network thread seen by actors as one more actor, and the inbox that carries messages into it.
//
// Any thread may send to a Port; the message is queued in the Inbox and handled on the network's thread. KJ objects
// never leave that thread, CAF handles and messages cross freely. A request to a port whose network has ended is
// answered with an error at once, so nobody waits for ever.
//
// Invariants: promises made by ask() belong to the network thread; dropping one forgets the request.
#pragma once

#include <kj/async.h>

#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/error.hpp>
#include <caf/mailbox_element.hpp>
#include <caf/monitorable_actor.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "messages/result.hpp"

namespace drover::network {

class Port;

// What crosses into the network thread: a message for a port, or a piece of work.
struct InboxItem {
  caf::strong_actor_ptr port;
  caf::mailbox_element_ptr message;
  std::function<void()> work;
};

// Not bounded itself: senders are bounded by credit (sessions' windows, the uplink's bulk queue).
class Inbox {
 public:
  // Any thread. False after close(): the item was not taken and is unchanged.
  bool post(InboxItem& item);
  bool post(std::function<void()> work);
  // Network thread: handles items as they come, for ever; lets I/O run between batches.
  kj::Promise<void> pump();
  // Network thread, simulation: handles what is queued now. True when there was something.
  bool drain();
  // Network thread: refuses further items and answers the queued requests with an error.
  void close();

 private:
  std::vector<InboxItem> take();
  static void handle(std::vector<InboxItem>& items);

  std::mutex mutex_;
  std::vector<InboxItem> items_;
  kj::Own<kj::CrossThreadPromiseFulfiller<void>> wake_;
  bool closed_ = false;
};

// Where a reply goes. Copyable; may be used once per request, from the network thread.
class ReplyTo {
 public:
  ReplyTo() = default;
  explicit ReplyTo(const caf::mailbox_element& request) : to_(request.sender), id_(request.mid) {}

  template <class T>
  void send(T&& value) const {
    if (!to_ || !id_.is_request()) return;
    to_->enqueue(caf::make_mailbox_element(nullptr, id_.response_id(), {}, std::forward<T>(value)), nullptr);
  }

 private:
  caf::strong_actor_ptr to_;
  caf::message_id id_;
};

class Port final : public caf::monitorable_actor {
 public:
  using MessageHandler = std::function<void(caf::mailbox_element&)>;

  static caf::actor make(caf::actor_system& system, std::shared_ptr<Inbox> inbox);
  static Port& of(const caf::actor& actor) { return *static_cast<Port*>(caf::actor_cast<caf::abstract_actor*>(actor)); }

  Port(caf::actor_config& config, std::shared_ptr<Inbox> inbox);
  const char* name() const override { return "network_port"; }
  void enqueue(caf::mailbox_element_ptr message, caf::execution_unit*) override;  // any thread

  // ---- network thread only
  void set_handler(MessageHandler handler) { handler_ = std::move(handler); }
  void dispatch(caf::mailbox_element& message);
  // Ends the port for its monitors and links; further requests are answered with an error.
  void end(caf::error reason);
  caf::actor handle() { return caf::actor_cast<caf::actor>(this); }

  // Sends a request and gives the reply, an R. A caf::error, or a reply of another type, is unavailable / internal.
  template <class R, class Message>
  kj::Promise<Result<R>> ask(const caf::actor& to, Message&& message, bool urgent = false) {
    auto promise = start_request();
    auto id = last_request_;
    if (urgent) id = id.with_high_priority();
    caf::actor_cast<caf::strong_actor_ptr>(to)->enqueue(
        caf::make_mailbox_element(caf::strong_actor_ptr{ctrl()}, id, {}, std::forward<Message>(message)), nullptr);
    return promise.then([](caf::message&& reply) -> Result<R> {
      if (reply.match_elements<R>()) return reply.get_as<R>(0);
      return tl::unexpected(reply_error(reply));
    });
  }
  // The same for actors that answer with Result<R>.
  template <class R, class Message>
  kj::Promise<Result<R>> ask_result(const caf::actor& to, Message&& message, bool urgent = false) {
    return ask<Result<R>>(to, std::forward<Message>(message), urgent).then([](Result<Result<R>>&& reply) -> Result<R> {
      if (!reply) return tl::unexpected(std::move(reply).error());
      return *std::move(reply);
    });
  }
  // A message without reply.
  template <class Message>
  void tell(const caf::actor& to, Message&& message) {
    if (!to) return;
    caf::actor_cast<caf::strong_actor_ptr>(to)->enqueue(
        caf::make_mailbox_element(caf::strong_actor_ptr{ctrl()}, caf::make_message_id(), {},
                                  std::forward<Message>(message)),
        nullptr);
  }
  size_t pending() const { return pending_.size(); }

 private:
  struct Wait;
  kj::Promise<caf::message> start_request();
  static Error reply_error(const caf::message& reply);

  std::shared_ptr<Inbox> inbox_;
  MessageHandler handler_;
  caf::message_id last_request_ = caf::make_message_id();
  std::unordered_map<uint64_t, Wait*> pending_;
};

}  // namespace drover::network
